#include "cut.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

namespace outrider {

namespace {

constexpr int64_t BLOCK = 64;
constexpr double EVERYTHING = -INFINITY;

// Takes entries in order of the ranking until those before reach top_p.
class Nucleus {
  public:
    Nucleus(double total, double top_p) : total_(total), top_p_(top_p) {}
    bool takes(double score) {
        if (before_ >= top_p_) return false;
        before_ += std::exp(score) / total_;
        return true;
    }

  private:
    double total_, top_p_, before_ = 0.0;
};

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
        last = last_of_all(kernels.sum_exp(score, count), request.top_p);
    const Ranked floor = {request.min_p > 0.0 ? std::log(request.min_p) : EVERYTHING, count};
    return ahead(floor, last) ? floor : last;
}

void Ranking::find_peaks() {
    peak_.clear();
    int64_t begin = 0;
    for (; begin + BLOCK <= count_; begin += BLOCK) peak_.push_back(peak_of(score_ + begin));
    if (begin < count_) peak_.push_back(*std::max_element(score_ + begin, score_ + count_));
}

void Ranking::rank(double low, double below) {
    entry_.clear();
    for (size_t block = 0; block < peak_.size(); ++block) {
        if (peak_[block] < low) continue;
        const int64_t begin = (int64_t)block * BLOCK, end = std::min(begin + BLOCK, count_);
        for (int64_t id = begin; id < end; ++id)
            if (score_[id] >= low && score_[id] < below) entry_.push_back({key_of(score_[id]), (uint32_t)id});
    }
    sort_by_key();
    for (size_t begin = 0, end; begin < entry_.size(); begin = end) {
        for (end = begin + 1; end < entry_.size() && entry_[end].key == entry_[begin].key;) ++end;
        settle(begin, end);
    }
}

// From the lowest digit of the keys to the highest, each time in stable order: of equals the lowest id stays first.
void Ranking::sort_by_key() {
    constexpr uint32_t BITS = 11, DIGITS = 1u << BITS;
    sorted_.resize(entry_.size());
    for (uint32_t shift = 0; shift < 32; shift += BITS) {
        uint32_t place[DIGITS + 1] = {};
        for (const Entry &entry : entry_) ++place[(entry.key >> shift) % DIGITS + 1];
        for (uint32_t digit = 0; digit < DIGITS; ++digit) place[digit + 1] += place[digit];
        for (const Entry &entry : entry_) sorted_[place[(entry.key >> shift) % DIGITS]++] = entry;
        entry_.swap(sorted_);
    }
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
    rank(low, INFINITY);
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
Ranked Ranking::last_of_all(double total, double top_p) {
    constexpr double BANDS[] = {-4.0, -8.0, -12.0, -16.0, -24.0, -40.0, EVERYTHING};
    find_peaks();
    Nucleus nucleus(total, top_p);
    Ranked last = {EVERYTHING, count_};
    double below = INFINITY;
    for (double low : BANDS) {
        rank(low, below);
        for (size_t i = 0; i < entry_.size(); ++i) {
            if (!nucleus.takes(at(i).score)) return last;
            last = at(i);
        }
        below = low;
    }
    return last;
}

} // namespace outrider
