#include "barriers.h"

namespace outrider {

namespace {

constexpr int FREELY = -1; // touched by whatever thread comes along, instead of a value by rows

// How threads divide an instruction: the same rows each time, or whatever comes next.
bool is_by_rows(Code code) {
    return code != Code::LINEAR && code != Code::GATED_LINEAR && code != Code::SCREEN && code != Code::REFINE &&
           code != Code::ATTEND && code != Code::PICK && code != Code::PREVIOUS && code != Code::CONVOLVE;
}

// What has happened to a place since the last barrier. Who divides by rows may follow who did so with the same value:
// a thread finds its own rows. Another value in the same slot has its rows elsewhere, and counts as divided freely.
class Touched {
  public:
    bool is_safe_to_read(int value) const { return !written_ || (value >= 0 && value == rows_of_); }
    bool is_safe_to_write(int value) const { return (!written_ && !read_) || (value >= 0 && value == rows_of_); }
    void read(int value) { touch(read_, value); }
    void write(int value) { touch(written_, value); }

  private:
    void touch(bool &how, int value) {
        rows_of_ = !read_ && !written_ ? value : value == rows_of_ ? value : NOBODY;
        how = true;
    }

    static constexpr int NOBODY = -2;
    bool read_ = false, written_ = false;
    int rows_of_ = NOBODY; // the value that all touches so far have had, dividing it by rows
};

} // namespace

// Rows of T and rows that want logits are divided differently, but no value has both: PICK, which leads from one to the
// other, reads freely.
std::vector<uint8_t> barriers_before(const std::vector<Instruction> &instructions, const std::vector<Value> &values,
                                     int num_slots) {
    const int pages = 0, outside = 1, slots = 4; // places: the cache, three outside buffers, the slots
    std::vector<Touched> touched(slots + num_slots);
    std::vector<uint8_t> found(instructions.size(), 0);
    const auto place = [&](int value) {
        return values[value].place == Place::OUTSIDE ? outside + values[value].slot : slots + values[value].slot;
    };
    for (size_t i = 0; i < instructions.size(); ++i) {
        const Instruction &one = instructions[i];
        const bool by_rows = is_by_rows(one.code);
        const auto as = [&](int value) { return by_rows ? value : FREELY; };
        bool safe = one.out < 0 || touched[place(one.out)].is_safe_to_write(as(one.out));
        for (int value : one.in)
            if (value >= 0) safe = safe && touched[place(value)].is_safe_to_read(as(value));
        if (one.code == Code::ATTEND) safe = safe && touched[pages].is_safe_to_read(FREELY);
        if (one.code == Code::ROTATE) safe = safe && touched[pages].is_safe_to_write(FREELY);
        if (!safe) touched.assign(touched.size(), Touched());
        found[i] = !safe;
        for (int value : one.in)
            if (value >= 0) touched[place(value)].read(as(value));
        if (one.out >= 0) touched[place(one.out)].write(as(one.out));
        if (one.code == Code::ATTEND) touched[pages].read(FREELY);
        if (one.code == Code::ROTATE) touched[pages].write(FREELY);
    }
    return found;
}

} // namespace outrider
