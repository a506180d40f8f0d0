#include "growth.h"

#include <algorithm>
#include <cmath>

namespace outrider::retrieval {

constexpr double EDIT_TRUST = 0.9;

namespace {

struct Step {
    int32_t token;
    Context below;
};

} // namespace

void TokenSet::clear() {
    size_ = 0;
    if (++turn_ == 0) { // wrapped round: old turns would look current
        std::fill(places_.begin(), places_.end(), Place{});
        turn_ = 1;
    }
}

bool TokenSet::insert(int32_t token) {
    if (2 * (size_ + 1) > places_.size()) {
        std::vector<Place> old(2 * places_.size());
        old.swap(places_);
        for (const Place &place : old)
            if (place.turn == turn_) put(place.token);
    }
    const bool is_new = put(token);
    size_ += is_new;
    return is_new;
}

bool TokenSet::put(int32_t token) {
    size_t at = (static_cast<uint32_t>(token) * 0x9E3779B1u >> 4) & (places_.size() - 1);
    for (; places_[at].turn == turn_; at = (at + 1) & (places_.size() - 1))
        if (places_[at].token == token) return false;
    places_[at] = {token, turn_};
    return true;
}

void Growth::grow(const std::vector<Context> &contexts, const std::vector<int32_t> &text, int64_t nodes, int64_t depth,
                  Thrift thrift, DraftWriter &out) {
    blend(contexts, text, thrift.first);
    std::make_heap(branches_.begin(), branches_.end(), IsWorse());
    while (!branches_.empty() && out.size() < nodes) {
        std::pop_heap(branches_.begin(), branches_.end(), IsWorse());
        const Branch branch = branches_.back();
        branches_.pop_back();
        if (!thrift.allows(branch.survival, out.size())) return;
        out.add(branch.token, branch.parent, branch.survival);
        if (branch.depth == depth) continue;
        guess(branch.below, text, thrift.first / branch.survival);
        for (const Guess &guess : guesses_) {
            add(guess, branch.survival, static_cast<int32_t>(out.size()) - 1, branch.depth + 1);
            std::push_heap(branches_.begin(), branches_.end(), IsWorse());
        }
    }
}

// Successors of the anchor: every context's shares of what the ones before it left.
void Growth::blend(const std::vector<Context> &contexts, const std::vector<int32_t> &text, double least) {
    branches_.clear();
    found_.clear();
    order_ = 0;
    double left = 1.0;
    for (const Context &context : contexts) {
        if (left <= least) return;
        double claimed = 0.0;
        guess(context, text, least / left);
        for (const Guess &guess : guesses_) {
            if (!found_.insert(guess.token)) continue;
            add(guess, left, ANCHOR, 1);
            claimed += guess.chance;
        }
        left *= 1.0 - claimed;
    }
}

void Growth::add(const Guess &guess, double above, int32_t parent, int64_t depth) {
    branches_.push_back({above * guess.chance, ++order_, guess.token, parent, static_cast<int32_t>(depth), guess.below});
}

// The context's next tokens with at least that chance, into `guesses_`.
void Growth::guess(const Context &context, const std::vector<int32_t> &text, double least) {
    guesses_.clear();
    if (!context.automaton) return guess_copy(context, text, least);
    const Edge *edges = context.automaton->edges(context.where), *only = nullptr;
    int num_successors = 0;
    for (int32_t i = 0; i < context.automaton->num_edges(context.where) && num_successors < 2; ++i) {
        if (edges[i].token < 0) continue; // a separator
        ++num_successors;
        only = &edges[i];
    }
    if (num_successors == 1) guess_only(context, *only, least);
    if (num_successors == 2) guess_several(context, least);
}

// What a copy or an edit says next, NONE at the end of the text or below zero at a separator; and the place behind it.
static Step step(const Context &context, const std::vector<int32_t> &text) {
    if (context.put != context.end) {
        Context below = context;
        ++below.put;
        return {*context.put, below};
    }
    const size_t position = static_cast<size_t>(context.where);
    if (position >= text.size()) return {NONE, context};
    return {text[position], Context::copy(context.where + 1, context.length + 1, *context.edits)};
}

void Growth::guess_copy(const Context &context, const std::vector<int32_t> &text, double least) {
    const Step next = step(context, text);
    if (next.token < 0) return;
    double chance = context.put != context.end ? EDIT_TRUST : Trust::of(trust_.copy, context.length);
    if (!context.is_plain) chance = guess_edits(context, text, chance, least);
    if (chance >= least) guesses_.push_back({chance, next.token, next.below});
}

// What known edits put there, the newest first; gives what they leave of the chance to go on.
double Growth::guess_edits(const Context &context, const std::vector<int32_t> &text, double left, double least) {
    const int32_t plain = text[static_cast<size_t>(context.where)];
    found_edits_.clear();
    for (const Edit &edit : context.edits->known()) {
        if (!edit.fits(text, context.where)) continue;
        const Step next = step(Context::change(edit, context.where, *context.edits), text);
        if (next.token < 0 || next.token == plain) continue;
        if (std::find(found_edits_.begin(), found_edits_.end(), next.token) != found_edits_.end()) continue;
        found_edits_.push_back(next.token);
        const double chance = context.edits->chance(edit);
        if (left * chance >= least) guesses_.push_back({left * chance, next.token, next.below});
        left *= 1.0 - chance;
    }
    return left;
}

// A single successor, which is the rule inside a copy.
void Growth::guess_only(const Context &context, const Edge &edge, double least) {
    const int32_t seen = context.automaton->count(edge.target);
    if (!seen) return;
    const double chance = 1.0 / (1.0 + Trust::of(trust_.escape, context.length) / std::sqrt(static_cast<double>(seen)));
    if (chance >= least)
        guesses_.push_back({chance, edge.token, {context.automaton, edge.target, context.length + 1}});
}

// Newest first, so that it goes first among equals.
void Growth::guess_several(const Context &context, double least) {
    const SuffixAutomaton &automaton = *context.automaton;
    const Edge *edges = automaton.edges(context.where);
    const int32_t size = automaton.num_edges(context.where);
    int64_t total = 0;
    for (int32_t i = 0; i < size; ++i)
        if (edges[i].token >= 0) total += automaton.count(edges[i].target);
    if (!total) return;
    const double escape = Trust::of(trust_.escape, context.length);
    const double each = 1.0 / (1.0 + escape / std::sqrt(static_cast<double>(total))) / static_cast<double>(total);
    for (int32_t i = size - 1; i >= 0; --i) {
        if (edges[i].token < 0) continue;
        const double chance = automaton.count(edges[i].target) * each;
        if (chance >= least)
            guesses_.push_back({chance, edges[i].token, {&automaton, edges[i].target, context.length + 1}});
    }
}

} // namespace outrider::retrieval
