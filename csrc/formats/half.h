// Half precision for code that is compiled once, without an instruction set of its own.
#pragma once

#define OUTRIDER_ISA plain
#include "../simd/lanes.h"

namespace outrider {

using plain::float_to_half;
using plain::half_to_float;

static inline float bfloat_to_float(uint16_t x) {
    const uint32_t bits = (uint32_t)x << 16;
    float r;
    std::memcpy(&r, &bits, 4);
    return r;
}

} // namespace outrider
