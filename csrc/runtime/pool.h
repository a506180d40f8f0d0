// One pool of threads that share each piece of work, with barriers cheap enough to have ten of them in a layer.
// Idle threads sleep; threads that wait for the others inside a piece of work spin for a moment, then yield, then sleep.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace outrider {

// Rounds to nearest and keeps subnormal numbers while it lives, whatever the thread was set to before.
class FloatMode {
  public:
    FloatMode();
    ~FloatMode();
    FloatMode(const FloatMode &) = delete;
    FloatMode &operator=(const FloatMode &) = delete;

  private:
    uint64_t saved_;
};

// All of `count` threads come to the same point before any goes on.
class Barrier {
  public:
    explicit Barrier(int count) : count_(count) {}
    void wait();

  private:
    bool is_past(uint32_t round) const { return round_.load() != round; }
    void sleep(uint32_t round);

    const int count_;
    std::atomic<int> arrived_{0}, sleepers_{0};
    std::atomic<uint32_t> round_{0};
    std::mutex mutex_;
    std::condition_variable wake_;
};

class Pool {
  public:
    // `threads` with the caller, who is thread 0. Throws std::system_error where the system has no more of them.
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    int size() const { return (int)workers_.size() + 1; }
    Barrier &barrier() { return barrier_; }

    // Calls work(context, thread) on every thread and returns when all have returned. One call at a time: a second
    // caller waits for the first.
    void run(void (*work)(void *, int), void *context);

  private:
    void serve(int thread);
    void close();

    Barrier barrier_;
    std::mutex entry_, mutex_;
    std::condition_variable wake_, done_;
    uint64_t ticket_ = 0;
    int running_ = 0;
    bool closing_ = false;
    void (*work_)(void *, int) = nullptr;
    void *context_ = nullptr;
    std::vector<std::thread> workers_;
};

} // namespace outrider
