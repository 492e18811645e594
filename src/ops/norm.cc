#include "ops/norm.h"

#include <memory>

#include "kernels/picture_tiles.h"
#include "ops/bf16.h"
#include "ops/common.h"

namespace sumi::ops {
namespace {

using Statistics = std::vector<kernels::NormStatistics>;  // one per row

// Column sums over the rows of dy (x - mean) inverse.
Tensor weight_gradient(const Tensor& x, const Tensor& dy, const Statistics& statistics, int64_t n) {
  Tensor sum = Tensor::zeros({n});
  const auto rows = static_cast<int64_t>(statistics.size());
  const float *a = x.f32(), *b = dy.f32();
  float* out = sum.f32();
  for_columns(n, rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < rows; ++r)
      elementwise().norm_backward_weight(a + r * n + begin, b + r * n + begin,
                                         statistics[static_cast<size_t>(r)], out + begin,
                                         end - begin);
  });
  return sum;
}

Tensor bias_gradient(const Tensor& dy, int64_t rows, int64_t n) {
  Tensor sum = Tensor::zeros({n});
  const float* from = dy.f32();
  float* out = sum.f32();
  for_columns(n, rows, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < rows; ++r)
      elementwise().accumulate(from + r * n + begin, out + begin, end - begin);
  });
  return sum;
}

}  // namespace

namespace {

// bf16 rows through buffers of f32.
Tensor narrow_layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps) {
  const int64_t n = x.shape().back(), rows = row_count(x, n);
  check_shape("layer_norm", "weight", weight, {n});
  if (bias.defined()) check_shape("layer_norm", "bias", bias, {n});
  Tensor out = Tensor::empty(x.shape(), DType::bf16);
  const auto* from = x.data<uint16_t>();
  auto* to = out.data<uint16_t>();
  const float *w = weight.f32(), *b = bias.defined() ? bias.f32() : nullptr;
  for_rows(rows, n, [&](int64_t begin, int64_t end) {
    std::vector<float> wide(static_cast<size_t>(n)), normed(wide.size());
    for (int64_t r = begin; r < end; ++r) {
      elementwise().widen(from + r * n, wide.data(), n);
      elementwise().layer_norm(wide.data(), w, b, eps, normed.data(), n);
      elementwise().narrow(normed.data(), to + r * n, n);
    }
  });
  return out;
}

}  // namespace

Tensor layer_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, float eps) {
  if (is_bf16(x) && kernels::has_picture_tiles()) return narrow_layer_norm(x, weight, bias, eps);
  const int64_t n = check_rows("layer_norm", "x", x);
  check_shape("layer_norm", "weight", weight, {n});
  if (bias.defined()) check_shape("layer_norm", "bias", bias, {n});
  Tensor out = Tensor::empty(x.shape());
  const int64_t rows = row_count(x, n);
  const bool recording = needs_record({&x, &weight, &bias});
  const auto statistics =
      recording ? std::make_shared<Statistics>(static_cast<size_t>(rows)) : nullptr;
  const float *from = x.f32(), *w = weight.f32(), *b = bias.defined() ? bias.f32() : nullptr;
  float* to = out.f32();
  for_rows(rows, n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto s = elementwise().layer_norm(from + r * n, w, b, eps, to + r * n, n);
      if (statistics) (*statistics)[static_cast<size_t>(r)] = s;
    }
  });
  if (recording)
    record(out, "layer_norm", {x, weight, bias},
           [x, weight, needs_bias = bias.defined() && bias.requires_grad(), statistics, rows,
            n](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx, dw, db;
             if (x.requires_grad()) {
               dx = Tensor::empty(x.shape());
               const float *in = x.f32(), *scale = weight.f32(), *dy = g.f32();
               float* result = dx.f32();
               for_rows(rows, n, [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r)
                   elementwise().layer_norm_backward(in + r * n, scale, dy + r * n,
                                                     (*statistics)[static_cast<size_t>(r)],
                                                     result + r * n, n);
               });
             }
             if (weight.requires_grad()) dw = weight_gradient(x, g, *statistics, n);
             if (needs_bias) db = bias_gradient(g, rows, n);
             return {dx, dw, db};
           });
  return out;
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, float eps, float offset) {
  const int64_t n = check_rows("rms_norm", "x", x);
  check_shape("rms_norm", "weight", weight, {n});
  Tensor out = Tensor::empty(x.shape());
  const int64_t rows = row_count(x, n);
  const bool recording = needs_record({&x, &weight});
  const auto statistics =
      recording ? std::make_shared<Statistics>(static_cast<size_t>(rows)) : nullptr;
  const float *from = x.f32(), *w = weight.f32();
  float* to = out.f32();
  for_rows(rows, n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto s = elementwise().rms_norm(from + r * n, w, offset, eps, to + r * n, n);
      if (statistics) (*statistics)[static_cast<size_t>(r)] = s;
    }
  });
  if (recording)
    record(out, "rms_norm", {x, weight},
           [x, weight, offset, statistics, rows, n](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx, dw;
             if (x.requires_grad()) {
               dx = Tensor::empty(x.shape());
               const float *in = x.f32(), *scale = weight.f32(), *dy = g.f32();
               float* result = dx.f32();
               for_rows(rows, n, [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r)
                   elementwise().rms_norm_backward(in + r * n, scale, offset, dy + r * n,
                                                   (*statistics)[static_cast<size_t>(r)],
                                                   result + r * n, n);
               });
             }
             if (weight.requires_grad()) dw = weight_gradient(x, g, *statistics, n);
             return {dx, dw};
           });
  return out;
}

}  // namespace sumi::ops
