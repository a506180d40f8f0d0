// The pool at work, for the thread sanitizer and for itself: many threads on few processors, barriers inside the work,
// callers that meet, pools that come and go. Prints nothing and returns 0 where all is well.
#include "seeded.h"

#include "../runtime/attention.h"
#include "../runtime/pool.h"

#include <algorithm>
#include <chrono>
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

// ---- attention with kernels that only look at the order -------------------------------------------------------------

constexpr int ROWS = 29, CALLS = 3, HEADS[] = {6, 6, 1}, GROUPS[] = {2, 3, 1}, WINDOW[] = {0, 1500, 0};

// Early parts take longer than late ones.
void attend_slowly(const AttentionCall &, const SpanView &, const AttentionPiece &, int32_t part, float *scratch) {
    std::this_thread::sleep_for(std::chrono::microseconds(1000 >> 2 * part));
    *scratch = (float)part;
}

// state: parts merged so far; out: 1 where all came in turn
void merge_in_turn(const AttentionCall &call, const SpanView &span, const AttentionPiece &piece, int32_t part,
                   float *scratch) {
    const Parts parts = parts_of(call, span);
    const int share = call.heads / call.groups, before = part - parts.first;
    for (int query = piece.begin; query < piece.end; ++query) {
        const int head = (span.begin + query / share) * call.heads + piece.group * share + query % share;
        float &merged = call.state[head * ATTENTION_STATE];
        if (before == 0) merged = 0;
        if (merged == (float)before && *scratch == (float)part) merged += 1;
        if (part == parts.last) call.out[head] += merged == (float)parts.count();
    }
}

int64_t one_float(const AttentionCall &, const SpanView &) { return 1; }

struct Turns {
    Pool &pool;
    SharedAttention attention;
    AttentionCall call[CALLS];
    std::atomic<int32_t> next[CALLS];

    static void step(void *context, int thread) {
        Turns &turns = *(Turns *)context;
        for (int i = 0; i < CALLS; ++i) {
            turns.attention.work(turns.call[i], thread, turns.next[i]);
            turns.pool.barrier().wait();
        }
    }
};

bool parts_are_merged_in_turn(Pool &pool) {
    Kernels kernels{};
    kernels.attend = attend_slowly;
    kernels.merge = merge_in_turn;
    kernels.attention_scratch = one_float;
    const SpanView spans[] = {{0, 1, 2100, 0, 0, nullptr, nullptr}, {1, 9, 1020, 0, 0, nullptr, nullptr},
                              {10, 2, 5, 0, 0, nullptr, nullptr}, {12, 17, 3000, 2, 1024, nullptr, nullptr}};
    std::vector<float> done[CALLS];
    Turns turns{pool, SharedAttention(kernels, pool.size(), spans, 4), {}, {}};
    for (int i = 0; i < CALLS; ++i) {
        done[i].resize(ROWS * HEADS[i]);
        AttentionCall &call = turns.call[i];
        call.out = done[i].data();
        call.heads = HEADS[i];
        call.groups = GROUPS[i];
        call.window = WINDOW[i];
        turns.attention.expect(call);
    }
    turns.attention.open();
    pool.run(Turns::step, &turns);
    return std::all_of(done, done + CALLS, [](const std::vector<float> &heads) {
        return std::count(heads.begin(), heads.end(), 1.0f) == (int64_t)heads.size();
    });
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
        if (!parts_are_merged_in_turn(pool)) return fault("parts of attention are merged out of turn", threads);
        if (!keeps_subnormals(pool)) return fault("the floating-point mode leaks", threads);
        for (int i = 0; i < 20; ++i) Pool unused(threads);
    }
    return 0;
}
