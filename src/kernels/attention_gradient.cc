#include "kernels/attention_gradient.h"

#include <algorithm>
#include <limits>

#include "base/memory.h"
#include "kernels/bf16_product.h"
#include "kernels/elementwise.h"

namespace sumi::kernels {
namespace {

constexpr int64_t kBlock = 64;  // queries, and keys, at a time
static_assert(kBlock % kProductStrip == 0 && kBlock % kProductStep == 0);

int64_t pieces(int64_t count) { return (count + kProductStrip - 1) / kProductStrip; }

// Blocks of a matrix [rows, width] as factors of products, each block in its own elements of `all`.
class Blocks {
 public:
  // over_rows: products reduce over the rows of a block, else over the width.
  Blocks(const float* x, int64_t row, int64_t rows, int64_t width, bool over_rows, bool as_b, uint16_t* all)
      : all_(all), elements_(block_elements(width)) {
    for (int64_t begin = 0; begin < rows; begin += kBlock) {
      const int64_t count = std::min(kBlock, rows - begin);
      const ProductFactor factor{.f32 = x + begin * row, .outer_contiguous = over_rows,
                                 .outer = over_rows ? width : count, .k = over_rows ? count : width, .stride = row};
      bf16_product_kernels().pack(factor, as_b, 0, pieces(count), all_ + begin / kBlock * elements_);
    }
  }
  static int64_t block_elements(int64_t width) { return pieces(kBlock) * pieces(width) * kProductPiece; }
  const uint16_t* at(int64_t begin) const { return all_ + begin / kBlock * elements_; }

 private:
  uint16_t* all_;
  int64_t elements_;
};

// c [m, n] (+)= a b, reduced over k.
void multiply(const uint16_t* a, const uint16_t* b, int64_t m, int64_t n, int64_t k, float* c, int64_t ldc,
              bool accumulate) {
  bf16_product_kernels().multiply({a, b, m, n, pieces(k), c, ldc, accumulate}, 0, pieces(m), 0, pieces(n));
}

}  // namespace

bool has_attention_gradient() { return has_bf16_product(); }

void attention_gradient(const AttentionGradient& h) {
  const ElementwiseKernels& elementwise = elementwise_kernels();
  const int64_t d = h.head_dim, block = Blocks::block_elements(d);
  const int64_t query_blocks = (h.queries + kBlock - 1) / kBlock, key_blocks = (h.keys + kBlock - 1) / kBlock;
  thread_local base::Scratch memory;
  const int64_t packed = (4 * query_blocks + 3 * key_blocks) * block;
  const int64_t score_elements = kBlock * kBlock;
  auto* narrow = reinterpret_cast<uint16_t*>(
      memory.at_least(static_cast<size_t>((packed + score_elements) * 2 + (2 * score_elements + kBlock) * 4)));
  const auto take = [&](int64_t elements) {
    uint16_t* begin = narrow;
    narrow += elements;
    return begin;
  };
  // Of scores' products, reduced over the width of a head; and of those over queries or keys.
  const Blocks q(h.q, h.q_row, h.queries, d, false, false, take(query_blocks * block));
  const Blocks g(h.g, h.q_row, h.queries, d, false, false, take(query_blocks * block));
  const Blocks k(h.k, h.kv_row, h.keys, d, false, true, take(key_blocks * block));
  const Blocks v(h.v, h.kv_row, h.keys, d, false, true, take(key_blocks * block));
  const Blocks over_q(h.q, h.q_row, h.queries, d, true, true, take(query_blocks * block));
  const Blocks over_g(h.g, h.q_row, h.queries, d, true, true, take(query_blocks * block));
  const Blocks over_k(h.k, h.kv_row, h.keys, d, true, true, take(key_blocks * block));
  uint16_t* factor = take(score_elements);
  auto* probabilities = reinterpret_cast<float*>(narrow);
  float *dscores = probabilities + score_elements, *delta = dscores + score_elements;
  const auto pack_scores = [&](const float* x, int64_t m, int64_t n, bool over_queries) {
    const ProductFactor scores{.f32 = x, .outer_contiguous = over_queries, .outer = over_queries ? n : m,
                               .k = over_queries ? m : n, .stride = kBlock};
    bf16_product_kernels().pack(scores, false, 0, pieces(m), factor);
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
        for (int64_t j = 0; j < n; ++j) dscore[j] = probability[j] * (dscore[j] - delta[i]) * h.scale;
      }
      float *dk = h.dk + s * h.kv_row, *dv = h.dv + s * h.kv_row;
      multiply(pack_scores(probabilities, m, n, true), over_g.at(t), n, d, m, dv, h.kv_row, true);
      multiply(pack_scores(dscores, m, n, true), over_q.at(t), n, d, m, dk, h.kv_row, true);
      multiply(pack_scores(dscores, m, n, false), over_k.at(s), m, d, n, h.dq + t * h.q_row, h.q_row, true);
    }
  }
}

}  // namespace sumi::kernels
