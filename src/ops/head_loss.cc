#include "ops/head_loss.h"

#include <algorithm>

#include "ops/common.h"
#include "ops/elementwise.h"
#include "ops/loss.h"
#include "ops/products.h"
#include "ops/work.h"

namespace sumi::ops {
namespace {

int64_t count_targets(const Tensor& targets, int64_t vocabulary) {
  const int32_t* target = targets.data<int32_t>();
  int64_t counted = 0;
  for (int64_t r = 0; r < targets.numel(); ++r) {
    if (target[r] == kIgnoreIndex) continue;
    if (target[r] < 0 || target[r] >= vocabulary)
      fail("cross_entropy: target {} at position {} is outside [0, {})", target[r], r, vocabulary);
    ++counted;
  }
  if (counted == 0) fail("cross_entropy: none of the {} targets counts", targets.numel());
  return counted;
}

// Rows of logits become factor * (softmax - onehot) in bf16, if asked for. Returns the sum of -log softmax[target].
double loss_of_rows(Tensor& logits, const int32_t* target, float factor, uint16_t* gradient) {
  const int64_t rows = logits.size(0), n = logits.size(1);
  std::vector<double> losses(static_cast<size_t>(rows));
  float* x = logits.f32();
  for_rows(rows, n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = x + r * n;
      if (target[r] == kIgnoreIndex) {
        if (gradient) std::fill_n(gradient + r * n, n, uint16_t{0});
        continue;
      }
      const float sum = elementwise().log_sum_exp(row, n);
      losses[static_cast<size_t>(r)] = double{sum} - double{row[target[r]]};
      if (!gradient) continue;
      elementwise().exp_scaled(row, sum, factor, row, n);
      row[target[r]] -= factor;
      elementwise().narrow(row, gradient + r * n, n);
    }
  });
  double total = 0;
  for (const double loss : losses) total += loss;
  return total;
}

}  // namespace

Tensor head_cross_entropy(const Tensor& x, const Tensor& weight, const Tensor& targets, int64_t rows_at_once) {
  const int64_t c = check_rows("head_cross_entropy", "x", x);
  if (x.dim() != 2 || !weight.defined() || weight.dim() != 2 || weight.size(1) != c || !targets.defined() ||
      targets.dtype() != DType::i32 || targets.shape() != Shape{x.size(0)} || rows_at_once < 1)
    fail("head_cross_entropy: x {}, expected [R, C], with weight [V, C] and R targets i32, in pieces of 1 or more",
         shape_string(x.shape()));
  const int64_t rows = x.size(0), n = weight.size(0), counted = count_targets(targets, n);
  const bool recording = needs_record({&x, &weight});
  const float factor = 1 / static_cast<float>(counted);
  const Tensor gradient = recording ? Tensor::empty({rows, n}, DType::bf16) : Tensor();
  const int64_t pieces = (rows + rows_at_once - 1) / rows_at_once, most = (rows + pieces - 1) / pieces;
  double total = 0;
  for (int64_t begin = 0; begin < rows; begin += most) {
    const int64_t count = std::min(most, rows - begin);
    Tensor logits = Tensor::empty({count, n});
    multiply({.transpose_b = true, .m = count, .n = n, .k = c}, Products::bf16, x.rows(begin, count), weight,
             logits.f32());
    total += loss_of_rows(logits, targets.data<int32_t>() + begin, factor,
                          recording ? gradient.rows(begin, count).data<uint16_t>() : nullptr);
  }
  count_products(rows * n * c);
  Tensor loss = Tensor::full({1}, static_cast<float>(total / static_cast<double>(counted)));
  if (recording)
    record(loss, "head_cross_entropy", {x, weight},
           [x, weight, gradient, rows, n, c](const Tensor& g) -> std::vector<Tensor> {
             const float scale_by = g.f32()[0];
             Tensor dx, dw;
             if (x.requires_grad()) {
               dx = Tensor::empty(x.shape());
               multiply({.m = rows, .n = c, .k = n}, Products::bf16, gradient, weight, dx.f32());
               if (scale_by != 1) dx = scale(dx, scale_by);
             }
             if (weight.requires_grad()) {
               Tensor sum = sum_of_leaf(weight);
               if (!sum.defined()) sum = dw = Tensor::empty(weight.shape());
               multiply({.transpose_a = true, .m = n, .n = c, .k = rows, .beta = dw.defined() ? 0.0f : 1.0f},
                        Products::bf16, gradient, scale_by == 1 ? x : scale(x, scale_by), sum.f32());
             }
             return {dx, dw};
           });
  return loss;
}

}  // namespace sumi::ops
