// Which kernel sets this processor and its operating system can run.
#pragma once

#include "../kernels/table.h"

namespace outrider {

constexpr int MAX_SETS = 7;

// The sets that are compiled in and run here, best first; the last is portable. Returns how many.
int usable_sets(const Kernels *found[MAX_SETS]);

} // namespace outrider
