// Inputs that are the same on every machine, in memory that sanitizers watch closely, and sums to compare results by.
#pragma once

#include "../kernels/table.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <new>
#include <string>

namespace outrider::tests {

inline uint64_t hashed(uint64_t seed, uint64_t index) { // SplitMix64's output function
    uint64_t word = seed * 0x9E3779B97F4A7C15u + index;
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9u;
    word = (word ^ word >> 27) * 0x94D049BB133111EBu;
    return word ^ word >> 31;
}

// Not one byte more than was asked for, and aligned for nothing wider than T, unless `aligned` (to 64 bytes).
template <class T> class Array {
  public:
    explicit Array(int64_t count, bool aligned = false)
        : count_(count), shift_(aligned ? 0 : alignof(T)),
          memory_((uint8_t *)::operator new(shift_ + count * sizeof(T), std::align_val_t(64))) {
        std::memset(memory_, 0, shift_ + count * sizeof(T));
    }
    Array(const Array &) = delete;
    Array &operator=(const Array &) = delete;
    ~Array() { ::operator delete(memory_, std::align_val_t(64)); }

    T *data() { return (T *)(memory_ + shift_); }
    const T *data() const { return (const T *)(memory_ + shift_); }
    T &operator[](int64_t i) { return data()[i]; }
    int64_t size() const { return count_; }

  private:
    int64_t count_;
    size_t shift_;
    uint8_t *memory_;
};

inline void fill(Array<float> &to, uint64_t seed, float scale = 1.0f) { // -scale … scale, exact steps
    for (int64_t i = 0; i < to.size(); ++i)
        to[i] = (float)((int32_t)(hashed(seed, (uint64_t)i) >> 40) - (1 << 23)) * 0x1p-23f * scale;
}

// What came out, by name: one running hash (FNV-1a) each.
class Sums {
  public:
    void add(const std::string &name, const void *bytes, size_t count) {
        uint64_t &sum = sums_.emplace(name, 0xCBF29CE484222325u).first->second;
        for (size_t i = 0; i < count; ++i) sum = (sum ^ ((const uint8_t *)bytes)[i]) * 0x100000001B3u;
    }
    template <class T> void add(const std::string &name, const Array<T> &array) {
        add(name, array.data(), (size_t)array.size() * sizeof(T));
    }
    const std::map<std::string, uint64_t> &all() const { return sums_; }

  private:
    std::map<std::string, uint64_t> sums_;
};

void linear_cases(const Kernels &kernels, Sums &sums);
void row_cases(const Kernels &kernels, Sums &sums);
void attention_cases(const Kernels &kernels, Sums &sums);
void choice_cases(const Kernels &kernels, Sums &sums);
void retrieval_cases(Sums &sums);

bool barriers_stand_where_needed();

} // namespace outrider::tests
