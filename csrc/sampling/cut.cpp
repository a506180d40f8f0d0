#include "cut.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

namespace outrider {

namespace {

constexpr int64_t BLOCK = 64;
constexpr double EVERYTHING = -INFINITY;
constexpr uint32_t DIGIT_BITS = 13;

} // namespace

// Takes entries in order of the ranking until those before reach top_p.
class Nucleus {
  public:
    Nucleus(double total, double top_p) : total_(total), top_p_(top_p) {}
    bool takes(double score) {
        if (before_ >= top_p_) return false;
        if (score != score_) score_ = score, share_ = std::exp(score) / total_; // flat rows have many equals
        before_ += share_;
        return true;
    }
    // Whether several at once, exp(score) of all of them together, still leave room.
    bool takes_all(double sum) {
        const double after = before_ + sum / total_;
        if (after >= top_p_) return false;
        before_ = after;
        return true;
    }

  private:
    double total_, top_p_, before_ = 0.0;
    double score_ = 0.0, share_ = 1.0 / total_;
};

namespace {

double peak_of(const double *score) { // of a whole block, in columns, which compilers turn into vectors
    constexpr int COLUMNS = 8;
    double most[COLUMNS];
    std::copy_n(score, COLUMNS, most);
    for (int64_t row = COLUMNS; row < BLOCK; row += COLUMNS)
        for (int i = 0; i < COLUMNS; ++i) most[i] = score[row + i] > most[i] ? score[row + i] : most[i];
    return *std::max_element(most, most + COLUMNS);
}

uint32_t key_of(double score) { // bits of floats that are not negative rise with them
    const auto depth = (float)(0.0 - score);
    uint32_t key;
    std::memcpy(&key, &depth, sizeof key);
    return key;
}

} // namespace

Ranked Ranking::last_kept(const Kernels &kernels, const Request &request, const double *score, int64_t count) {
    score_ = score;
    count_ = count;
    Ranked last = {EVERYTHING, count};
    if (request.top_k > 0 && request.top_k < count)
        last = last_of_best(request.top_k, request.top_p);
    else if (request.top_p < 1.0)
        last = last_of_all(kernels, kernels.sum_exp(score, count), request.top_p);
    const Ranked floor = {request.min_p > 0.0 ? std::log(request.min_p) : EVERYTHING, count};
    return ahead(floor, last) ? floor : last;
}

void Ranking::find_peaks() {
    peak_.clear();
    int64_t begin = 0;
    for (; begin + BLOCK <= count_; begin += BLOCK) peak_.push_back(peak_of(score_ + begin));
    if (begin < count_) peak_.push_back(*std::max_element(score_ + begin, score_ + count_));
}

void Ranking::collect(double low, double below) {
    num_ = 0;
    if (entry_.size() <= (size_t)count_) entry_.resize((size_t)count_ + 1);
    Entry *entry = entry_.data();
    for (size_t block = 0; block < peak_.size(); ++block) {
        if (peak_[block] < low) continue;
        const int64_t begin = (int64_t)block * BLOCK, end = std::min(begin + BLOCK, count_);
        for (int64_t id = begin; id < end; ++id) { // without a branch: in flat rows nobody could foretell it
            entry[num_] = {key_of(score_[id]), (uint32_t)id};
            num_ += (score_[id] >= low) & (score_[id] < below);
        }
    }
}

void Ranking::rank(size_t begin, size_t end) {
    for (uint32_t shift = 0; shift < 32; shift += DIGIT_BITS) sort_by_digit(begin, end, shift);
    for (size_t first = begin, last; first < end; first = last) {
        for (last = first + 1; last < end && entry_[last].key == entry_[first].key;) ++last;
        settle(first, last);
    }
}

// In stable order: of equals the lowest id stays first. From the lowest digit to the highest, keys get sorted.
void Ranking::sort_by_digit(size_t begin, size_t end, uint32_t shift) {
    constexpr uint32_t DIGITS = 1u << DIGIT_BITS;
    uint32_t place[DIGITS + 1] = {};
    for (size_t i = begin; i < end; ++i) ++place[(entry_[i].key >> shift) % DIGITS + 1];
    if (begin < end && place[(entry_[begin].key >> shift) % DIGITS + 1] == end - begin) return; // all have the same
    for (uint32_t digit = 0; digit < DIGITS; ++digit) place[digit + 1] += place[digit];
    if (sorted_.size() < end) sorted_.resize(end);
    for (size_t i = begin; i < end; ++i) sorted_[begin + place[(entry_[i].key >> shift) % DIGITS]++] = entry_[i];
    std::copy(sorted_.begin() + (ptrdiff_t)begin, sorted_.begin() + (ptrdiff_t)end,
              entry_.begin() + (ptrdiff_t)begin);
}

void Ranking::settle(size_t begin, size_t end) {
    const auto first = entry_.begin() + (ptrdiff_t)begin, last = entry_.begin() + (ptrdiff_t)end;
    const auto better = [this](const Entry &a, const Entry &b) { return score_[a.id] > score_[b.id]; };
    if (end - begin > 1 && !std::is_sorted(first, last, better)) std::stable_sort(first, last, better);
}

// As many blocks have a peak no lower than the top_k-th highest peak, so none of the best is below that.
Ranked Ranking::last_of_best(int64_t top_k, double top_p) {
    find_peaks();
    double low = EVERYTHING;
    if (top_k <= (int64_t)peak_.size()) {
        sorted_peak_ = peak_;
        std::nth_element(sorted_peak_.begin(), sorted_peak_.begin() + (top_k - 1), sorted_peak_.end(),
                         std::greater<double>());
        low = sorted_peak_[(size_t)top_k - 1];
    }
    collect(low, INFINITY);
    rank(0, num_);
    size_t kept = (size_t)top_k;
    if (top_p < 1.0) {
        double total = 0.0;
        for (size_t i = 0; i < kept; ++i) total += std::exp(at(i).score);
        Nucleus nucleus(total, top_p);
        size_t taken = 0;
        while (taken < kept && nucleus.takes(at(taken).score)) ++taken;
        kept = taken;
    }
    return at(kept - 1);
}

// By bands of falling score, for as a rule the first of them hold the whole nucleus.
Ranked Ranking::last_of_all(const Kernels &kernels, double total, double top_p) {
    constexpr double BANDS[] = {-4.0, -8.0, -12.0, -16.0, -24.0, -40.0, EVERYTHING};
    find_peaks();
    Nucleus nucleus(total, top_p);
    Ranked last = {EVERYTHING, count_};
    double below = INFINITY;
    for (double low : BANDS) {
        collect(low, below);
        if (!take(kernels, nucleus, last)) return last;
        below = low;
    }
    return {EVERYTHING, count_};
}

// All that was collected, as far as there is room; then `last` is the last that had some, and the answer is false. Many
// are sorted roughly first: of the groups only that in which the room ends has to be ranked.
bool Ranking::take(const Kernels &kernels, Nucleus &nucleus, Ranked &last) {
    constexpr size_t FEW = 1024;
    constexpr uint32_t ROUGH = 32 - DIGIT_BITS; // exponent and the first bits behind it
    const bool many = num_ > FEW;
    if (many) sort_by_digit(0, num_, ROUGH);
    for (size_t begin = 0, end; begin < num_; begin = end) {
        end = many ? begin + 1 : num_;
        while (end < num_ && entry_[end].key >> ROUGH == entry_[begin].key >> ROUGH) ++end;
        if (many && nucleus.takes_all(sum_exp(kernels, begin, end))) continue;
        rank(begin, end);
        for (size_t i = begin; i < end; ++i) {
            if (!nucleus.takes(at(i).score)) return false;
            last = at(i);
        }
    }
    return true;
}

double Ranking::sum_exp(const Kernels &kernels, size_t begin, size_t end) {
    group_.clear();
    for (size_t i = begin; i < end; ++i) group_.push_back(score_[entry_[i].id]);
    return kernels.sum_exp(group_.data(), (int64_t)group_.size());
}

} // namespace outrider
