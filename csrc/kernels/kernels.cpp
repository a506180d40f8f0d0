// The kernels of one instruction set: this file is compiled once for each, with its own flags and OUTRIDER_ISA.
#include "linear.h"

#include "../formats/pack.h"
#include "attention.h"
#include "gated.h"
#include "race.h"
#include "rows.h"
#include "screen.h"

namespace outrider {
namespace OUTRIDER_ISA {

static void embed(const Matrix &matrix, const int64_t *token, int32_t count, float scale, float *y) {
    for (int i = 0; i < count; ++i) unpack_row(matrix, token[i], scale, y + (int64_t)i * matrix.inputs);
}

#define OUTRIDER_TEXT(x) #x
#define OUTRIDER_NAME(x) OUTRIDER_TEXT(x)

static constexpr Kernels TABLE = {
    OUTRIDER_NAME(OUTRIDER_ISA), linear, gated_linear, doubtful, embed, quantise, norm, gate, add, softcap, weigh, rotate,
    attend, attention_scratch, argmax, most, contender, sum_exp,
};

} // namespace OUTRIDER_ISA

#define OUTRIDER_JOIN(a, b) a##b
#define OUTRIDER_KERNELS(set) OUTRIDER_JOIN(set, _kernels)

const Kernels *OUTRIDER_KERNELS(OUTRIDER_ISA)() { return &OUTRIDER_ISA::TABLE; }

} // namespace outrider
