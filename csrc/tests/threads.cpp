// The pool at work, for the thread sanitizer and for itself: many threads on few processors, barriers inside the work,
// callers that meet, pools that come and go. Prints nothing and returns 0 where all is well.
#include "seeded.h"

#include "../runtime/pool.h"

#include <thread>
#include <vector>

using namespace outrider;

namespace {

constexpr int STEPS = 8, STRIPE = 33;

// In each step every thread adds up what all of them wrote in the step before.
struct Relay {
    Pool &pool;
    std::vector<uint64_t> from, to;

    explicit Relay(Pool &chosen) : pool(chosen), from(chosen.size() * STRIPE, 1), to(from.size()) {}

    static void step(void *context, int thread) {
        Relay &relay = *(Relay *)context;
        for (int i = 0; i < STEPS; ++i) {
            uint64_t sum = 0;
            for (uint64_t word : relay.from) sum += word;
            for (int k = 0; k < STRIPE; ++k) relay.to[thread * STRIPE + k] = sum * 31 + thread * STRIPE + k;
            relay.pool.barrier().wait();
            if (thread == 0) relay.from.swap(relay.to);
            relay.pool.barrier().wait();
        }
    }
};

std::vector<uint64_t> expected(int threads) {
    std::vector<uint64_t> words(threads * STRIPE, 1);
    for (int i = 0; i < STEPS; ++i) {
        uint64_t sum = 0;
        for (uint64_t word : words) sum += word;
        for (size_t k = 0; k < words.size(); ++k) words[k] = sum * 31 + k;
    }
    return words;
}

bool relays(Pool &pool, int times) {
    const std::vector<uint64_t> wanted = expected(pool.size());
    for (int i = 0; i < times; ++i) {
        Relay relay(pool);
        pool.run(Relay::step, &relay);
        if (relay.from != wanted) return false;
    }
    return true;
}

bool callers_take_turns(Pool &pool) {
    bool good[3] = {};
    std::vector<std::thread> callers;
    for (bool &one : good) callers.emplace_back([&pool, &one] { one = relays(pool, 6); });
    for (std::thread &caller : callers) caller.join();
    return good[0] && good[1] && good[2];
}

// Subnormal products survive in every thread, whatever the caller's own mode is.
bool keeps_subnormals(Pool &pool) {
    std::vector<float> product(pool.size());
    struct Work {
        volatile float small = 0x1p-100f;
        std::vector<float> &product;
    } work{0x1p-100f, product};
#if defined(__x86_64__)
    const unsigned saved = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(0x9FC0); // flush to zero, take subnormals for zero
#endif
    pool.run([](void *context, int thread) {
        Work &own = *(Work *)context;
        own.product[thread] = own.small * 0x1p-40f;
    }, &work);
#if defined(__x86_64__)
    const bool restored = __builtin_ia32_stmxcsr() >> 15 & 1;
    __builtin_ia32_ldmxcsr(saved);
    if (!restored) return false;
#endif
    for (float one : product)
        if (one != 0x1p-140f) return false;
    return true;
}

int fault(const char *what, int threads) {
    std::fprintf(stderr, "threads: %s, %d threads\n", what, threads);
    return 1;
}

} // namespace

int main() {
    if (!tests::barriers_stand_where_needed()) return fault("barriers are missing or too many", 0);
    for (int threads : {1, 2, 3, 5}) {
        Pool pool(threads);
        if (pool.size() != threads) return fault("the pool has another size", threads);
        if (!relays(pool, 20)) return fault("work is lost or torn", threads);
        if (!callers_take_turns(pool)) return fault("callers disturb each other", threads);
        if (!keeps_subnormals(pool)) return fault("the floating-point mode leaks", threads);
        for (int i = 0; i < 20; ++i) Pool unused(threads);
    }
    return 0;
}
