// Barriers stand before every instruction that needs one, and before no other: compared, over random programs, with the
// rule taken word for word, every instruction against each since the last barrier.
#include "seeded.h"

#include "../runtime/barriers.h"

namespace outrider::tests {
namespace {

constexpr int VALUES = 7, SLOTS = 3, LENGTH = 20, PROGRAMS = 20000, PAGES = -1;

struct Touch {
    int place, value;
    bool writes, by_rows;
};

// A thread that divides a value by rows meets only its own rows of it again.
bool disturb(const Touch &a, const Touch &b) {
    const bool own_rows = a.by_rows && b.by_rows && a.value == b.value;
    return a.place == b.place && (a.writes || b.writes) && !own_rows;
}

bool is_by_rows(Code code) {
    switch (code) {
    case Code::LINEAR: case Code::GATED_LINEAR: case Code::SCREEN: case Code::REFINE: // pieces go to whoever comes next
    case Code::ATTEND:
    case Code::PICK: case Code::PREVIOUS: case Code::CONVOLVE: // these read rows of others
        return false;
    default:
        return true;
    }
}

std::vector<Touch> touches(const Instruction &one, const std::vector<Value> &values) {
    std::vector<Touch> found;
    const auto add = [&](int value, bool writes) {
        if (value < 0) return;
        const int place = values[value].slot + (values[value].place == Place::OUTSIDE ? 100 : 0);
        found.push_back({place, value, writes, is_by_rows(one.code)});
    };
    for (int value : one.in) add(value, false);
    add(one.out, true);
    if (one.code == Code::ATTEND || one.code == Code::ROTATE)
        found.push_back({PAGES, 0, one.code == Code::ROTATE, false});
    return found;
}

bool disturb(const std::vector<Touch> &earlier, const std::vector<Touch> &later) {
    for (const Touch &a : earlier)
        for (const Touch &b : later)
            if (disturb(a, b)) return true;
    return false;
}

std::vector<uint8_t> word_for_word(const std::vector<Instruction> &instructions, const std::vector<Value> &values) {
    std::vector<uint8_t> found;
    size_t since = 0;
    for (size_t i = 0; i < instructions.size(); ++i) {
        bool needed = false;
        for (size_t j = since; j < i && !needed; ++j)
            needed = disturb(touches(instructions[j], values), touches(instructions[i], values));
        if (needed) since = i;
        found.push_back(needed);
    }
    return found;
}

std::vector<Value> random_values(uint64_t seed) {
    std::vector<Value> values;
    for (uint64_t i = 0; i < VALUES; ++i) {
        const bool outside = hashed(seed, 1000 + i) % 5 == 0;
        values.push_back({outside ? Place::OUTSIDE : Place::FLOATS, (int32_t)(hashed(seed, 2000 + i) % SLOTS), 16, 0});
    }
    return values;
}

// Whether an instruction touches a place as two different values, which recorders never do.
bool is_torn(const Instruction &one, const std::vector<Value> &values) {
    const std::vector<Touch> all = touches(one, values);
    for (const Touch &a : all)
        for (const Touch &b : all)
            if (a.place == b.place && a.value != b.value) return true;
    return false;
}

std::vector<Instruction> random_program(uint64_t seed, const std::vector<Value> &values) {
    std::vector<Instruction> instructions;
    const auto number = [&](uint64_t at, int count) { return (int32_t)(hashed(seed, at) % (uint64_t)count); };
    for (uint64_t i = 0; i < LENGTH; ++i) {
        Instruction one{};
        one.code = (Code)number(10 * i, (int)Code::COUNT);
        one.out = number(10 * i + 1, VALUES + 1) - 1;
        for (int k = 0; k < 3; ++k) one.in[k] = std::max(-1, number(10 * i + 2 + (uint64_t)k, 2 * VALUES) - VALUES);
        if (!is_torn(one, values)) instructions.push_back(one);
    }
    return instructions;
}

} // namespace

bool barriers_stand_where_needed() {
    for (uint64_t seed = 0; seed < PROGRAMS; ++seed) {
        const std::vector<Value> values = random_values(seed);
        const std::vector<Instruction> instructions = random_program(seed, values);
        if (barriers_before(instructions, values, SLOTS) != word_for_word(instructions, values)) return false;
    }
    return true;
}

} // namespace outrider::tests
