// What a sequence changed on its way through a text that it copies: the twin of drafting/edits.py, which says why.
#pragma once

#include <cstdint>
#include <vector>

namespace outrider::retrieval {

// What an edit is known by: the tokens that it replaces, or the token in front of an insertion or behind it.
enum class Mark : int32_t { SPAN, BEFORE, BEHIND };

// The tokens `old_n`, or none beside the one token `old_n`, become `new_n`; how often that came again, and how often not
// since. The request told of it, or else it was seen.
struct Edit {
    Mark mark;
    std::vector<int32_t> old_n, new_n;
    bool is_told = false;
    int32_t hits = 0, misses = 0;

    int32_t size() const { return mark == Mark::SPAN ? static_cast<int32_t>(old_n.size()) : 0; }
    bool fits(const std::vector<int32_t> &text, int32_t at) const;
    bool is_same(const Edit &other) const { return mark == other.mark && old_n == other.old_n && new_n == other.new_n; }
};

// Positions: tokens `start` to `stop` of the source became tokens `put` to `end` of the copy.
struct Hunk {
    int32_t start, stop, put, end;

    int32_t size() const { return stop - start; }
    int32_t new_size() const { return end - put; }
};

// The last edits of a sequence, the newest first.
class Edits {
  public:
    const std::vector<Edit> &known() const { return known_; }
    const std::vector<Hunk> &news() const { return news_; } // spans learnt of late
    void forget_news() { news_.clear(); }
    double chance(const Edit &edit) const; // that it comes (again) where it fits
    void passed(const std::vector<int32_t> &text, int32_t at);
    void learn(const std::vector<int32_t> &text, const Hunk &whole);
    void teach(Edit taught); // behind all that is known
    // Another text is copied: what came only once is forgotten, and how often edits come again is learnt anew.
    void move_on();

  private:
    // How many edits had a chance to come (again), and how many of them did.
    struct Trials {
        int64_t tried = 0, held = 0;
    };

    void split(const std::vector<int32_t> &text, const Hunk &whole);
    void learn_hunk(const std::vector<int32_t> &text, const Hunk &hunk);
    bool learn_edit(const std::vector<int32_t> &text, int32_t start, Edit learnt);
    void count(Edit &edit, bool came_again);

    std::vector<Edit> known_;
    std::vector<Hunk> news_;
    std::vector<int32_t> common_; // the table of `split`, which keeps its room
    Trials seen_, told_;
};

} // namespace outrider::retrieval
