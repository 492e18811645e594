#include "diffusion/preview.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "tensor/autograd.h"

namespace sumi::diffusion {

namespace {

constexpr int64_t kPatches = 6, kPatch = 4;  // patches per side, latents per side of one

// Solves A x = b for each column of b [n, m] by elimination with pivots; A [n, n] is symmetric and
// positive thanks to a small diagonal.
void solve(std::vector<double> a, std::vector<double>& b, int64_t n, int64_t m) {
  const auto at = [n](int64_t r, int64_t c) { return static_cast<size_t>(r * n + c); };
  const auto of_b = [m](int64_t r, int64_t c) { return static_cast<size_t>(r * m + c); };
  for (int64_t k = 0; k < n; ++k) {
    int64_t pivot = k;
    for (int64_t r = k + 1; r < n; ++r)
      if (std::fabs(a[at(r, k)]) > std::fabs(a[at(pivot, k)])) pivot = r;
    for (int64_t c = 0; c < n; ++c) std::swap(a[at(k, c)], a[at(pivot, c)]);
    for (int64_t c = 0; c < m; ++c) std::swap(b[of_b(k, c)], b[of_b(pivot, c)]);
    for (int64_t r = 0; r < n; ++r) {
      if (r == k) continue;
      const double factor = a[at(r, k)] / a[at(k, k)];
      for (int64_t c = 0; c < n; ++c) a[at(r, c)] -= factor * a[at(k, c)];
      for (int64_t c = 0; c < m; ++c) b[of_b(r, c)] -= factor * b[of_b(k, c)];
    }
  }
  for (int64_t r = 0; r < n; ++r)
    for (int64_t c = 0; c < m; ++c) b[of_b(r, c)] /= a[at(r, r)];
}

}  // namespace

LatentColours latent_colours(const models::Vae& vae) {
  const tensor::NoGrad no_grad;
  const int64_t channels = vae.latent_channels(), side = kPatches * kPatch, factor = vae.factor();
  std::vector<float> noise(static_cast<size_t>(kPatches * kPatches * channels));
  base::Generator(1).randn(noise);
  // Finished latents have about the spread 1 after scaling.
  Tensor latents = Tensor::empty({1, side, side, channels});
  const auto patch = [&](int64_t y, int64_t x, int64_t c) {
    return noise[static_cast<size_t>(((y / kPatch) * kPatches + x / kPatch) * channels + c)];
  };
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x)
      for (int64_t c = 0; c < channels; ++c)
        latents.f32()[(y * side + x) * channels + c] =
            patch(y, x, c) / static_cast<float>(vae.scaling_factor()) +
            static_cast<float>(vae.shift_factor());
  const Tensor picture = vae.decode(latents);
  // Normal equations over all latents: inputs are the scaled channels and 1, outputs the mean
  // colours of the latent's square of pixels.
  const int64_t n = channels + 1;
  std::vector<double> a(static_cast<size_t>(n * n)), b(static_cast<size_t>(n * 3)),
      input(static_cast<size_t>(n), 1.0);
  for (int64_t y = 0; y < side; ++y)
    for (int64_t x = 0; x < side; ++x) {
      double colour[3] = {};
      for (int64_t r = 0; r < factor; ++r)
        for (int64_t q = 0; q < factor; ++q)
          for (int64_t k = 0; k < 3; ++k)
            colour[k] += picture.f32()[((y * factor + r) * side * factor + x * factor + q) * 3 + k];
      for (int64_t c = 0; c < channels; ++c) input[static_cast<size_t>(c)] = patch(y, x, c);
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j)
          a[static_cast<size_t>(i * n + j)] +=
              input[static_cast<size_t>(i)] * input[static_cast<size_t>(j)];
        for (int64_t k = 0; k < 3; ++k)
          b[static_cast<size_t>(i * 3 + k)] +=
              input[static_cast<size_t>(i)] * colour[k] / static_cast<double>(factor * factor);
      }
    }
  for (int64_t i = 0; i < n; ++i) a[static_cast<size_t>(i * n + i)] += 1e-3;
  solve(std::move(a), b, n, 3);
  return LatentColours(std::move(b), channels);
}

formats::Image LatentColours::image(const Tensor& sample) const {
  if (sample.dim() != 4 || sample.size(0) != 1 || sample.size(1) != channels_)
    fail("preview: sample {}, expected [1, {}, h, w]", tensor::shape_string(sample.shape()),
         channels_);
  const int64_t height = sample.size(2), width = sample.size(3), pixels = height * width;
  double squares = 0;
  for (int64_t i = 0; i < sample.numel(); ++i)
    squares += static_cast<double>(sample.f32()[i]) * sample.f32()[i];
  const double spread = std::sqrt(squares / static_cast<double>(sample.numel()));
  const double factor = spread > 1 ? 1 / spread : 1;
  formats::Image image(static_cast<int>(width), static_cast<int>(height), 3);
  for (int64_t i = 0; i < pixels; ++i)
    for (int64_t k = 0; k < 3; ++k) {
      double value = weights_[static_cast<size_t>(channels_ * 3 + k)];
      for (int64_t c = 0; c < channels_; ++c)
        value += weights_[static_cast<size_t>(c * 3 + k)] * factor * sample.f32()[c * pixels + i];
      const double unit = std::clamp(value / 2 + 0.5, 0.0, 1.0);
      image.pixels[static_cast<size_t>(i * 3 + k)] =
          static_cast<uint8_t>(unit > 0 ? unit * 255 + 0.5 : 0);
    }
  return image;
}

}  // namespace sumi::diffusion
