// The update of a range of weights, for optimisers. One copy per instruction set.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

// One step of AdamW (arXiv:1711.05101) as torch.optim.AdamW computes it:
//   p *= 1 - lr wd;  m += (g - m)(1 - beta1);  v = beta2 v + (1 - beta2) g^2
//   p -= step_size m / (sqrt(v) inverse_root + eps)
// with step_size = lr / (1 - beta1^t) and inverse_root = 1 / sqrt(1 - beta2^t).
struct AdamWStep {
  float keep = 1;  // 1 - lr wd
  float beta1 = 0, beta2 = 0, step_size = 0, inverse_root = 1, eps = 0;
};
using AdamWKernel = void (*)(const AdamWStep& step, const float* gradient, float* weight,
                             float* mean, float* square, int64_t n);

AdamWKernel adamw_kernel();  // for base::active_isa()
AdamWKernel adamw_kernel_for(base::Isa isa);

}  // namespace sumi::kernels
