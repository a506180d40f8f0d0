#include "pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace outrider {

namespace {

constexpr int SPINS = 4000;  // some tens of microseconds: longer than neighbours in step are apart
constexpr int YIELDS = 1000; // a millisecond where nobody else wants the core: who is missing then has lost its own

inline void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

uint64_t float_mode() {
#if defined(__x86_64__)
    return _mm_getcsr();
#elif defined(__aarch64__)
    uint64_t mode;
    asm volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
#else
    return 0;
#endif
}

void set_float_mode(uint64_t mode) {
#if defined(__x86_64__)
    _mm_setcsr((uint32_t)mode);
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" : : "r"(mode));
#else
    (void)mode;
#endif
}

#if defined(__x86_64__)
constexpr uint64_t PLAIN = 0x1f80; // nearest, no flush to zero, all exceptions masked
#else
constexpr uint64_t PLAIN = 0;
#endif

} // namespace

FloatMode::FloatMode() : saved_(float_mode()) { set_float_mode(PLAIN); }
FloatMode::~FloatMode() { set_float_mode(saved_); }

// Whoever goes to sleep counts itself and then looks at the round again; whoever ends the round looks at the count
// afterwards. Both in one order for all threads, so one of them sees the other.
void Barrier::wait() {
    const uint32_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
        arrived_.store(0, std::memory_order_relaxed);
        round_.store(round + 1);
        if (sleepers_.load() == 0) return;
        std::lock_guard<std::mutex> lock(mutex_); // so that a sleeper either waits or has yet to look
        wake_.notify_all();
        return;
    }
    for (int spin = 0; spin < SPINS; ++spin) {
        if (is_past(round)) return;
        relax();
    }
    for (int turn = 0; turn < YIELDS; ++turn) {
        if (is_past(round)) return;
        std::this_thread::yield();
    }
    sleep(round);
}

void Barrier::sleep(uint32_t round) {
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return is_past(round); });
    sleepers_.fetch_sub(1);
}

Pool::Pool(int threads) : barrier_(threads) {
    try {
        for (int thread = 1; thread < threads; ++thread) workers_.emplace_back(&Pool::serve, this, thread);
    } catch (...) {
        close(); // a thread that is let go of while it runs ends the process
        throw;
    }
}

Pool::~Pool() { close(); }

void Pool::close() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
    }
    wake_.notify_all();
    for (std::thread &worker : workers_) worker.join();
}

void Pool::run(void (*work)(void *, int), void *context) {
    std::lock_guard<std::mutex> turn(entry_);
    FloatMode mode;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        work_ = work;
        context_ = context;
        running_ = (int)workers_.size();
        ++ticket_;
    }
    wake_.notify_all();
    work(context, 0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
}

void Pool::serve(int thread) {
    FloatMode mode;
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return closing_ || ticket_ != seen; });
        if (closing_) return;
        seen = ticket_;
        lock.unlock();
        work_(context_, thread);
        lock.lock();
        if (--running_ == 0) done_.notify_one();
    }
}

} // namespace outrider
