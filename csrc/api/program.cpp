// Pools of threads and programs; see runtime/program.h. Errors are negative numbers, null where a handle is wanted.
#include "api.h"

#include "../runtime/program.h"

#include <exception>
#include <stdexcept>

using namespace outrider;

OUTRIDER_API Pool *outrider_pool_create(int32_t threads) {
    try {
        return new Pool(threads < 1 ? 1 : threads);
    } catch (const std::exception &) {
        return nullptr;
    }
}

OUTRIDER_API void outrider_pool_destroy(Pool *pool) { delete pool; }

OUTRIDER_API Program *outrider_program_create(const Instruction *instructions, int32_t count, const Value *values,
                                              int32_t num_values) {
    try {
        return new Program(instructions, count, values, num_values);
    } catch (const std::exception &) {
        return nullptr;
    }
}

OUTRIDER_API void outrider_program_destroy(Program *program) { delete program; }

// -1: out of memory, -2: tokens outside the vocabulary
OUTRIDER_API int32_t outrider_program_run(Program *program, const Kernels *kernels, Pool *pool, const Run *run) {
    try {
        program->run(*kernels, *pool, *run);
        return 0;
    } catch (const std::out_of_range &) {
        return -2;
    } catch (const std::exception &) {
        return -1;
    }
}
