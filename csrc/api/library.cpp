// What the library is and which kernel sets it has.
#include "api.h"

#include "../runtime/cpu.h"

#include <cstring>

using outrider::Kernels;

// Raised with every change of the C interface; ops/native/library.py asks for exactly this number.
constexpr int32_t INTERFACE_VERSION = 7;

OUTRIDER_API int32_t outrider_version() { return INTERFACE_VERSION; }

// The set of that name, "" for the best; null where it is not compiled in or this machine cannot run it.
OUTRIDER_API const Kernels *outrider_kernels(const char *name) {
    const Kernels *found[outrider::MAX_SETS];
    const int count = outrider::usable_sets(found);
    if (!*name) return count ? found[0] : nullptr;
    for (int i = 0; i < count; ++i)
        if (!std::strcmp(found[i]->name, name)) return found[i];
    return nullptr;
}

// Names of the usable sets, best first, null behind the last: outrider_kernel_name(0), (1), …
OUTRIDER_API const char *outrider_kernel_name(int32_t index) {
    const Kernels *found[outrider::MAX_SETS];
    const int count = outrider::usable_sets(found);
    return index >= 0 && index < count ? found[index]->name : nullptr;
}
