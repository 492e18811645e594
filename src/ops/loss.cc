#include "ops/loss.h"

#include <memory>
#include <vector>

#include "ops/common.h"

namespace sumi::ops {

Tensor softmax(const Tensor& x) {
  const int64_t n = check_rows("softmax", "x", x);
  Tensor out = Tensor::empty(x.shape());
  const float* from = x.f32();
  float* to = out.f32();
  for_rows(row_count(x, n), n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) elementwise().softmax(from + r * n, to + r * n, n);
  });
  if (needs_record({&x})) {
    const Tensor y =
        out.view(out.shape());  // without history: a record must not hold its own output
    record(out, "softmax", {x}, [y, n](const Tensor& g) -> std::vector<Tensor> {
      Tensor dx = Tensor::empty(y.shape());
      const float *p = y.f32(), *dy = g.f32();
      float* result = dx.f32();
      for_rows(row_count(y, n), n, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r)
          elementwise().softmax_backward(p + r * n, dy + r * n, result + r * n, n);
      });
      return {dx};
    });
  }
  return out;
}

Tensor cross_entropy(const Tensor& logits, const Tensor& targets) {
  const int64_t vocabulary = check_rows("cross_entropy", "logits", logits);
  Shape expected = logits.shape();
  expected.pop_back();
  if (!targets.defined() || targets.dtype() != DType::i32 || targets.shape() != expected)
    fail("cross_entropy: targets {}, expected i32 {} for logits {}",
         targets.defined() ? std::string(tensor::dtype_name(targets.dtype())) + " " +
                                 shape_string(targets.shape())
                           : "are undefined",
         shape_string(expected), shape_string(logits.shape()));
  const int64_t rows = targets.numel();
  const int32_t* target = targets.data<int32_t>();
  int64_t counted = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (target[r] == kIgnoreIndex) continue;
    if (target[r] < 0 || target[r] >= vocabulary)
      fail("cross_entropy: target {} at position {} is outside [0, {})", target[r], r, vocabulary);
    ++counted;
  }
  if (counted == 0) fail("cross_entropy: none of the {} targets counts", rows);

  const auto sums = std::make_shared<std::vector<float>>(static_cast<size_t>(rows));
  const float* x = logits.f32();
  for_rows(rows, vocabulary, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      if (target[r] != kIgnoreIndex)
        (*sums)[static_cast<size_t>(r)] = elementwise().log_sum_exp(x + r * vocabulary, vocabulary);
  });
  double total = 0;
  for (int64_t r = 0; r < rows; ++r)
    if (target[r] != kIgnoreIndex)
      total += double{(*sums)[static_cast<size_t>(r)]} - double{x[r * vocabulary + target[r]]};
  Tensor loss = Tensor::full({1}, static_cast<float>(total / static_cast<double>(counted)));

  if (needs_record({&logits}))
    record(
        loss, "cross_entropy", {logits},
        [logits, targets, sums, counted, rows, vocabulary](const Tensor& g) -> std::vector<Tensor> {
          Tensor dx = Tensor::empty(logits.shape());
          const int32_t* ids = targets.data<int32_t>();
          const float* in = logits.f32();
          float* out = dx.f32();
          const float factor = g.f32()[0] / static_cast<float>(counted);
          for_rows(rows, vocabulary, [&](int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              float* row = out + r * vocabulary;
              if (ids[r] == kIgnoreIndex) {
                std::fill_n(row, vocabulary, 0.0f);
                continue;
              }
              elementwise().exp_scaled(in + r * vocabulary, (*sums)[static_cast<size_t>(r)], factor,
                                       row, vocabulary);
              row[ids[r]] -= factor;
            }
          });
          return {dx};
        });
  return loss;
}

}  // namespace sumi::ops
