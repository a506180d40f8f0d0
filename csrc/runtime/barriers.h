// Where the threads that run a program have to wait for each other.
#pragma once

#include "program.h"

namespace outrider {

// For each instruction whether all threads meet before it: it touches what another may still be writing or reading.
std::vector<uint8_t> barriers_before(const std::vector<Instruction> &instructions, const std::vector<Value> &values,
                                     int num_slots);

} // namespace outrider
