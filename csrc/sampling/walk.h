// Verification by match: verify/match.py's `walk`, with its choices, for the trees of a whole round.
#pragma once

#include "chooser.h"

namespace outrider {

// Trees and verdicts are padded as DraftBatch and VerdictBatch are: token -1 and parent -2 behind the last node, token
// -1 and node -2 behind the last emitted. Node i of tree b has the logits of row request[b].row + 1 + i.
struct Round {
    const float *logits; // [rows][vocab]
    int64_t vocab;
    const Request *request; // [count]
    const int64_t *token, *parent; // [count][nodes]
    int64_t count, nodes, width; // width: deepest tree + 1
    int64_t *emitted, *node; // [count][width]
    int64_t *num_emitted; // [count]
};

void walk(Chooser &chooser, const Round &round);

// The best `room` tokens by score + noise after each of `count` rows, best first; token -1 and value -inf behind the
// last. Rows begin `stride` floats apart and count their first `vocab`.
struct Places {
    const float *logits;
    int64_t stride, vocab;
    const Request *request; // [count]
    int64_t count, room;
    int64_t *token; // [count][room]
    double *value;
};

void rank_places(Chooser &chooser, const Places &places);

} // namespace outrider
