// exp and tanh on sixteen lanes, by polynomials of our own: library functions differ from machine to machine.
#pragma once

#include "../simd/lanes.h"

namespace outrider::OUTRIDER_ISA {

// x * 2^n, rounded once, for 1/2 <= |x| <= 2 and whole n of -252 … 252.
OUTRIDER_INLINE F scaled(F x, F n) {
#if defined(__AVX512F__)
    return {(f32p)_mm512_scalef_ps((__m512)x.part[0], (__m512)n.part[0])};
#else
    // 2^n in two factors, both normal floats: the last multiplication does the rounding to subnormals or infinity.
    I power = round_to_int(n), half = shift_right<1>(power), bias = splat_int(127);
    F low = as_float(shift_left<23>(half + bias)), high = as_float(shift_left<23>(power - half + bias));
    return x * low * high;
#endif
}

// Relative error below 2e-7 where the result is normal; 0 from -104 down (-inf too), infinity from 88.73 up; NaN stays.
//
//   exp(x) = 2^n * exp(r),   n = round(x / ln 2),   |r| <= ln 2 / 2
//
// ln 2 is taken in two pieces, so that n * (first piece) is exact.
OUTRIDER_INLINE F exp(F x) {
    x = max(min(x, splat(89.0f)), splat(-104.0f));
    F n = round(x * splat(1.44269504f));
    F r = fma(n, splat(-0.693359375f), x);
    r = fma(n, splat(2.12194440e-4f), r);
    F p = splat(1.0f / 5040);
    p = fma(p, r, splat(1.0f / 720));
    p = fma(p, r, splat(1.0f / 120));
    p = fma(p, r, splat(1.0f / 24));
    p = fma(p, r, splat(1.0f / 6));
    p = fma(p, r, splat(0.5f));
    p = fma(p, r * r, r) + splat(1.0f);
    return scaled(p, n);
}

// Relative error below 3e-7. Near 0 the odd Taylor series up to x^15 (1 - 2 / (exp(2x) + 1) would cancel), else that.
OUTRIDER_INLINE F tanh(F x) {
    F size = abs(x), square = x * x;
    F p = splat(-929569.0f / 638512875.0f);
    p = fma(p, square, splat(21844.0f / 6081075));
    p = fma(p, square, splat(-1382.0f / 155925));
    p = fma(p, square, splat(62.0f / 2835));
    p = fma(p, square, splat(-17.0f / 315));
    p = fma(p, square, splat(2.0f / 15));
    p = fma(p, square, splat(-1.0f / 3));
    F near = fma(p * square, size, size);
    F far = splat(1.0f) - splat(2.0f) / (exp(size + size) + splat(1.0f));
    I sign = as_int(x) & splat_int(INT32_MIN);
    return as_float(as_int(select(less(splat(0.5f), size), far, near)) | sign);
}

} // namespace outrider::OUTRIDER_ISA
