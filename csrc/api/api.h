// What every function of the C interface begins with: OUTRIDER_API int32_t outrider_something(...).
#pragma once

#if defined(_WIN32)
#define OUTRIDER_API extern "C" __declspec(dllexport)
#else
#define OUTRIDER_API extern "C" __attribute__((visibility("default")))
#endif
