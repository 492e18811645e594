#include "ops/loss.h"

#include <algorithm>
#include <cstring>
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

Tensor squared_error(const Tensor& x, const Tensor& target, const std::vector<float>& weights) {
  check_f32("squared_error", "x", x);
  check_shape("squared_error", "target", target, x.shape());
  const auto rows = static_cast<int64_t>(weights.size());
  if (x.dim() == 0 || x.numel() == 0 || x.size(0) != rows)
    fail("squared_error: {} weights for x {}, expected one for each row", rows,
         shape_string(x.shape()));
  const int64_t n = x.numel() / rows;
  std::vector<double> sums(weights.size());
  const float *from = x.f32(), *to = target.f32();
  for_rows(rows, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * n; i < end * n; ++i) {
      const double difference = double{from[i]} - double{to[i]};
      sums[static_cast<size_t>(i / n)] += difference * difference;
    }
  });
  double total = 0;
  for (size_t b = 0; b < sums.size(); ++b)
    total += double{weights[b]} * sums[b] / static_cast<double>(n);
  Tensor loss = Tensor::full({1}, static_cast<float>(total));
  if (needs_record({&x}))
    record(loss, "squared_error", {x}, [x, target, weights, n](const Tensor& g) {
      Tensor dx = Tensor::empty(x.shape());
      const float *a = x.f32(), *b = target.f32();
      float* out = dx.f32();
      for_elements(x.numel(), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          out[i] = 2 * g.f32()[0] * weights[static_cast<size_t>(i / n)] / static_cast<float>(n) *
                   (a[i] - b[i]);
      });
      return std::vector<Tensor>{dx};
    });
  return loss;
}

namespace {

// A leaf with the same elements, which collects gradients of its own.
Tensor leaf_of(const Tensor& x) {
  if (!x.defined()) return x;
  Tensor leaf = x.view(x.shape());
  leaf.set_requires_grad(x.requires_grad());
  return leaf;
}

Tensor scaled(Tensor gradient, float factor) {
  if (!gradient.defined() || factor == 1) return gradient;
  float* g = gradient.f32();
  for_elements(gradient.numel(), [&](int64_t begin, int64_t end) {
    elementwise().scale(g + begin, factor, g + begin, end - begin);
  });
  return gradient;
}

}  // namespace

Tensor cross_entropy_in_pieces(const LogitsOf& logits_of, const Tensor& x,
                               const std::vector<Tensor>& weights, const Tensor& targets,
                               int64_t rows_at_once) {
  check_rows("cross_entropy_in_pieces", "x", x);
  if (x.dim() != 2 || !targets.defined() || targets.shape() != Shape{x.size(0)} ||
      targets.dtype() != DType::i32 || rows_at_once < 1)
    fail("cross_entropy_in_pieces: x {}, expected [R, C], with R targets i32, in pieces of 1 or more",
         shape_string(x.shape()));
  bool recording = needs_record({&x});
  for (const Tensor& weight : weights) recording = recording || needs_record({&weight});
  const int64_t rows = x.size(0);
  const int32_t* target = targets.data<int32_t>();
  const auto counted = [&](int64_t begin, int64_t end) {
    return static_cast<double>(
        std::count_if(target + begin, target + end, [](int32_t t) { return t != kIgnoreIndex; }));
  };
  const double total = counted(0, rows);
  if (total == 0) fail("cross_entropy: none of the {} targets counts", rows);

  std::vector<Tensor> leaves, gradients;
  for (const Tensor& weight : weights) leaves.push_back(leaf_of(weight));
  Tensor dx = recording && x.requires_grad() ? Tensor::zeros(x.shape()) : Tensor();
  double loss = 0;
  const int64_t pieces = (rows + rows_at_once - 1) / rows_at_once, most = (rows + pieces - 1) / pieces;
  for (int64_t begin = 0; begin < rows; begin += most) {
    const int64_t end = std::min(rows, begin + most);
    const double share = counted(begin, end) / total;
    if (share == 0) continue;
    Tensor piece = x.rows(begin, end - begin);
    piece.set_requires_grad(dx.defined());
    const Tensor mean =
        cross_entropy(logits_of(piece, leaves), targets.rows(begin, end - begin));
    loss += share * double{mean.f32()[0]};
    if (!recording) continue;
    tensor::backward(mean, Tensor::full({1}, static_cast<float>(share)));
    if (dx.defined())
      std::memcpy(dx.rows(begin, end - begin).bytes(), piece.grad().bytes(),
                  static_cast<size_t>(piece.nbytes()));
  }
  Tensor out = Tensor::full({1}, static_cast<float>(loss));
  if (!recording) return out;
  std::vector<Tensor> operands = {x};
  gradients = {dx};
  for (size_t i = 0; i < weights.size(); ++i) {
    operands.push_back(weights[i]);
    gradients.push_back(leaves[i].defined() && leaves[i].requires_grad() ? leaves[i].grad()
                                                                         : Tensor());
  }
  leaves.clear();
  record(out, "cross_entropy_in_pieces", operands,
         [gradients = std::move(gradients)](const Tensor& g) mutable -> std::vector<Tensor> {
           std::vector<Tensor> all = std::move(gradients);
           for (Tensor& gradient : all) gradient = scaled(std::move(gradient), g.f32()[0]);
           return all;
         });
  return out;
}

}  // namespace sumi::ops
