#include "kernels/attention_gradient.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/memory.h"
#include "kernels/bf16_product.h"
#include "kernels/elementwise.h"

namespace sumi::kernels {
namespace {

constexpr int64_t kBlock = 64;  // queries, and keys, at a time

// Blocks of a matrix [rows, width] as factors of products, each block in its own bytes of `all`.
class Blocks {
 public:
  // over_rows: products reduce over the rows of a block, else over the width.
  Blocks(const float* x, int64_t row, int64_t rows, int64_t width, bool over_rows, bool as_b, std::byte* all)
      : all_(all), bytes_(bytes(width, over_rows, as_b)) {
    const Bf16ProductKernels& kernels = bf16_product_kernels();
    for (int64_t begin = 0; begin < rows; begin += kBlock) {
      const int64_t count = std::min(kBlock, rows - begin);
      const ProductFactor factor{.f32 = x + begin * row, .outer_contiguous = over_rows,
                                 .outer = over_rows ? width : count, .k = over_rows ? count : width, .stride = row};
      kernels.pack(factor, as_b, 0, kernels.packed_parts(factor, as_b), all_ + begin / kBlock * bytes_);
    }
  }
  // Of a block.
  static int64_t bytes(int64_t width, bool over_rows, bool as_b) {
    return bf16_product_kernels().packed_bytes(over_rows ? width : kBlock, over_rows ? kBlock : width, as_b);
  }
  const std::byte* at(int64_t begin) const { return all_ + begin / kBlock * bytes_; }

 private:
  std::byte* all_;
  int64_t bytes_;
};

// c [m, n] (+)= a b, reduced over k.
void multiply(const std::byte* a, const std::byte* b, int64_t m, int64_t n, int64_t k, float* c, int64_t ldc,
              bool accumulate) {
  const Bf16ProductKernels& kernels = bf16_product_kernels();
  kernels.multiply({a, b, m, n, kernels.steps(k), c, ldc, accumulate}, 0, kernels.strips(m, false), 0,
                   kernels.strips(n, true));
}

}  // namespace

// Where pairs of bf16 are multiplied as floats, products of floats as they lie in memory are faster: nothing is laid out.
bool has_attention_gradient() { return has_bf16_product() && bf16_product_kernels().number_bytes == 2; }

void attention_gradient(const AttentionGradient& h) {
  const ElementwiseKernels& elementwise = elementwise_kernels();
  const Bf16ProductKernels& kernels = bf16_product_kernels();
  const int64_t d = h.head_dim;
  const int64_t query_blocks = (h.queries + kBlock - 1) / kBlock, key_blocks = (h.keys + kBlock - 1) / kBlock;
  const int64_t wide_a = Blocks::bytes(d, false, false), wide_b = Blocks::bytes(d, false, true);
  const int64_t over_b = Blocks::bytes(d, true, true), scores_a = Blocks::bytes(kBlock, true, false);
  constexpr int64_t kScores = kBlock * kBlock;
  thread_local base::Scratch memory;
  std::byte* free = memory.at_least(
      static_cast<size_t>(query_blocks * (2 * wide_a + 2 * over_b) + key_blocks * (2 * wide_b + over_b) + scores_a) +
      (2 * kScores + kBlock) * sizeof(float));
  const auto take = [&](int64_t bytes) { return std::exchange(free, free + bytes); };
  // Of scores' products, reduced over the width of a head; and of those over queries or keys.
  const Blocks q(h.q, h.q_row, h.queries, d, false, false, take(query_blocks * wide_a));
  const Blocks g(h.g, h.q_row, h.queries, d, false, false, take(query_blocks * wide_a));
  const Blocks k(h.k, h.kv_row, h.keys, d, false, true, take(key_blocks * wide_b));
  const Blocks v(h.v, h.kv_row, h.keys, d, false, true, take(key_blocks * wide_b));
  const Blocks over_q(h.q, h.q_row, h.queries, d, true, true, take(query_blocks * over_b));
  const Blocks over_g(h.g, h.q_row, h.queries, d, true, true, take(query_blocks * over_b));
  const Blocks over_k(h.k, h.kv_row, h.keys, d, true, true, take(key_blocks * over_b));
  std::byte* factor = take(scores_a);
  auto* probabilities = reinterpret_cast<float*>(free);
  float *dscores = probabilities + kScores, *delta = dscores + kScores;
  const auto pack_scores = [&](const float* x, int64_t m, int64_t n, bool over_queries) {
    const ProductFactor scores{.f32 = x, .outer_contiguous = over_queries, .outer = over_queries ? n : m,
                               .k = over_queries ? m : n, .stride = kBlock};
    kernels.pack(scores, false, 0, kernels.packed_parts(scores, false), factor);
    return factor;
  };
  for (int64_t t = 0; t < h.queries; t += kBlock) {
    const int64_t m = std::min(kBlock, h.queries - t);
    for (int64_t i = 0; i < m; ++i)
      delta[i] = elementwise.dot(h.g + (t + i) * h.q_row, h.out + (t + i) * h.q_row, d);
    for (int64_t s = h.first[t] / kBlock * kBlock; s < h.end[t + m - 1]; s += kBlock) {
      const int64_t n = std::min(kBlock, h.keys - s);
      multiply(q.at(t), k.at(s), m, n, d, probabilities, kBlock, false);
      multiply(g.at(t), v.at(s), m, n, d, dscores, kBlock, false);
      for (int64_t i = 0; i < m; ++i) {
        float *probability = probabilities + i * kBlock, *dscore = dscores + i * kBlock;
        const bool sees = h.log_sum_exp[t + i] != -std::numeric_limits<float>::infinity();
        const int64_t first = std::clamp<int64_t>(h.first[t + i] - s, 0, n);
        const int64_t end = sees ? std::clamp<int64_t>(h.end[t + i] - s, first, n) : first;
        elementwise.scale(probability + first, h.scale, probability + first, end - first);
        elementwise.exp_scaled(probability + first, h.log_sum_exp[t + i], 1, probability + first, end - first);
        std::fill(probability, probability + first, 0.0f);
        std::fill(probability + end, probability + n, 0.0f);
        elementwise.softmax_backward_part(probability, dscore, delta[i], h.scale, dscore, n);
      }
      float *dk = h.dk + s * h.dkv_row, *dv = h.dv + s * h.dkv_row;
      multiply(pack_scores(probabilities, m, n, true), over_g.at(t), n, d, m, dv, h.dkv_row, true);
      multiply(pack_scores(dscores, m, n, true), over_q.at(t), n, d, m, dk, h.dkv_row, true);
      multiply(pack_scores(dscores, m, n, false), over_k.at(s), m, d, n, h.dq + t * h.q_row, h.q_row, true);
    }
  }
}

}  // namespace sumi::kernels
