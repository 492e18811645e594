// The wkv recurrence of RWKV-4 (arXiv:2305.13048, section 3; numerically stable form of its
// appendix D): for each channel an average of the values so far, weighted by e^key and fading with time.
//
//   out[t] = (a[t-1] + e^(first + key[t]) value[t]) / (b[t-1] + e^(first + key[t]))
//   a[t]   = e^w a[t-1] + e^key[t] value[t],   b[t] = e^w b[t-1] + e^key[t],   w = -e^decay
//
// a and b are kept as a = numerator e^maximum and b = denominator e^maximum, so that no power
// overflows whatever the keys. A channel gets the same operations in the same order however the
// steps are cut into calls and the channels into ranges.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

// State of channels that have seen nothing; e^-1e38 is 0 and the difference of two is finite.
inline constexpr float kWkvStart = -1e38f;

struct WkvArgs {
  int64_t steps = 0, channels = 0;
  int64_t stride = 0;                                // floats between steps of key, value, out
  const float *decay = nullptr, *first = nullptr;    // [channels]
  const float *key = nullptr, *value = nullptr;      // [steps, channels]
  float* out = nullptr;                              // [steps, channels]
  float *numerator = nullptr, *denominator = nullptr, *maximum = nullptr;  // [channels], updated
};

// Of a sequence that starts from nothing.
struct WkvBackwardArgs {
  int64_t steps = 0, channels = 0;
  int64_t stride = 0;  // floats between steps of key, value, dout, dkey, dvalue
  const float *decay = nullptr, *first = nullptr;
  const float *key = nullptr, *value = nullptr, *dout = nullptr;
  float *dkey = nullptr, *dvalue = nullptr;    // written
  float *ddecay = nullptr, *dfirst = nullptr;  // [channels], added to
  float* scratch = nullptr;                    // wkv_scratch(steps) floats
};

constexpr int64_t wkv_scratch(int64_t steps) { return 3 * 16 * steps; }

struct WkvKernels {
  void (*forward)(const WkvArgs& args);
  void (*backward)(const WkvBackwardArgs& args);
};

const WkvKernels& wkv_kernels();  // for base::active_isa()
const WkvKernels& wkv_kernels_for(base::Isa isa);

}  // namespace sumi::kernels
