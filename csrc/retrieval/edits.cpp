#include "edits.h"

#include <algorithm>

namespace outrider::retrieval {

constexpr size_t MOST = 32;
constexpr int32_t LONGEST = 16, LARGEST_TABLE = 1024;
constexpr double USUAL = 0.35, BELIEF = 2.0, OWN_BELIEF = 1.5;

static bool same(const std::vector<int32_t> &text, int32_t one, int32_t other, int32_t size) {
    return std::equal(text.begin() + one, text.begin() + one + size, text.begin() + other);
}

bool Edit::fits(const std::vector<int32_t> &text, int32_t at) const {
    const auto token = [&](int32_t position) { return text[static_cast<size_t>(position)]; };
    if (mark == Mark::BEFORE) return at > 0 && token(at - 1) == token(start - 1);
    if (mark == Mark::BEHIND) return token(at) == token(start);
    return token(at) == token(start) && at + size() <= static_cast<int32_t>(text.size()) && same(text, start, at, size());
}

double Edits::chance(const Edit &edit) const {
    const double usual = (USUAL * BELIEF + static_cast<double>(held_)) / (BELIEF + static_cast<double>(tried_));
    return (edit.hits + OWN_BELIEF * usual) / (edit.hits + edit.misses + OWN_BELIEF);
}

void Edits::passed(const std::vector<int32_t> &text, int32_t at) {
    for (Edit &edit : known_)
        if (edit.fits(text, at)) count(edit, false);
}

void Edits::move_on() {
    known_.erase(std::remove_if(known_.begin(), known_.end(), [](const Edit &edit) { return !edit.hits; }), known_.end());
    tried_ = held_ = 0;
}

// The parts between which tokens stay, by a longest common subsequence, in order.
void Edits::learn(const std::vector<int32_t> &text, int32_t start, int32_t stop, int32_t put, int32_t end) {
    const Edit whole = {Mark::SPAN, start, stop, put, end};
    const int64_t rows = stop - start, columns = end - put;
    if (!rows || !columns || rows * columns > LARGEST_TABLE) return learn_hunk(text, whole);
    split(text, whole);
}

void Edits::split(const std::vector<int32_t> &text, const Edit &whole) {
    const int32_t *old_n = text.data() + whole.start, *new_n = text.data() + whole.put;
    const int32_t rows = whole.size(), columns = whole.end - whole.put;
    common_.assign(static_cast<size_t>(rows + 1) * static_cast<size_t>(columns + 1), 0);
    const auto common = [&](int32_t row, int32_t column) -> int32_t & {
        return common_[static_cast<size_t>(row) * static_cast<size_t>(columns + 1) + static_cast<size_t>(column)];
    };
    for (int32_t row = rows - 1; row >= 0; --row)
        for (int32_t column = columns - 1; column >= 0; --column)
            common(row, column) = old_n[row] == new_n[column] ? common(row + 1, column + 1) + 1
                                                              : std::max(common(row + 1, column), common(row, column + 1));
    Edit hunk = whole; // begins where both stand behind the last token that stays
    const auto close = [&](int32_t row, int32_t column) {
        hunk.stop = whole.start + row;
        hunk.end = whole.put + column;
        if (hunk.size() || hunk.end > hunk.put) learn_hunk(text, hunk);
    };
    int32_t row = 0, column = 0;
    while (row < rows && column < columns) {
        if (old_n[row] == new_n[column]) {
            close(row++, column++);
            hunk.start = whole.start + row;
            hunk.put = whole.put + column;
        } else if (common(row + 1, column) >= common(row, column + 1)) {
            ++row;
        } else {
            ++column;
        }
    }
    close(rows, columns);
}

// An insertion is known by the token in front of it and by the one behind it.
void Edits::learn_hunk(const std::vector<int32_t> &text, const Edit &hunk) {
    if (hunk.size() > LONGEST || hunk.end - hunk.put > LONGEST) return;
    if (hunk.size()) return learn_marked(text, hunk);
    Edit marked = hunk;
    marked.mark = Mark::BEFORE;
    if (hunk.start > 0) learn_marked(text, marked);
    marked.mark = Mark::BEHIND;
    learn_marked(text, marked);
}

// What fits here and says the same is right, what says something else is wrong.
void Edits::learn_marked(const std::vector<int32_t> &text, const Edit &hunk) {
    size_t again = known_.size();
    for (size_t i = 0; i < known_.size(); ++i) {
        Edit &edit = known_[i];
        if (edit.mark != hunk.mark || !edit.fits(text, hunk.start)) continue;
        const bool is_same = edit.size() == hunk.size() && edit.end - edit.put == hunk.end - hunk.put &&
                             same(text, edit.put, hunk.put, hunk.end - hunk.put);
        count(edit, is_same);
        if (is_same) again = i;
    }
    const bool is_new = again == known_.size();
    if (is_new && known_.size() < MOST) known_.push_back(hunk);
    if (is_new) known_.back() = hunk; // the oldest goes
    const auto newest = known_.begin() + static_cast<int64_t>(is_new ? known_.size() - 1 : again);
    std::rotate(known_.begin(), newest, newest + 1);
}

void Edits::count(Edit &edit, bool came_again) {
    if (!edit.hits && !edit.misses) {
        ++tried_;
        held_ += came_again;
    }
    if (came_again) {
        ++edit.hits;
        edit.misses = 0;
    } else {
        ++edit.misses;
    }
}

} // namespace outrider::retrieval
