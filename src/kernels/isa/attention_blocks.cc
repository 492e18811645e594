// The copies of kernels/attention_blocks.h, one per instruction set. With S keys s, head elements d and
// query lanes q: scores[s, q] = sum over d of k[s, d] qt[d, q], then out_t[d, q] = sum over s of
// v[s, d] weights[s, q].
#include "kernels/attention_blocks.h"

#include <cmath>
#include <limits>

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {

extern const AttentionBlockKernels kAttentionBlocks;

namespace {

constexpr int64_t kWidth = Vec::kWidth;
#if defined(SUMI_AVX512)
constexpr int kVecs = 4;  // 32 registers: 5 rows of 4 sums, 4 operands
constexpr int kMostRows = 5;
#else
constexpr int kVecs = 2;  // 16 registers
constexpr int kMostRows = 5;
#endif
constexpr int64_t kBlock = kVecs * kWidth;
constexpr int64_t kTile = 128;  // keys whose scores stay in the first cache

// to[r, q] (rows kBlock apart) = (kAdd ? to : 0) + sum over p < count, rising, of a[r * row + p *
// column] b[p, q] (rows kBlock apart), for kRows rows.
template <int kRows, bool kAdd>
inline void rows_of(const float* a, int64_t row, int64_t column, int64_t count, const float* b,
                    float* to) {
  Vec sum[kRows][kVecs];
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kVecs; ++j)
      sum[r][j] = kAdd ? Vec::load(to + r * kBlock + j * kWidth) : Vec::zero();
  for (int64_t p = 0; p < count; ++p) {
    Vec operand[kVecs];
    for (int j = 0; j < kVecs; ++j) operand[j] = Vec::load(b + p * kBlock + j * kWidth);
    for (int r = 0; r < kRows; ++r) {
      const Vec factor = Vec::set1(a[r * row + p * column]);
      for (int j = 0; j < kVecs; ++j) sum[r][j] = fma(factor, operand[j], sum[r][j]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kVecs; ++j) sum[r][j].store(to + r * kBlock + j * kWidth);
}

template <bool kAdd>
void product(int64_t rows, const float* a, int64_t row, int64_t column, int64_t count,
             const float* b, float* to) {
  int64_t r = 0;
  for (; r + kMostRows <= rows; r += kMostRows)
    rows_of<kMostRows, kAdd>(a + r * row, row, column, count, b, to + r * kBlock);
  for (; r < rows; ++r)
    rows_of<1, kAdd>(a + r * row, row, column, count, b, to + r * kBlock);
}

// scores [n, kBlock] -> exp(scores - new maximum) in place; `decay` is what earlier sums shrink by.
void weigh(int64_t n, float* scores, float* maximum, float* total, float* decay) {
  for (int j = 0; j < kVecs; ++j) {
    float* column = scores + j * kWidth;
    const Vec before = Vec::load(maximum + j * kWidth);
    Vec highest = before;
    for (int64_t s = 0; s < n; ++s) highest = max(highest, Vec::load(column + s * kBlock));
    const Vec shrink = exp(before - highest);
    Vec sum = Vec::zero();
    for (int64_t s = 0; s < n; ++s) {
      const Vec weight = exp(Vec::load(column + s * kBlock) - highest);
      weight.store(column + s * kBlock);
      sum = sum + weight;
    }
    highest.store(maximum + j * kWidth);
    shrink.store(decay + j * kWidth);
    fma(Vec::load(total + j * kWidth), shrink, sum).store(total + j * kWidth);
  }
}

int64_t scratch_floats(int64_t head_dim) { return (2 * head_dim + kTile + 3) * kBlock; }

void attend(const AttentionBlock& a) {
  float* queries = a.scratch;  // [D, kBlock], scaled
  float* sums = queries + a.head_dim * kBlock;
  float* scores = sums + a.head_dim * kBlock;  // [kTile, kBlock]
  float *maximum = scores + kTile * kBlock, *total = maximum + kBlock, *decay = total + kBlock;
  for (int64_t d = 0; d < a.head_dim; ++d)
    for (int64_t q = 0; q < kBlock; ++q) {
      queries[d * kBlock + q] = q < a.queries ? a.q[q * a.q_row + d] * a.scale : 0;
      sums[d * kBlock + q] = 0;
    }
  for (int64_t q = 0; q < kBlock; ++q) {
    maximum[q] = -1e30f;  // below any score; exp of its difference is 0
    total[q] = 0;
  }
  for (int64_t s = 0; s < a.keys; s += kTile) {
    const int64_t n = a.keys - s < kTile ? a.keys - s : kTile;
    product<false>(n, a.k + s * a.kv_row, a.kv_row, 1, a.head_dim, queries, scores);
    weigh(n, scores, maximum, total, decay);
    for (int64_t d = 0; d < a.head_dim; ++d)
      for (int j = 0; j < kVecs; ++j) {
        float* sum = sums + d * kBlock + j * kWidth;
        (Vec::load(sum) * Vec::load(decay + j * kWidth)).store(sum);
      }
    product<true>(a.head_dim, a.v + s * a.kv_row, 1, a.kv_row, n, scores, sums);
  }
  for (int64_t q = 0; q < a.queries; ++q) {
    const float inverse = total[q] > 0 ? 1 / total[q] : 0;
    for (int64_t d = 0; d < a.head_dim; ++d)
      a.out[q * a.out_row + d] = sums[d * kBlock + q] * inverse;
    if (a.log_sum_exp)
      a.log_sum_exp[q] = total[q] > 0 ? maximum[q] + std::log(total[q])
                                      : -std::numeric_limits<float>::infinity();
  }
}

}  // namespace

const AttentionBlockKernels kAttentionBlocks = {kBlock, scratch_floats, attend};

}  // namespace sumi::kernels::SUMI_ISA
