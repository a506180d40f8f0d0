// What sampling asks of the kernels: argmax, contenders of a race, sums of exponentials; and walks that use them.
#include "seeded.h"

#include "../sampling/walk.h"

namespace outrider::tests {
namespace {

void choose(const Kernels &kernels, int64_t count, Sums &sums) {
    Array<float> x(count);
    Array<double> wide(count);
    fill(x, 51, 20.0f);
    for (int64_t i = 3; i < count; i += 7) x[i] = i % 2 ? -INFINITY : NAN;
    if (count > 5) x[count - 1] = x[count / 2] = 21.0f; // a tie
    for (int64_t i = 0; i < count; ++i) wide[i] = -(double)(hashed(52, (uint64_t)i) >> 40) * 0x1p-19;
    if (count > 2) wide[1] = -INFINITY, wide[2] = 0.0;
    const int64_t best = kernels.argmax(x.data(), count);
    sums.add("argmax", &best, sizeof best);
    const double sum = kernels.sum_exp(wide.data(), count);
    sums.add("sum_exp", &sum, sizeof sum);

    for (int64_t i = 3; i < count; i += 7) x[i] = -INFINITY;
    const Field field{x.data(), count, 21.0f, 0.8f, 0x1234567890ABCDEFu, 0xFEDCBA0987654321u};
    for (float bar : {-3.0f, 0.0f, 4.0f})
        for (int64_t at = 0; at <= count; ++at) {
            at = kernels.contender(field, at, bar);
            sums.add("contender", &at, sizeof at);
        }
}

constexpr int64_t NODES = 6, REQUESTS = 7;

// Temperature, top_p, min_p, repetition, presence, frequency, top_k, biases (one or none): each alone, then all.
Request request_of(int64_t index, const int64_t *bias_token, const double *bias, const Array<double> *counts) {
    Request request = {0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0, 0, bias_token, bias, nullptr, nullptr,
                       7u,  index, index * (NODES + 1), 100 + index};
    const bool all = index == REQUESTS - 1;
    if (index > 0) request.temperature = index == 1 ? 1e-6 : 0.9;
    if (index == 3 || all) request.top_p = 0.9;
    if (index == 4 || all) request.top_k = 40;
    if (index == 5 || all) request.min_p = 0.01;
    if (!all) return request;
    request.num_biases = 1;
    if (counts == nullptr) return request;
    request.repetition_penalty = 1.3, request.presence_penalty = 0.5, request.frequency_penalty = 0.25;
    request.in_prompt = counts[0].data(), request.output = counts[1].data();
    return request;
}

// One tree a request, all of the same shape: a chain of three, and its first node's siblings.
void walk_trees(const Kernels &kernels, int64_t vocab, Sums &sums) {
    constexpr int64_t WIDTH = 4, PARENT[NODES] = {-1, 0, 1, -1, -1, 0};
    Array<float> logits(REQUESTS * (NODES + 1) * vocab);
    fill(logits, 53, 8.0f);
    const Array<double> counts[2] = {Array<double>(vocab), Array<double>(vocab)};
    const int64_t bias_token = vocab / 2;
    const double bias = 5.0;
    Array<Request> requests(REQUESTS);
    Array<int64_t> token(REQUESTS * NODES), parent(REQUESTS * NODES), emitted(REQUESTS * WIDTH), node(REQUESTS * WIDTH),
        num_emitted(REQUESTS);
    for (int64_t i = 0; i < REQUESTS; ++i) requests[i] = request_of(i, &bias_token, &bias, counts);
    for (int64_t i = 0; i < token.size(); ++i) parent[i] = PARENT[i % NODES], token[i] = -1;
    Chooser chooser(kernels);
    for (int64_t depth = 0; depth < WIDTH; ++depth) { // each time the chains agree with the choices a node further
        walk(chooser, {logits.data(), vocab, requests.data(), token.data(), parent.data(), REQUESTS, NODES, WIDTH,
                       emitted.data(), node.data(), num_emitted.data()});
        sums.add("walk", emitted);
        sums.add("walk", node);
        sums.add("walk", num_emitted);
        for (int64_t i = 0; i < REQUESTS && depth < 3; ++i) token[i * NODES + depth] = emitted[i * WIDTH + depth];
    }
}

// Each request at two rows: without penalties, as a drafter asks, and with what is no number among the logits.
void rank(const Kernels &kernels, int64_t vocab, Sums &sums) {
    Array<float> logits(2 * REQUESTS * vocab);
    fill(logits, 54, 8.0f);
    for (int64_t i = 5; i < logits.size(); i += 11) logits[i] = i % 2 ? -INFINITY : NAN;
    const int64_t bias_token = vocab / 2;
    const double bias = 5.0;
    Array<Request> requests(2 * REQUESTS);
    for (int64_t i = 0; i < requests.size(); ++i) {
        requests[i] = request_of(i / 2, &bias_token, &bias, nullptr);
        requests[i].row = i;
    }
    Chooser chooser(kernels);
    for (int64_t room : {1, 8}) {
        Array<int64_t> token(requests.size() * room);
        Array<double> value(requests.size() * room);
        rank_places(chooser, {logits.data(), vocab, vocab, requests.data(), requests.size(), room, token.data(),
                              value.data()});
        sums.add("rank", token);
    }
}

} // namespace

void choice_cases(const Kernels &kernels, Sums &sums) {
    for (int64_t count : {1, 2, 15, 16, 17, 100, 1000, 4099}) {
        choose(kernels, count, sums);
        walk_trees(kernels, count, sums);
        rank(kernels, count, sums);
    }
}

} // namespace outrider::tests
