// The best few of many, found in one pass.
#pragma once

#include "cut.h"

#include <algorithm>
#include <cmath>

namespace outrider {

// Best first, of equals the lowest id; whoever has no score, or -inf, never is one of them.
class Leaders {
  public:
    Leaders(Ranked *place, int64_t room) : place_(place), room_(room) {}

    void clear() { size_ = 0; }
    int64_t size() const { return size_; }
    bool is_full() const { return size_ == room_; }
    double bar() const { return is_full() ? place_[size_ - 1].score : -INFINITY; } // what a newcomer has to beat
    const Ranked *begin() const { return place_; }
    const Ranked *end() const { return place_ + size_; }
    bool has(int64_t id) const {
        return std::any_of(begin(), end(), [id](const Ranked &one) { return one.id == id; });
    }

    void offer(Ranked one) {
        if (!(one.score > -INFINITY) || (is_full() && !ahead(one, place_[size_ - 1]))) return;
        size_ += !is_full();
        int64_t at = size_ - 1;
        for (; at > 0 && ahead(one, place_[at - 1]); --at) place_[at] = place_[at - 1];
        place_[at] = one;
    }

  private:
    Ranked *place_;
    int64_t room_, size_ = 0;
};

// The largest of a stretch, in columns, which compilers turn into vectors; -inf where nothing is larger.
template <class Number, int64_t SIZE> Number peak_of(const Number *score) {
    constexpr int64_t COLUMNS = 64 / sizeof(Number);
    Number most[COLUMNS];
    std::fill_n(most, COLUMNS, (Number)-INFINITY);
    for (int64_t row = 0; row < SIZE; row += COLUMNS)
        for (int64_t i = 0; i < COLUMNS; ++i) most[i] = score[row + i] > most[i] ? score[row + i] : most[i];
    return *std::max_element(most, most + COLUMNS);
}

// Offers score[count] to `leaders`, skipping blocks in which nothing reaches them.
template <class Number> void offer_all(const Number *score, int64_t count, Leaders &leaders) {
    constexpr int64_t BLOCK = 256;
    for (int64_t begin = 0; begin < count; begin += BLOCK) {
        const int64_t end = std::min(begin + BLOCK, count);
        // Later ids do not displace equals, so a peak at the bar is not enough.
        if (end - begin == BLOCK && !((double)peak_of<Number, BLOCK>(score + begin) > leaders.bar())) continue;
        for (int64_t id = begin; id < end; ++id)
            if ((double)score[id] > leaders.bar()) leaders.offer({(double)score[id], id});
    }
}

} // namespace outrider
