// Filters. Each keeps a prefix of the ranking (best score first, of equals the lowest id), so that all of them together
// come down to one entry: the last that stays.
#pragma once

#include "../kernels/table.h"
#include "request.h"

#include <vector>

namespace outrider {

struct Ranked {
    double score;
    int64_t id;
};

inline bool ahead(const Ranked &a, const Ranked &b) { return a.score > b.score || (a.score == b.score && a.id < b.id); }

class Nucleus;

class Ranking {
  public:
    // The last that the request's filters leave of score[count], whose maximum is 0.
    Ranked last_kept(const Kernels &kernels, const Request &request, const double *score, int64_t count);

  private:
    struct Entry {
        uint32_t key, id; // the key rises as the float32 score falls
    };
    void find_peaks();
    void collect(double low, double below); // the entries with low <= score < below
    void rank(size_t begin, size_t end);
    void sort_by_digit(size_t begin, size_t end, uint32_t shift);
    void settle(size_t begin, size_t end); // entries that only float32 holds for equals
    bool take(const Kernels &kernels, Nucleus &nucleus, Ranked &last);
    double sum_exp(const Kernels &kernels, size_t begin, size_t end);
    Ranked last_of_best(int64_t top_k, double top_p);
    Ranked last_of_all(const Kernels &kernels, double total, double top_p);
    Ranked at(size_t place) const { return {score_[entry_[place].id], entry_[place].id}; }

    const double *score_ = nullptr;
    int64_t count_ = 0;
    std::vector<double> peak_, sorted_peak_; // the best score of each block of ids
    std::vector<Entry> entry_, sorted_; // the first num_ of them
    size_t num_ = 0;
    std::vector<double> group_; // scores
};

} // namespace outrider
