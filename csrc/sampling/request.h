// What a request asks of its tokens, as ops/native/choose.py lays it out: 8 bytes a field, in this order.
#pragma once

#include <cstdint>

namespace outrider {

// core/sampling.py has the meaning of each. `in_prompt` and `output` are float64 counts by token id, null without
// penalties; `row` and `position` are those of the anchor's logits and of the token chosen after it.
struct Request {
    double temperature, top_p, min_p;
    double repetition_penalty, presence_penalty, frequency_penalty;
    int64_t top_k;
    int64_t num_biases;
    const int64_t *bias_token;
    const double *bias;
    const double *in_prompt, *output;
    uint64_t seed;
    int64_t sample;
    int64_t row, position;

    bool is_greedy() const { return temperature == 0.0; }
    bool has_filters() const { return top_k > 0 || top_p < 1.0 || min_p > 0.0; }
    bool keeps_logits() const { return num_biases == 0 && output == nullptr; }
};

// Tokens that this walk has emitted, which the request's own history does not count yet.
struct Emitted {
    const int64_t *token;
    int64_t count;
};

} // namespace outrider
