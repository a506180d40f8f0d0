// The row kernels and attention as plain functions on the caller's thread, for tests and measurements.
#include "api.h"

#include "../kernels/table.h"

using namespace outrider;

constexpr int32_t BAD_SIZE = -1;

OUTRIDER_API int32_t outrider_quantise(const Kernels *kernels, const float *x, int32_t rows, int32_t inputs,
                                       InputBlock *out) {
    if (rows < 0 || inputs < 0 || inputs % 32) return BAD_SIZE;
    kernels->quantise(x, rows, inputs, {out, rows});
    return 0;
}

OUTRIDER_API int32_t outrider_norm(const Kernels *kernels, const float *x, int32_t rows, int32_t groups, int32_t size,
                                   const float *weight, float eps, float *y) {
    if (rows < 0 || groups < 0 || size < 1) return BAD_SIZE;
    kernels->norm(x, rows, groups, size, weight, eps, y);
    return 0;
}

OUTRIDER_API int32_t outrider_gate(const Kernels *kernels, const float *gate, const float *up, int32_t rows,
                                   int32_t size, int32_t activation, float *y) {
    if (rows < 0 || size < 0 || activation < 0 || activation > (int32_t)Activation::GELU_TANH) return BAD_SIZE;
    kernels->gate(gate, up, rows, size, (Activation)activation, y);
    return 0;
}

OUTRIDER_API int32_t outrider_add(const Kernels *kernels, const float *a, const float *b, int64_t count, float *y) {
    kernels->add(a, b, count, y);
    return 0;
}

OUTRIDER_API int32_t outrider_softcap(const Kernels *kernels, float *x, int64_t count, float cap) {
    kernels->softcap(x, count, cap);
    return 0;
}

OUTRIDER_API int32_t outrider_rotate(const Kernels *kernels, const RotateCall *call, int32_t begin, int32_t end) {
    if (begin < 0 || end < begin || call->head_size % TILE_ROWS || call->head_size > MAX_HEAD_SIZE) return BAD_SIZE;
    kernels->rotate(*call, begin, end);
    return 0;
}

OUTRIDER_API int64_t outrider_attention_scratch(const Kernels *kernels, const AttentionCall *call,
                                                const SpanView *span) {
    return kernels->attention_scratch(*call, *span);
}

OUTRIDER_API int32_t outrider_attend(const Kernels *kernels, const AttentionCall *call, const SpanView *span,
                                     int32_t group, int32_t begin, int32_t end, float *scratch) {
    int32_t queries = span->count * (call->heads / call->groups);
    if (call->heads % call->groups || call->head_size % TILE_ROWS || begin < 0 || end > queries) return BAD_SIZE;
    kernels->attend(*call, *span, group, begin, end, scratch);
    return 0;
}
