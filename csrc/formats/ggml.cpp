// ggml's block formats. Source of the layouts: the `gguf` package's quants.py, which the tests compare with.
#include "pack.h"

#include <cstring>

namespace outrider {
namespace {

uint16_t half_at(const uint8_t *from) {
    uint16_t h;
    std::memcpy(&h, from, 2);
    return h;
}
uint16_t negative(uint16_t half) { return half ^ 0x8000; } // files add minima, we subtract them

// Sixteen bytes of nibbles: inputs 0 … 15 in the low ones, 16 … 31 in the high ones.
void read_nibbles(const uint8_t *from, int half, uint8_t *code) {
    for (int j = 0; j < half; ++j) {
        code[j] = from[j] & 15;
        code[j + half] = from[j] >> 4;
    }
}
void add_fifth_bits(const uint8_t *from, uint8_t *code) {
    uint32_t bits;
    std::memcpy(&bits, from, 4);
    for (int j = 0; j < 32; ++j) code[j] |= (bits >> j & 1) << 4;
}

// Eight 6-bit scales and minima in twelve bytes: the first four of each in the low six bits of bytes 0 … 7, the others'
// low nibbles in bytes 8 … 11 and their two high bits on top of the first four.
void read_scales_6(const uint8_t *from, RowBlock &to) {
    for (int g = 0; g < 4; ++g) {
        to.multiplier[g] = from[g] & 63;
        to.multiplier_min[g] = from[g + 4] & 63;
        to.multiplier[g + 4] = (from[g + 8] & 15) | from[g] >> 6 << 4;
        to.multiplier_min[g + 4] = from[g + 8] >> 4 | from[g + 4] >> 6 << 4;
    }
}

// Two bits a code, in two halves of 128 inputs: bits 2 * part of 32 bytes are 32 consecutive inputs.
void read_pairs(const uint8_t *from, uint8_t *code) {
    for (int i = 0; i < BLOCK_INPUTS; ++i) code[i] = from[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

} // namespace

void read_q4_0(const uint8_t *from, int groups, RowBlock &to) {
    for (int g = 0; g < groups; ++g, from += 18) {
        to.scale[g] = half_at(from);
        read_nibbles(from + 2, 16, to.code + 32 * g);
    }
}

void read_q4_1(const uint8_t *from, int groups, RowBlock &to) {
    for (int g = 0; g < groups; ++g, from += 20) {
        to.scale[g] = half_at(from);
        to.minimum[g] = negative(half_at(from + 2));
        read_nibbles(from + 4, 16, to.code + 32 * g);
    }
}

void read_q5_0(const uint8_t *from, int groups, RowBlock &to) {
    for (int g = 0; g < groups; ++g, from += 22) {
        to.scale[g] = half_at(from);
        read_nibbles(from + 6, 16, to.code + 32 * g);
        add_fifth_bits(from + 2, to.code + 32 * g);
    }
}

void read_q5_1(const uint8_t *from, int groups, RowBlock &to) {
    for (int g = 0; g < groups; ++g, from += 24) {
        to.scale[g] = half_at(from);
        to.minimum[g] = negative(half_at(from + 2));
        read_nibbles(from + 8, 16, to.code + 32 * g);
        add_fifth_bits(from + 4, to.code + 32 * g);
    }
}

void read_q8_0(const uint8_t *from, int groups, RowBlock &to) {
    for (int g = 0; g < groups; ++g, from += 34) {
        to.scale[g] = half_at(from);
        for (int j = 0; j < 32; ++j) to.code[32 * g + j] = from[2 + j] ^ 0x80;
    }
}

void read_q2_k(const uint8_t *from, int, RowBlock &to) { // scales [16], codes [64], d, dmin
    for (int g = 0; g < 16; ++g) {
        to.multiplier[g] = from[g] & 15;
        to.multiplier_min[g] = from[g] >> 4;
    }
    read_pairs(from + 16, to.code);
    to.d = half_at(from + 80);
    to.dmin = half_at(from + 82);
}

void read_q3_k(const uint8_t *from, int, RowBlock &to) { // high bits [32], low bits [64], scales [12], d
    const uint8_t *scales = from + 96;
    for (int g = 0; g < 16; ++g)
        to.multiplier[g] = (scales[g % 8] >> g / 8 * 4 & 15) | (scales[8 + g % 4] >> g / 4 * 2 & 3) << 4;
    read_pairs(from + 32, to.code);
    for (int i = 0; i < BLOCK_INPUTS; ++i) to.code[i] |= (from[i % 32] >> i / 32 & 1) << 2;
    to.d = half_at(from + 108);
}

void read_q4_k(const uint8_t *from, int, RowBlock &to) { // d, dmin, scales [12], codes [128]
    to.d = half_at(from);
    to.dmin = half_at(from + 2);
    read_scales_6(from + 4, to);
    for (int part = 0; part < 4; ++part) read_nibbles(from + 16 + 32 * part, 32, to.code + 64 * part);
}

void read_q5_k(const uint8_t *from, int, RowBlock &to) { // d, dmin, scales [12], high bits [32], low bits [128]
    to.d = half_at(from);
    to.dmin = half_at(from + 2);
    read_scales_6(from + 4, to);
    for (int part = 0; part < 4; ++part) read_nibbles(from + 48 + 32 * part, 32, to.code + 64 * part);
    for (int i = 0; i < BLOCK_INPUTS; ++i) to.code[i] |= (from[16 + i % 32] >> i / 32 & 1) << 4;
}

void read_q6_k(const uint8_t *from, int, RowBlock &to) { // low bits [128], high bits [64], scales [16], d
    for (int part = 0; part < 2; ++part) read_nibbles(from + 64 * part, 64, to.code + 128 * part);
    uint8_t high[BLOCK_INPUTS];
    read_pairs(from + 128, high);
    for (int i = 0; i < BLOCK_INPUTS; ++i) to.code[i] |= high[i] << 4;
    for (int g = 0; g < 16; ++g) to.multiplier[g] = from[192 + g] ^ 0x80;
    to.d = half_at(from + 208);
}

} // namespace outrider
