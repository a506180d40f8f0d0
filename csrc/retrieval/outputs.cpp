#include "outputs.h"

#include <algorithm>

namespace outrider::retrieval {

constexpr size_t MAX_SCOPES = 8;

void Generation::add(const int32_t *token, int64_t count) {
    tokens.insert(tokens.end(), token, token + count);
    sizes.push_back(count);
    for (int64_t i = 0; i < count; ++i) automaton->append(token[i]);
    automaton->separate();
}

void Shelf::add(const int32_t *token, int64_t count, int64_t max_tokens) {
    const int64_t half = max_tokens / 2;
    const int64_t kept = std::min(count, half - 1);
    if (kept <= 0) return;
    if (generations[0].automaton->num_tokens() + kept + 1 > half) {
        generations.insert(generations.begin(), Generation());
        generations.resize(2);
    }
    generations[0].add(token + count - kept, kept);
}

int64_t OutputShelves::num_tokens() const {
    int64_t total = 0;
    for (const Owned &owned : shelves_)
        for (const Generation &generation : owned.shelf.generations) total += generation.automaton->num_tokens();
    return total;
}

const Shelf *OutputShelves::find(const std::string &scope) const {
    for (const Owned &owned : shelves_)
        if (owned.scope == scope) return &owned.shelf;
    return nullptr;
}

void OutputShelves::learn(const int32_t *token, int64_t count, const std::string &scope) {
    if (count <= 0) return;
    auto known = std::find_if(shelves_.begin(), shelves_.end(), [&](const Owned &owned) { return owned.scope == scope; });
    if (known == shelves_.end())
        shelves_.push_back({scope, {}});
    else
        std::rotate(known, known + 1, shelves_.end()); // now the newest
    shelves_.back().shelf.add(token, count, max_tokens_);
    if (shelves_.size() > MAX_SCOPES) shelves_.erase(shelves_.begin());
}

void OutputShelves::restore(const int32_t *token, const int64_t *sizes, int64_t num_outputs, const std::string &scope) {
    Shelf shelf;
    for (int64_t i = 0; i < num_outputs; token += sizes[i++]) shelf.add(token, sizes[i], max_tokens_);
    auto known = std::find_if(shelves_.begin(), shelves_.end(), [&](const Owned &owned) { return owned.scope == scope; });
    if (known == shelves_.end())
        shelves_.push_back({scope, std::move(shelf)});
    else
        known->shelf = std::move(shelf);
}

} // namespace outrider::retrieval
