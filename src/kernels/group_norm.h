// Group normalisation (arXiv:1803.08494) of pictures whose channels lie next to each other, in parts:
// sums per channel, then one affine map per channel. How channels form groups is the caller's
// business (ops/group_norm.cc). One copy per instruction set; rows are pixels.
#pragma once

#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

// z = x * scale + shift per channel, y = silu(z) or z.
struct ChannelAffine {
  const float* scale;  // [C]
  const float* shift;  // [C]
  bool silu;
};

struct GroupNormKernels {
  // sum[c] += x[r, c] - center[c], square[c] += (x[r, c] - center[c])^2, over x [rows, C]. A center near
  // the mean keeps the digits of the variance.
  void (*sums)(const float* x, const float* center, int64_t rows, int64_t channels, float* sum,
               float* square);
  // The same of x in bf16.
  void (*sums_of_bf16)(const uint16_t* x, const float* center, int64_t rows, int64_t channels,
                       float* sum, float* square);
  // y [rows, C]; may be x.
  void (*apply)(const float* x, ChannelAffine affine, int64_t rows, int64_t channels, float* y);
  // With dz = dy * dy/dz: sum[c] += dz, product[c] += dz * x.
  void (*backward_sums)(const float* x, const float* dy, ChannelAffine affine, int64_t rows,
                        int64_t channels, float* sum, float* product);
  // dx = dz * scale + x * slope + offset, per channel; may be dy.
  void (*backward_apply)(const float* x, const float* dy, ChannelAffine affine, const float* slope,
                         const float* offset, int64_t rows, int64_t channels, float* dx);
};

const GroupNormKernels& group_norm_kernels();  // for base::active_isa()
const GroupNormKernels& group_norm_kernels_for(base::Isa isa);

}  // namespace sumi::kernels
