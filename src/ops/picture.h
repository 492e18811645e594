// Small operations of picture networks: sizes up and down, time embeddings, what is added per
// picture.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace sumi::ops {

// x [B, H, W, C] -> [B, height, width, C]: row i is row floor(i H / height), columns likewise, as
// PyTorch's nearest interpolation. Differentiable.
Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width);
inline Tensor upsample_nearest_2x(const Tensor& x) {
  return upsample_nearest(x, 2 * x.size(1), 2 * x.size(2));
}

// Means of 2x2 pixels, [B, H, W, C] -> [B, H / 2, W / 2, C]; an odd last row or column is left out.
// Differentiable.
Tensor average_pool_2x(const Tensor& x);

// x [B, ..., C] + y [B, C]. Differentiable.
Tensor add_per_picture(const Tensor& x, const Tensor& y);

// x [B, ..., C] * (1 + scale [B, C]) + shift [B, C]. Differentiable.
Tensor modulate(const Tensor& x, const Tensor& scale, const Tensor& shift);

struct TimestepEmbedding {
  int64_t dim = 0;  // even
  bool flip_sin_to_cos = true;  // cosines first
  double freq_shift = 0;
};

// The sinusoids of arXiv:2006.11239 as in diffusers' get_timestep_embedding: element i of a half is
// the sine (or cosine) of t exp(-ln(10000) i / (dim / 2 - freq_shift)). [B] values -> [B, dim].
Tensor timestep_embedding(const std::vector<float>& timesteps, const TimestepEmbedding& options);

}  // namespace sumi::ops
