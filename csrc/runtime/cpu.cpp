#include "cpu.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace outrider {

// A set that is not compiled in has no kernels.
#define OUTRIDER_MISSING(set)                                                                                          \
    const Kernels *set##_kernels() { return nullptr; }
#if !defined(OUTRIDER_HAS_portable)
OUTRIDER_MISSING(portable)
#endif
#if !defined(OUTRIDER_HAS_avx2)
OUTRIDER_MISSING(avx2)
#endif
#if !defined(OUTRIDER_HAS_avx2_vnni)
OUTRIDER_MISSING(avx2_vnni)
#endif
#if !defined(OUTRIDER_HAS_avx512)
OUTRIDER_MISSING(avx512)
#endif
#if !defined(OUTRIDER_HAS_neon)
OUTRIDER_MISSING(neon)
#endif
#if !defined(OUTRIDER_HAS_neon_dot)
OUTRIDER_MISSING(neon_dot)
#endif
#if !defined(OUTRIDER_HAS_neon_i8mm)
OUTRIDER_MISSING(neon_i8mm)
#endif
#undef OUTRIDER_MISSING

namespace {

struct Features {
    bool avx2 = false, avx2_vnni = false, avx512 = false;
    bool dot = false, i8mm = false;
};

#if defined(__x86_64__)

struct Leaf {
    uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Leaf leaf(uint32_t number, uint32_t part) {
    Leaf found;
    if (!__get_cpuid_count(number, part, &found.eax, &found.ebx, &found.ecx, &found.edx)) return Leaf{};
    return found;
}

// Registers that the operating system saves when it switches threads; the processor alone is not enough.
uint64_t saved_registers() {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

bool all(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

Features detect() {
    constexpr uint32_t FMA = 1u << 12, OSXSAVE = 1u << 27, F16C = 1u << 29;          // leaf 1, ecx
    constexpr uint32_t AVX2 = 1u << 5;                                               // leaf 7, ebx
    constexpr uint32_t F = 1u << 16, DQ = 1u << 17, BW = 1u << 30, VL = 1u << 31;    // leaf 7, ebx
    constexpr uint32_t AVX512_VNNI = 1u << 11;                                       // leaf 7, ecx
    constexpr uint32_t AVX_VNNI = 1u << 4;                                           // leaf 7.1, eax
    constexpr uint64_t YMM = 0x06, ZMM = 0xe6;                                       // xcr0
    Features has;
    Leaf one = leaf(1, 0), seven = leaf(7, 0);
    if (!all(one.ecx, FMA | OSXSAVE | F16C)) return has;
    uint64_t saved = saved_registers();
    has.avx2 = all(saved, YMM) && all(seven.ebx, AVX2);
    has.avx2_vnni = has.avx2 && seven.eax >= 1 && all(leaf(7, 1).eax, AVX_VNNI);
    has.avx512 = has.avx2 && all(saved, ZMM) && all(seven.ebx, F | DQ | BW | VL) && all(seven.ecx, AVX512_VNNI);
    return has;
}

#elif defined(__aarch64__) && defined(__linux__)

Features detect() {
    constexpr unsigned long ASIMDDP = 1ul << 20, I8MM = 1ul << 13; // hwcap, hwcap2; old headers lack the second
    constexpr unsigned long HWCAP2 = 26;                           // AT_HWCAP2
    Features has;
    has.dot = getauxval(AT_HWCAP) & ASIMDDP;
    has.i8mm = has.dot && getauxval(HWCAP2) & I8MM;
    return has;
}

#elif defined(__aarch64__) && defined(__APPLE__)

bool feature(const char *name) {
    int32_t value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value;
}

Features detect() {
    Features has;
    has.dot = feature("hw.optional.arm.FEAT_DotProd");
    has.i8mm = has.dot && feature("hw.optional.arm.FEAT_I8MM");
    return has;
}

#else

Features detect() { return Features{}; }

#endif

} // namespace

int usable_sets(const Kernels *found[MAX_SETS]) {
    const Features has = detect();
    const Kernels *best_first[MAX_SETS] = {
        has.avx512 ? avx512_kernels() : nullptr,
        has.avx2_vnni ? avx2_vnni_kernels() : nullptr,
        has.avx2 ? avx2_kernels() : nullptr,
        has.i8mm ? neon_i8mm_kernels() : nullptr,
        has.dot ? neon_dot_kernels() : nullptr,
        neon_kernels(), // every aarch64 has it
        portable_kernels(),
    };
    int count = 0;
    for (const Kernels *kernels : best_first)
        if (kernels) found[count++] = kernels;
    return count;
}

} // namespace outrider
