// What a sequence changed on its way through a text that it copies: the twin of drafting/edits.py, which says why.
#pragma once

#include <cstdint>
#include <vector>

namespace outrider::retrieval {

// What an edit is known by: the tokens that it replaces, or the token in front of an insertion or behind it.
enum class Mark : int32_t { SPAN, BEFORE, BEHIND };

// Tokens `start` to `stop` became tokens `put` to `end`; how often it came again, and how often not since.
struct Edit {
    Mark mark;
    int32_t start, stop, put, end;
    int32_t hits = 0, misses = 0;

    int32_t size() const { return stop - start; }
    bool fits(const std::vector<int32_t> &text, int32_t at) const;
};

// The last edits of a sequence, the newest first.
class Edits {
  public:
    const std::vector<Edit> &known() const { return known_; }
    double chance(const Edit &edit) const; // that it comes again where it fits
    void passed(const std::vector<int32_t> &text, int32_t at);
    void learn(const std::vector<int32_t> &text, int32_t start, int32_t stop, int32_t put, int32_t end);
    // Another text is copied: what came only once is forgotten, and how often edits come again is learnt anew.
    void move_on();

  private:
    void split(const std::vector<int32_t> &text, const Edit &whole);
    void learn_hunk(const std::vector<int32_t> &text, const Edit &hunk);
    void learn_marked(const std::vector<int32_t> &text, const Edit &hunk);
    void count(Edit &edit, bool came_again);

    std::vector<Edit> known_;
    std::vector<int32_t> common_; // the table of `split`, which keeps its room
    int64_t tried_ = 0, held_ = 0;
};

} // namespace outrider::retrieval
