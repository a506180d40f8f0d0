#include "walk.h"

#include <algorithm>

namespace outrider {

namespace {

constexpr int64_t ANCHOR = -1, NO_TOKEN = -1, NO_NODE = -2;

int64_t child_of(const int64_t *token, const int64_t *parent, int64_t nodes, int64_t node, int64_t choice) {
    for (int64_t i = 0; i < nodes; ++i)
        if (parent[i] == node && token[i] == choice) return i;
    return NO_NODE;
}

int64_t walk_one(Chooser &chooser, const Round &round, int64_t index) {
    const Request &request = round.request[index];
    const int64_t *token = round.token + index * round.nodes, *parent = round.parent + index * round.nodes;
    int64_t *emitted = round.emitted + index * round.width, *path = round.node + index * round.width;
    std::fill_n(emitted, round.width, NO_TOKEN);
    std::fill_n(path, round.width, NO_NODE);
    int64_t node = ANCHOR, depth = 0;
    for (; depth < round.width && node != NO_NODE; ++depth) {
        const float *logits = round.logits + (request.row + 1 + node) * round.vocab;
        const Words words = choice_words(request.seed, request.sample, request.position + depth);
        emitted[depth] = chooser.choose(logits, round.vocab, request, words, {emitted, depth});
        path[depth] = node;
        node = child_of(token, parent, round.nodes, node, emitted[depth]);
    }
    return depth;
}

} // namespace

void walk(Chooser &chooser, const Round &round) {
    for (int64_t index = 0; index < round.count; ++index) round.num_emitted[index] = walk_one(chooser, round, index);
}

void rank_places(Chooser &chooser, const Places &places) {
    std::vector<Ranked> place((size_t)places.room);
    for (int64_t index = 0; index < places.count; ++index) {
        const Request &request = places.request[index];
        Leaders leaders(place.data(), places.room);
        chooser.lead(places.logits + request.row * places.stride, places.vocab, request,
                     choice_words(request.seed, request.sample, request.position), leaders);
        for (int64_t i = 0; i < places.room; ++i) {
            const bool taken = i < leaders.size();
            places.token[index * places.room + i] = taken ? place[(size_t)i].id : NO_TOKEN;
            places.value[index * places.room + i] = taken ? place[(size_t)i].score : -INFINITY;
        }
    }
}

} // namespace outrider
