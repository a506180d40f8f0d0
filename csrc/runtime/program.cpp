#include "program.h"

#include "../formats/layout.h"
#include "barriers.h"
#include "worker.h"

#include <algorithm>
#include <stdexcept>

namespace outrider {

namespace {

int64_t bytes_of(const Value &value) {
    if (value.place == Place::QUANTISED) return num_blocks(value.width) * (int64_t)sizeof(InputBlock);
    return ((int64_t)value.width * 4 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

} // namespace

Program::Program(const Instruction *instructions, int count, const Value *values, int num_values)
    : instructions_(instructions, instructions + count), values_(values, values + num_values),
      next_(new std::atomic<int32_t>[count]) {
    check();
    for (const Value &value : values_) {
        if (value.place == Place::OUTSIDE) continue;
        if (value.slot >= (int)slot_bytes_.size()) slot_bytes_.resize(value.slot + 1, 0);
        slot_bytes_[value.slot] = std::max(slot_bytes_[value.slot], bytes_of(value));
    }
    slots_.resize(slot_bytes_.size());
    barrier_before_ = barriers_before(instructions_, values_, (int)slots_.size());
}

void Program::check() const {
    const int count = (int)values_.size();
    for (const Value &value : values_) {
        const bool fits = value.place != Place::OUTSIDE || value.slot < 3;
        if (value.slot < 0 || value.width <= 0 || !fits) throw std::invalid_argument("value");
    }
    for (const Instruction &one : instructions_) {
        if (one.code < Code::EMBED || one.code >= Code::COUNT) throw std::invalid_argument("code");
        for (int value : {one.out, one.in[0], one.in[1], one.in[2]})
            if (value < -1 || value >= count) throw std::invalid_argument("value of an instruction");
    }
}

// What a long prompt took is given back after many short passes: 512 rows of a model of 1.5 billion take 90 MB.
void Program::reserve(int rows) {
    constexpr int ALWAYS_KEPT = 64, PATIENCE = 64; // rows, passes
    short_passes_ = reserved_rows_ > ALWAYS_KEPT && rows <= reserved_rows_ / 4 ? short_passes_ + 1 : 0;
    const bool too_large = short_passes_ > PATIENCE;
    if (rows <= reserved_rows_ && !too_large) return;
    const int wanted = std::max(rows, too_large ? ALWAYS_KEPT : std::min(2 * reserved_rows_, 512));
    short_passes_ = 0;
    reserved_rows_ = 0; // nothing is there until all is there, should memory run out on the way
    for (auto &slot : slots_) slot.reset();
    for (size_t slot = 0; slot < slots_.size(); ++slot)
        slots_[slot].reset(new uint8_t[slot_bytes_[slot] * wanted + ALIGNMENT]);
    reserved_rows_ = wanted;
}

bool Program::knows_tokens(const Run &run) const {
    for (const Instruction &one : instructions_) {
        if (one.code != Code::EMBED) continue;
        const int32_t known = ((const Matrix *)one.data[0])->rows;
        const int64_t *index = embedded(one, run);
        for (int row = 0; row < run.rows; ++row)
            if (index[row] < 0 || index[row] >= known) return false;
    }
    return true;
}

void Program::run(const Kernels &kernels, Pool &pool, const Run &run) {
    if (!knows_tokens(run)) throw std::out_of_range("token");
    std::lock_guard<std::mutex> turn(busy_);
    reserve(std::max(run.rows, run.picked));
    int64_t scratch = 0;
    Worker first(*this, kernels, pool, run, 0, nullptr);
    for (const Instruction &one : instructions_)
        for (int s = 0; one.code == Code::ATTEND && s < run.spans; ++s)
            scratch = std::max(scratch, kernels.attention_scratch(first.attention_call(one), run.span[s]));
    scratch = (scratch + ALIGNMENT) / ALIGNMENT * ALIGNMENT; // threads share no line
    std::vector<float> scratches(scratch * pool.size() + ALIGNMENT);
    for (size_t i = 0; i < instructions_.size(); ++i) next_[i].store(0, std::memory_order_relaxed);

    refined_.store(0, std::memory_order_relaxed);

    struct Task {
        Program *program;
        const Kernels *kernels;
        Pool *pool;
        const Run *run;
        float *scratches;
        int64_t scratch;
    } task{this, &kernels, &pool, &run, (float *)aligned((uint8_t *)scratches.data()), scratch};
    pool.run(
        [](void *context, int thread) {
            const Task &task = *(Task *)context;
            float *scratch = task.scratches + task.scratch * thread;
            Worker(*task.program, *task.kernels, *task.pool, *task.run, thread, scratch).work();
        },
        &task);
    if (run.refined) *run.refined = refined_.load(std::memory_order_relaxed);
}

} // namespace outrider
