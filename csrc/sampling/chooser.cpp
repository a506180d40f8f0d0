#include "chooser.h"

#include "contest.h"

#include <algorithm>
#include <cmath>

namespace outrider {

namespace {

template <class Number> double number_of(Number logit) { return logit == logit ? (double)logit : -INFINITY; }

double penalised(double score, const Request &request, double in_prompt, double output) {
    if (in_prompt + output > 0.0)
        score = score > 0.0 ? score / request.repetition_penalty : score * request.repetition_penalty;
    score -= request.frequency_penalty * output;
    return score - request.presence_penalty * (output > 0.0 ? 1.0 : 0.0);
}

double bias_of(const Request &request, int64_t id) {
    const int64_t *end = request.bias_token + request.num_biases;
    const int64_t *found = std::find(request.bias_token, end, id);
    return found == end ? 0.0 : request.bias[found - request.bias_token];
}

// One id's score with a bias, and a history that has the walk's own tokens.
double weighed(double logit, int64_t id, double bias, const Request &request, Emitted emitted) {
    const double score = logit + bias;
    if (request.output == nullptr) return score;
    const auto again = std::count(emitted.token, emitted.token + emitted.count, id);
    return penalised(score, request, request.in_prompt[id], request.output[id] + (double)again);
}

} // namespace

int64_t Chooser::choose(const float *logits, int64_t vocab, const Request &request, const Words &words,
                        Emitted emitted) {
    const bool keeps_logits = request.keeps_logits();
    if (keeps_logits && (request.is_greedy() || !request.has_filters()))
        return choose_plainly(logits, vocab, request, words);
    score_.resize((size_t)vocab);
    if (!keeps_logits) weigh(logits, request, emitted);
    const int64_t best = keeps_logits ? kernels_.argmax(logits, vocab)
                                      : std::max_element(score_.begin(), score_.end()) - score_.begin();
    const double top = keeps_logits ? (double)logits[best] : score_[(size_t)best];
    if (request.is_greedy() || !std::isfinite(top)) return best;
    const Field field = contest(logits, top, request, words);
    return race(kernels_, field, words, best, [this](int64_t id) { return score_[(size_t)id]; });
}

void Chooser::lead(const float *logits, int64_t vocab, const Request &request, const Words &words, Leaders &leaders) {
    const bool keeps_logits = request.keeps_logits();
    if (!keeps_logits || request.has_filters()) score_.resize((size_t)vocab);
    if (!keeps_logits) weigh(logits, request, {nullptr, 0});
    keeps_logits ? offer_all(logits, vocab, leaders) : offer_all(score_.data(), vocab, leaders);
    if (request.is_greedy() || leaders.size() == 0 || !std::isfinite(leaders.begin()->score)) return;
    favourite_.assign(leaders.begin(), leaders.end());
    leaders.clear();
    const double top = favourite_[0].score, temperature = request.temperature;
    if (keeps_logits && !request.has_filters()) {
        const Field field = {logits, vocab, (float)top, shrink_of(temperature), words.a, words.b};
        race_for_places(kernels_, field, words, favourite_, leaders,
                        [=](int64_t id) { return ((double)logits[id] - top) / temperature; });
    } else {
        const Field field = contest(logits, top, request, words);
        race_for_places(kernels_, field, words, favourite_, leaders,
                        [this](int64_t id) { return coarse_[(size_t)id] > -INFINITY ? score_[(size_t)id] : -INFINITY; });
    }
}

// Of a request that is not plain: its scores, the best at 0, and who is in the race.
Field Chooser::contest(const float *logits, double top, const Request &request, const Words &words) {
    if (request.keeps_logits())
        temper(logits, top, request.temperature);
    else
        temper(score_.data(), top, request.temperature);
    filter(request);
    return {coarse_.data(), (int64_t)coarse_.size(), 0.0f, shrink_of(1.0), words.a, words.b};
}

int64_t Chooser::choose_plainly(const float *logits, int64_t vocab, const Request &request, const Words &words) const {
    const int64_t best = kernels_.argmax(logits, vocab);
    if (request.is_greedy() || !std::isfinite(logits[best])) return best;
    const Field field = {logits, vocab, logits[best], shrink_of(request.temperature), words.a, words.b};
    const double top = logits[best], temperature = request.temperature;
    return race(kernels_, field, words, best,
                [=](int64_t id) { return ((double)logits[id] - top) / temperature; });
}

// Bias and penalties. Every id first as if it had no bias and the walk had emitted nothing, then those that have.
void Chooser::weigh(const float *logits, const Request &request, Emitted emitted) {
    const auto vocab = (int64_t)score_.size();
    double *score = score_.data();
    for (int64_t id = 0; id < vocab; ++id) score[id] = number_of(logits[id]);
    if (request.output != nullptr)
        for (int64_t id = 0; id < vocab; ++id)
            score[id] = penalised(score[id], request, request.in_prompt[id], request.output[id]);
    for (int64_t i = 0; i < request.num_biases; ++i) {
        const int64_t id = request.bias_token[i];
        score[id] = weighed(number_of(logits[id]), id, request.bias[i], request, emitted);
    }
    for (int64_t i = 0; i < emitted.count && request.output != nullptr; ++i) {
        const int64_t id = emitted.token[i];
        score[id] = weighed(number_of(logits[id]), id, bias_of(request, id), request, emitted);
    }
}

template <class Number> void Chooser::temper(const Number *from, double top, double temperature) {
    const auto vocab = (int64_t)score_.size();
    double *score = score_.data();
    for (int64_t id = 0; id < vocab; ++id) score[id] = (number_of(from[id]) - top) / temperature;
}

void Chooser::filter(const Request &request) {
    const auto vocab = (int64_t)score_.size();
    const double *score = score_.data();
    Ranked last = {-INFINITY, vocab};
    if (request.has_filters()) last = ranking_.last_kept(kernels_, request, score, vocab);
    coarse_.resize(score_.size());
    float *coarse = coarse_.data();
    const int64_t split = std::min(last.id + 1, vocab); // of equals with the last, only those up to it stay
    for (int64_t id = 0; id < vocab; ++id) coarse[id] = (float)score[id]; // first, or compilers branch
    for (int64_t id = 0; id < split; ++id) coarse[id] = score[id] >= last.score ? coarse[id] : -INFINITY;
    for (int64_t id = split; id < vocab; ++id) coarse[id] = score[id] > last.score ? coarse[id] : -INFINITY;
}

} // namespace outrider
