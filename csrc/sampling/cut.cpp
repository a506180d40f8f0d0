#include "cut.h"

#include <algorithm>
#include <cmath>

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

bool behind(const Ranked &a, const Ranked &b) { return ahead(b, a); }

} // namespace

Ranked Ranking::last_kept(const Kernels &kernels, const Request &request, const double *score, int64_t count) {
    score_ = score;
    count_ = count;
    Ranked last = {EVERYTHING, count};
    const bool has_top_p = request.top_p < 1.0;
    if (request.top_k > 0 && request.top_k < count) {
        collect_best(request.top_k);
        last = has_top_p ? last_of_best(request.top_p) : entry_.back();
    } else if (has_top_p) {
        last = last_of_all(kernels.sum_exp(score, count), request.top_p);
    }
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
    entry_.clear();
    for (size_t block = 0; block < peak_.size(); ++block) {
        if (peak_[block] < low) continue;
        const int64_t begin = (int64_t)block * BLOCK, end = std::min(begin + BLOCK, count_);
        for (int64_t id = begin; id < end; ++id)
            if (score_[id] >= low && score_[id] < below) entry_.push_back({score_[id], id});
    }
}

// The `count` best, the last of them at the end. As many blocks have a peak no lower than the count-th highest peak, so
// none of the best is below that.
void Ranking::collect_best(int64_t count) {
    find_peaks();
    double low = EVERYTHING;
    if (count <= (int64_t)peak_.size()) {
        sorted_peak_ = peak_;
        std::nth_element(sorted_peak_.begin(), sorted_peak_.begin() + (count - 1), sorted_peak_.end(),
                         std::greater<double>());
        low = sorted_peak_[(size_t)count - 1];
    }
    collect(low, INFINITY);
    std::nth_element(entry_.begin(), entry_.begin() + (count - 1), entry_.end(), ahead);
    entry_.resize((size_t)count);
}

// top-p among what top-k has left in `entry_`.
Ranked Ranking::last_of_best(double top_p) {
    std::sort(entry_.begin(), entry_.end(), ahead);
    double total = 0.0;
    for (const Ranked &entry : entry_) total += std::exp(entry.score);
    Nucleus nucleus(total, top_p);
    Ranked last = entry_.front();
    for (const Ranked &entry : entry_) {
        if (!nucleus.takes(entry.score)) break;
        last = entry;
    }
    return last;
}

// top-p over everything: by bands of falling score, each a heap, for as a rule the first holds the whole nucleus.
Ranked Ranking::last_of_all(double total, double top_p) {
    constexpr double BANDS[] = {-4.0, -8.0, -12.0, -16.0, -24.0, -40.0, EVERYTHING};
    find_peaks();
    Nucleus nucleus(total, top_p);
    Ranked last = {EVERYTHING, count_};
    double below = INFINITY;
    for (double low : BANDS) {
        collect(low, below);
        std::make_heap(entry_.begin(), entry_.end(), behind);
        for (auto end = entry_.end(); end != entry_.begin(); --end) {
            if (!nucleus.takes(entry_.front().score)) return last;
            last = entry_.front();
            std::pop_heap(entry_.begin(), end, behind);
        }
        below = low;
    }
    return last;
}

} // namespace outrider
