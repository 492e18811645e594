// Pictures and latents between the layouts of files and networks.
#pragma once

#include "base/random.h"
#include "formats/image.h"
#include "tensor/tensor.h"

namespace sumi::diffusion {

Tensor to_nhwc(const Tensor& x);  // [B, C, H, W] -> [B, H, W, C]
Tensor to_nchw(const Tensor& x);  // [B, H, W, C] -> [B, C, H, W]

// Along the first axis; equal other axes.
Tensor concat_first(const std::vector<Tensor>& parts);
// [B, H, W, Ci] side by side.
Tensor concat_channels(const std::vector<Tensor>& parts);

// [1, H, W, channels] with values in [0, 1], or in [-1, 1] if `centred`.
Tensor from_image(const formats::Image& image, bool centred);
// Picture `index` of x [B, H, W, 3] with values in [-1, 1], cut to that range and rounded as
// diffusers does.
formats::Image to_image(const Tensor& x, int64_t index = 0);

// torch.randn(shape, generator=...).
Tensor randn(base::Generator& generator, Shape shape);

}  // namespace sumi::diffusion
