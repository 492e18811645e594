#include "diffusion/layout.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "ops/shape.h"

namespace sumi::diffusion {

namespace {

// [B, M, N] -> [B, N, M]
void transpose(const float* from, float* to, int64_t batch, int64_t m, int64_t n) {
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) to[(b * n + j) * m + i] = from[(b * m + i) * n + j];
}

}  // namespace

Tensor to_nhwc(const Tensor& x) {
  Tensor y = Tensor::empty({x.size(0), x.size(2), x.size(3), x.size(1)});
  transpose(x.f32(), y.f32(), x.size(0), x.size(1), x.size(2) * x.size(3));
  return y;
}

Tensor to_nchw(const Tensor& x) {
  Tensor y = Tensor::empty({x.size(0), x.size(3), x.size(1), x.size(2)});
  transpose(x.f32(), y.f32(), x.size(0), x.size(1) * x.size(2), x.size(3));
  return y;
}

Tensor concat_first(const std::vector<Tensor>& parts) {
  if (parts.size() == 1) return parts[0];
  Shape shape = parts.at(0).shape();
  shape[0] = 0;
  for (const Tensor& part : parts) {
    if (!std::equal(shape.begin() + 1, shape.end(), part.shape().begin() + 1, part.shape().end()))
      fail("batch: pictures of shapes {} and {} cannot be computed together",
           tensor::shape_string(parts[0].shape()), tensor::shape_string(part.shape()));
    shape[0] += part.size(0);
  }
  Tensor all = Tensor::empty(shape);
  float* to = all.f32();
  for (const Tensor& part : parts) to = std::copy_n(part.f32(), part.numel(), to);
  return all;
}

Tensor concat_channels(const std::vector<Tensor>& parts) { return ops::concat_last(parts); }

Tensor from_image(const formats::Image& image, bool centred) {
  Tensor x = Tensor::empty({1, image.height, image.width, image.channels});
  for (int64_t i = 0; i < x.numel(); ++i) {
    const float value = static_cast<float>(image.pixels[static_cast<size_t>(i)]) / 255.0f;
    x.f32()[i] = centred ? 2 * value - 1 : value;
  }
  return x;
}

formats::Image to_image(const Tensor& x, int64_t index) {
  if (x.dim() != 4 || x.size(3) != 3 || index < 0 || index >= x.size(0))
    fail("picture {} of {}: expected [B, H, W, 3]", index, tensor::shape_string(x.shape()));
  formats::Image image(static_cast<int>(x.size(2)), static_cast<int>(x.size(1)), 3);
  const float* from = x.rows(index, 1).f32();
  for (size_t i = 0; i < image.pixels.size(); ++i) {
    const float value = std::clamp(from[i] / 2 + 0.5f, 0.0f, 1.0f);  // a NaN becomes 0 below
    image.pixels[i] = static_cast<uint8_t>(std::nearbyint(value > 0 ? value * 255.0f : 0.0f));
  }
  return image;
}

Tensor randn(base::Generator& generator, Shape shape) {
  Tensor x = Tensor::empty(std::move(shape));
  generator.randn({x.f32(), static_cast<size_t>(x.numel())});
  return x;
}

}  // namespace sumi::diffusion
