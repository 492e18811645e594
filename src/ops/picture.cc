#include "ops/picture.h"

#include <cmath>
#include <cstring>

#include "ops/bf16.h"
#include "ops/common.h"

namespace sumi::ops {
namespace {

void check_picture(const char* op, const Tensor& x) {
  check_f32(op, "x", x);
  if (x.dim() != 4) fail("{}: x {}, expected [B, H, W, C]", op, shape_string(x.shape()));
}

struct Sizes {
  int64_t batch, rows, channels;  // rows: pixels of a picture
};
Sizes check_per_picture(const char* op, const char* operand, const Tensor& x, const Tensor& y) {
  const int64_t c = check_rows(op, "x", x);
  if (x.dim() < 2) fail("{}: x {}, expected [B, ..., C]", op, shape_string(x.shape()));
  check_shape(op, operand, y, {x.size(0), c});
  return {x.size(0), x.numel() > 0 ? x.numel() / x.size(0) / c : 0, c};
}

// [B, C]: sums over each picture's rows of g, or of g * factor if that is given.
Tensor sum_pictures(const Sizes& s, const Tensor& g, const float* factor) {
  Tensor sum = Tensor::zeros({s.batch, s.channels});
  const float* from = g.f32();
  float* to = sum.f32();
  for (int64_t b = 0; b < s.batch; ++b)
    for_columns(s.channels, s.rows, [&](int64_t begin, int64_t end) {
      for (int64_t r = 0; r < s.rows; ++r) {
        const int64_t i = (b * s.rows + r) * s.channels + begin;
        if (factor)
          elementwise().accumulate_product(from + i, factor + i, to + b * s.channels + begin,
                                           end - begin);
        else
          elementwise().accumulate(from + i, to + b * s.channels + begin, end - begin);
      }
    });
  return sum;
}

}  // namespace

Tensor upsample_nearest(const Tensor& x, int64_t height, int64_t width) {
  if (is_bf16(x)) return narrow(upsample_nearest(widen(x), height, width));
  check_picture("upsample_nearest", x);
  const int64_t b = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3);
  if (height < 1 || width < 1 || h < 1 || w < 1)
    fail("upsample_nearest: {} to {} x {}", shape_string(x.shape()), height, width);
  Tensor out = Tensor::empty({b, height, width, c});
  const float* from = x.f32();
  float* to = out.f32();
  for_rows(b * height, width * c, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t source = row / height * h + row % height * h / height;
      for (int64_t j = 0; j < width; ++j)
        std::memcpy(to + (row * width + j) * c, from + (source * w + j * w / width) * c,
                    static_cast<size_t>(c) * sizeof(float));
    }
  });
  if (needs_record({&x}))
    record(out, "upsample_nearest", {x},
           [b, h, w, c, height, width](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx = Tensor::zeros({b, h, w, c});
             const float* dy = g.f32();
             float* sum = dx.f32();
             for_rows(b * h, width * c, [&](int64_t begin, int64_t end) {
               for (int64_t row = begin; row < end; ++row) {
                 // Result rows i with floor(i h / height) = row % h.
                 const int64_t own = row % h, picture = row / h;
                 const int64_t first = (own * height + h - 1) / h;
                 const int64_t last = ((own + 1) * height + h - 1) / h;
                 for (int64_t i = first; i < last; ++i)
                   for (int64_t j = 0; j < width; ++j)
                     elementwise().accumulate(dy + ((picture * height + i) * width + j) * c,
                                              sum + (row * w + j * w / width) * c, c);
               }
             });
             return {dx};
           });
  return out;
}

Tensor average_pool_2x(const Tensor& x) {
  check_picture("average_pool_2x", x);
  const int64_t b = x.size(0), h = x.size(1), w = x.size(2), c = x.size(3);
  const int64_t height = h / 2, width = w / 2;
  Tensor out = Tensor::zeros({b, height, width, c});
  const float* from = x.f32();
  float* to = out.f32();
  for_rows(b * height, 4 * width * c, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      for (int64_t j = 0; j < width; ++j) {
        const float* top = from + ((row / height * h + row % height * 2) * w + 2 * j) * c;
        float* pixel = to + (row * width + j) * c;
        for (const float* part : {top, top + c, top + w * c, top + (w + 1) * c})
          elementwise().accumulate_scaled(part, 0.25f, pixel, c);
      }
  });
  if (needs_record({&x}))
    record(out, "average_pool_2x", {x},
           [b, h, w, c, height, width](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx = Tensor::zeros({b, h, w, c});
             const float* dy = g.f32();
             float* to = dx.f32();
             for_rows(b * height, 4 * width * c, [&](int64_t begin, int64_t end) {
               for (int64_t row = begin; row < end; ++row)
                 for (int64_t j = 0; j < width; ++j) {
                   float* top = to + ((row / height * h + row % height * 2) * w + 2 * j) * c;
                   for (float* part : {top, top + c, top + w * c, top + (w + 1) * c})
                     elementwise().scale(dy + (row * width + j) * c, 0.25f, part, c);
                 }
             });
             return {dx};
           });
  return out;
}

Tensor add_per_picture(const Tensor& x, const Tensor& y) {
  const Sizes s = check_per_picture("add_per_picture", "y", x, y);
  Tensor out = Tensor::empty(x.shape());
  const float *a = x.f32(), *b = y.f32();
  float* to = out.f32();
  for_rows(s.batch * s.rows, s.channels, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      elementwise().add(a + r * s.channels, b + r / s.rows * s.channels, to + r * s.channels,
                        s.channels);
  });
  if (needs_record({&x, &y}))
    record(out, "add_per_picture", {x, y},
           [s, needs_y = y.requires_grad()](const Tensor& g) -> std::vector<Tensor> {
             return {g, needs_y ? sum_pictures(s, g, nullptr) : Tensor()};
           });
  return out;
}

Tensor modulate(const Tensor& x, const Tensor& scale, const Tensor& shift) {
  if (is_bf16(x)) return narrow(modulate(widen(x), scale, shift));
  const Sizes s = check_per_picture("modulate", "scale", x, scale);
  check_per_picture("modulate", "shift", x, shift);
  const auto run = [s](const Tensor& from, const Tensor& factor, const float* offset) {
    Tensor result = Tensor::empty(from.shape());
    const float *a = from.f32(), *f = factor.f32();
    float* to = result.f32();
    for_rows(s.batch * s.rows, s.channels, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t at = r * s.channels, own = r / s.rows * s.channels;
        for (int64_t i = 0; i < s.channels; ++i)
          to[at + i] = a[at + i] * (1 + f[own + i]) + (offset ? offset[own + i] : 0.0f);
      }
    });
    return result;
  };
  Tensor out = run(x, scale, shift.f32());
  if (needs_record({&x, &scale, &shift}))
    record(out, "modulate", {x, scale, shift},
           [s, x, scale, needs_shift = shift.requires_grad(),
            run](const Tensor& g) -> std::vector<Tensor> {
             return {x.requires_grad() ? run(g, scale, nullptr) : Tensor(),
                     scale.requires_grad() ? sum_pictures(s, g, x.f32()) : Tensor(),
                     needs_shift ? sum_pictures(s, g, nullptr) : Tensor()};
           });
  return out;
}

Tensor timestep_embedding(const std::vector<float>& timesteps, const TimestepEmbedding& options) {
  const int64_t half = options.dim / 2;
  if (options.dim < 2 || options.dim % 2 != 0)
    fail("timestep_embedding: dim is {}, expected an even number from 2 on", options.dim);
  if (static_cast<double>(half) == options.freq_shift)
    fail("timestep_embedding: freq_shift {} makes a division by zero at dim {}",
         options.freq_shift, options.dim);
  Tensor out = Tensor::empty({static_cast<int64_t>(timesteps.size()), options.dim});
  for (size_t b = 0; b < timesteps.size(); ++b) {
    float* row = out.f32() + static_cast<int64_t>(b) * options.dim;
    for (int64_t i = 0; i < half; ++i) {
      // Rounded as PyTorch rounds it: the exponent and the angle are floats.
      const auto exponent =
          static_cast<float>(-std::log(10000.0) * static_cast<double>(i)) /
          static_cast<float>(static_cast<double>(half) - options.freq_shift);
      const float angle = timesteps[b] * std::exp(exponent);
      row[options.flip_sin_to_cos ? half + i : i] = std::sin(angle);
      row[options.flip_sin_to_cos ? i : half + i] = std::cos(angle);
    }
  }
  return out;
}

}  // namespace sumi::ops
