#include "suffixes.h"

#include <algorithm>
#include <cmath>

namespace outrider::retrieval {

constexpr size_t MAX_CONTEXTS = 6;
constexpr int32_t GUESSED = 2; // tokens of a change after which it is taken for a single token's; fewer count as agreement

static Trust trust_of(const SuffixSettings &settings) {
    return {{settings.escape, settings.escape + settings.num_escape},
            {settings.copy_trust, settings.copy_trust + settings.num_copy_trust}};
}

Suffixes::Suffixes(const SuffixSettings &settings)
    : past(settings.past), settings_(settings), growth_(trust_of(settings)) {}

int64_t Suffixes::propose(const Ask &ask, DraftWriter &out) {
    SuffixSequence &sequence = *static_cast<SuffixSequence *>(ask.sequence);
    sequence.place_cursors(past);
    find_contexts(sequence);
    int32_t longest = contexts_.empty() ? 0 : contexts_[0].length;
    longest = std::max(longest, add_copies(sequence));
    const double reach = std::max(std::trunc(settings_.factor * longest + settings_.offset), 0.0);
    const int64_t depth = reach < static_cast<double>(ask.depth) ? static_cast<int64_t>(reach) : ask.depth;
    const int64_t nodes = std::min({settings_.max, ask.nodes, out.room()});
    if (longest < settings_.min_match || nodes <= 0 || depth <= 0) return 0;
    const Thrift thrift = Thrift::within(ask, settings_.floor, settings_.cheap);
    growth_.grow(contexts_, sequence.tokens(), nodes, depth, thrift, out);
    return out.size();
}

// Where the sequence is copying, or may be, after a change or anew, before all other contexts; behind them, right after
// a change, the copy as if one token was replaced. Gives the longest match that these are worth.
int32_t Suffixes::add_copies(const SuffixSequence &sequence) {
    const std::vector<int32_t> &text = sequence.tokens();
    const Alignment &alignment = sequence.alignment();
    const Edits &edits = alignment.edits();
    const auto add = [&](const Context &context) {
        contexts_.insert(contexts_.begin(), context);
        return context.length;
    };
    const auto add_source = [&](const Source &source, int32_t otherwise) {
        return source.position == NONE ? otherwise : add(Context::copy(source.position, source.length, edits));
    };
    if (alignment.is_copying()) return add(Context::copy(alignment.at(), alignment.run(), edits));
    if (!alignment.is_changing()) return add_source(alignment.fresh(), 0);
    const int32_t done = alignment.done(text), guessed = done <= GUESSED ? 1 : 0;
    if (guessed) contexts_.push_back(Context::copy(alignment.at() + 1, GUESSED - done, edits, true));
    if (const Edit *edit = alignment.begun_edit(text))
        return add(Context::change(*edit, alignment.at(), edits, done));
    const Source near = alignment.resume(text), &fresh = alignment.fresh();
    return add_source(fresh.length > near.length ? fresh : near, guessed);
}

// Every context that ends here, longest first, the sequence's own before those of past outputs.
void Suffixes::find_contexts(SuffixSequence &sequence) {
    contexts_.clear();
    const SuffixAutomaton &own = sequence.own();
    const int32_t match = own.longest_seen_suffix();
    add_linked(own, {match, own.length(match)});
    for (Cursor &cursor : sequence.cursors()) {
        cursor.settle();
        add_linked(*cursor.automaton, cursor.match);
    }
    if (contexts_.size() > MAX_CONTEXTS) contexts_.resize(MAX_CONTEXTS);
}

// A match and the shorter contexts that its suffix links lead to, each behind those that are as long.
void Suffixes::add_linked(const SuffixAutomaton &automaton, Match match) {
    const auto is_longer = [](int32_t length, const Context &context) { return length > context.length; };
    for (size_t found = 0; match.state > ROOT && found < MAX_CONTEXTS; ++found) {
        const auto place = std::upper_bound(contexts_.begin(), contexts_.end(), match.length, is_longer);
        contexts_.insert(place, {&automaton, match.state, match.length});
        match.state = automaton.link(match.state);
        match.length = automaton.length(match.state);
    }
}

} // namespace outrider::retrieval
