// A screen: a copy of a matrix at four bits, and for each output how far the copy may be off.
//
//   | output of the matrix - output of the copy |  <=  slack * the length of the inputs              (Cauchy, Schwarz)
//
// The slack is the length of what rounding took from the output's weights, and a little for the roundings of the products
// themselves: 2^-12 of the weights' lengths, where a thousand operations of 2^-24 would be a quarter of that.
#pragma once

#include "pack.h"

namespace outrider {

constexpr Kind SCREEN_KIND = Kind::NIBBLE_HALF;

// Writes tiles tile_begin … tile_end of the screen of a quantised matrix, and their outputs' slack [rows].
void pack_screen(const Matrix &matrix, int32_t tile_begin, int32_t tile_end, uint8_t *to, float *slack);

// The length of a row of inputs, rounded up.
float length_of(const QuantisedRows &x, int64_t row, int32_t inputs);

} // namespace outrider
