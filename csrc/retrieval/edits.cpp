#include "edits.h"

#include <algorithm>

namespace outrider::retrieval {

constexpr size_t MOST = 64, MOST_NEWS = 8;
constexpr int32_t LONGEST = 16, LARGEST_TABLE = 1024;
constexpr double USUAL = 0.35, TOLD = 0.8, BELIEF = 2.0, OWN_BELIEF = 1.5;

static std::vector<int32_t> slice(const std::vector<int32_t> &text, int32_t begin, int32_t end) {
    return {text.begin() + begin, text.begin() + end};
}

bool Edit::fits(const std::vector<int32_t> &text, int32_t at) const {
    const size_t begin = static_cast<size_t>(at - (mark == Mark::BEFORE)); // far behind any text where there is none
    return begin < text.size() && text[begin] == old_n[0] && begin + old_n.size() <= text.size() &&
           std::equal(old_n.begin(), old_n.end(), text.begin() + static_cast<int64_t>(begin));
}

double Edits::chance(const Edit &edit) const {
    const Trials &trials = edit.is_told ? told_ : seen_;
    const double first = edit.is_told ? TOLD : USUAL;
    const double usual = (first * BELIEF + static_cast<double>(trials.held)) / (BELIEF + static_cast<double>(trials.tried));
    return (edit.hits + OWN_BELIEF * usual) / (edit.hits + edit.misses + OWN_BELIEF);
}

void Edits::passed(const std::vector<int32_t> &text, int32_t at) {
    for (Edit &edit : known_)
        if (edit.fits(text, at)) count(edit, false);
}

void Edits::teach(Edit taught) {
    for (const Edit &edit : known_)
        if (edit.is_same(taught)) return;
    if (known_.size() == MOST) known_.pop_back();
    known_.push_back(std::move(taught));
}

void Edits::move_on() {
    const auto is_forgotten = [](const Edit &edit) { return !edit.hits && !edit.is_told; };
    known_.erase(std::remove_if(known_.begin(), known_.end(), is_forgotten), known_.end());
    seen_ = {};
}

// The parts between which tokens stay, by a longest common subsequence, in order.
void Edits::learn(const std::vector<int32_t> &text, const Hunk &whole) {
    const int64_t rows = whole.size(), columns = whole.new_size();
    if (!rows || !columns || rows * columns > LARGEST_TABLE) return learn_hunk(text, whole);
    split(text, whole);
}

void Edits::split(const std::vector<int32_t> &text, const Hunk &whole) {
    const int32_t *old_n = text.data() + whole.start, *new_n = text.data() + whole.put;
    const int32_t rows = whole.size(), columns = whole.new_size();
    common_.assign(static_cast<size_t>(rows + 1) * static_cast<size_t>(columns + 1), 0);
    const auto common = [&](int32_t row, int32_t column) -> int32_t & {
        return common_[static_cast<size_t>(row) * static_cast<size_t>(columns + 1) + static_cast<size_t>(column)];
    };
    for (int32_t row = rows - 1; row >= 0; --row)
        for (int32_t column = columns - 1; column >= 0; --column)
            common(row, column) = old_n[row] == new_n[column] ? common(row + 1, column + 1) + 1
                                                              : std::max(common(row + 1, column), common(row, column + 1));
    Hunk hunk = whole; // begins where both stand behind the last token that stays
    const auto close = [&](int32_t row, int32_t column) {
        hunk.stop = whole.start + row;
        hunk.end = whole.put + column;
        if (hunk.size() || hunk.new_size()) learn_hunk(text, hunk);
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
void Edits::learn_hunk(const std::vector<int32_t> &text, const Hunk &hunk) {
    if (hunk.size() > LONGEST || hunk.new_size() > LONGEST) return;
    const int32_t start = hunk.start;
    const std::vector<int32_t> new_n = slice(text, hunk.put, hunk.end);
    if (hunk.size()) {
        const bool is_new = learn_edit(text, start, {Mark::SPAN, slice(text, start, hunk.stop), new_n});
        if (is_new && hunk.new_size() && news_.size() < MOST_NEWS) news_.push_back(hunk);
        return;
    }
    if (start > 0) learn_edit(text, start, {Mark::BEFORE, slice(text, start - 1, start), new_n});
    learn_edit(text, start, {Mark::BEHIND, slice(text, start, start + 1), new_n});
}

// What fits here and says the same is right, what says something else is wrong; whether it is new.
bool Edits::learn_edit(const std::vector<int32_t> &text, int32_t start, Edit learnt) {
    size_t again = known_.size();
    for (size_t i = 0; i < known_.size(); ++i) {
        Edit &edit = known_[i];
        if (edit.mark != learnt.mark || !edit.fits(text, start)) continue;
        const bool is_same = edit.is_same(learnt);
        count(edit, is_same);
        if (is_same) again = i;
    }
    const bool is_new = again == known_.size();
    if (is_new && known_.size() == MOST) known_.pop_back();
    if (is_new) known_.push_back(std::move(learnt));
    const auto newest = known_.begin() + static_cast<int64_t>(is_new ? known_.size() - 1 : again);
    std::rotate(known_.begin(), newest, newest + 1);
    return is_new;
}

void Edits::count(Edit &edit, bool came_again) {
    if (!edit.hits && !edit.misses) {
        Trials &trials = edit.is_told ? told_ : seen_;
        ++trials.tried;
        trials.held += came_again;
    }
    if (came_again) {
        ++edit.hits;
        edit.misses = 0;
    } else {
        ++edit.misses;
    }
}

} // namespace outrider::retrieval
