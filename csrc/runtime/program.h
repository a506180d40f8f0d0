// A model as a list of instructions, run by all threads of a pool in one call.
//
// The list is written down once, by the Python description of the model running over a recorder; nothing here knows
// what a model is. Values are rows of floats (or quantised rows) in a workspace, one stretch a slot:
//
//   value 3: slot 1, 1536 floats a row, all T rows      value 9: slot 1 again, after value 3 was last read
//
// Threads work on one instruction together and go on to the next without waiting where they can: a barrier stands only
// before an instruction that touches what another thread may still be writing or reading.
#pragma once

#include "../kernels/table.h"
#include "pool.h"

#include <atomic>
#include <memory>
#include <vector>

namespace outrider {

enum class Code : int32_t { EMBED, QUANTISE, LINEAR, GATED_LINEAR, SCREEN, PEAK, REFINE, NORM, GATE, ADD, PICK, PLACE,
                           ROTATE, ATTEND, SOFTCAP, PREVIOUS, CONVOLVE, COUNT };

enum class Place : int32_t { FLOATS, QUANTISED, OUTSIDE }; // OUTSIDE: slot is an index into Run::outside

struct Value {
    Place place;
    int32_t slot;
    int32_t width;  // values a row
    int32_t picked; // 0: one row for each of the T packed rows, 1: one for each row that wants logits
};

// out and in name values (-1: none). What size, number and data mean is said at each code's function in worker.h.
struct Instruction {
    Code code;
    int32_t out;
    int32_t in[3];
    int32_t size[6];
    float number[2];
    const void *data[2];
};

struct Run {
    int32_t rows, picked, spans;
    const int64_t *token, *position, *slot, *pick;
    const int64_t *previous, *place; // the row before each in its block, or -1; its place there
    const SpanView *span;
    const LayerPages *pages;     // of each layer
    const float *cos[2], *sin[2]; // layers that see everything, layers with a window
    float *outside[3];
    int64_t *refined; // or null; becomes the number of tiles that were computed again, counted by rows
};

class Program {
  public:
    // Throws std::invalid_argument for a list that does not fit together.
    Program(const Instruction *instructions, int count, const Value *values, int num_values);

    // Throws std::out_of_range for tokens outside the vocabulary, std::bad_alloc where memory runs out.
    void run(const Kernels &kernels, Pool &pool, const Run &run);

  private:
    friend class Worker;

    void check() const;
    void reserve(int rows);
    bool knows_tokens(const Run &run) const; // and places

    std::vector<Instruction> instructions_;
    std::vector<Value> values_;
    std::vector<uint8_t> barrier_before_;
    std::vector<int64_t> slot_bytes_; // a row
    std::vector<std::unique_ptr<uint8_t[]>> slots_;
    std::unique_ptr<std::atomic<int32_t>[]> next_; // the next piece of each instruction that is shared piece by piece
    std::atomic<int64_t> refined_{0};
    int reserved_rows_ = 0, short_passes_ = 0;
    std::mutex busy_;
};

} // namespace outrider
