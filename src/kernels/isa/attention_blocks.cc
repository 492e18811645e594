// The copies of kernels/attention_blocks.h, one per instruction set. With S keys s, head elements d and
// query lanes q: scores[s, q] = sum over d of k[s, d] qt[d, q], then out_t[d, q] = sum over s of
// v[s, d] weights[s, q].
#include "kernels/attention_blocks.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {

extern const AttentionBlockKernels kAttentionBlocks;

namespace {

constexpr int64_t kWidth = Vec::kWidth;
#if defined(SUMI_AVX512)
constexpr int kVecs = 4;  // 32 registers: 6 rows of 4 sums, 4 operands
constexpr int kMostRows = 6;
#else
constexpr int kVecs = 2;  // 16 registers
constexpr int kMostRows = 5;
#endif
constexpr int64_t kBlock = kVecs * kWidth;
constexpr int64_t kTile = 64;  // keys whose scores stay in the first cache, beside queries and sums

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

// In groups of nearly equal size, since a group of few rows waits for its sums.
template <bool kAdd>
void product(int64_t rows, const float* a, int64_t row, int64_t column, int64_t count,
             const float* b, float* to) {
  for (int64_t groups = (rows + kMostRows - 1) / kMostRows; groups > 0; --groups) {
    const int64_t own = (rows + groups - 1) / groups;
    switch (own) {
      case 1: rows_of<1, kAdd>(a, row, column, count, b, to); break;
      case 2: rows_of<2, kAdd>(a, row, column, count, b, to); break;
      case 3: rows_of<3, kAdd>(a, row, column, count, b, to); break;
      case 4: rows_of<4, kAdd>(a, row, column, count, b, to); break;
      case 5: rows_of<5, kAdd>(a, row, column, count, b, to); break;
      default: rows_of<kMostRows, kAdd>(a, row, column, count, b, to); break;
    }
    a += own * row;
    to += own * kBlock;
    rows -= own;
  }
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

// Blocks of queries that go through a tile of keys while it is in the cache: keys and values then come
// from farther away once for all of them.
constexpr int64_t kBlocks = 4;

constexpr uintptr_t kLine = 64;  // bytes; vectors that cross lines load at half the speed

int64_t block_floats(int64_t head_dim) { return (2 * head_dim + 3) * kBlock; }

int64_t scratch_floats(int64_t head_dim) {
  return kBlocks * block_floats(head_dim) + 2 * kTile * head_dim + kTile * kBlock +
         static_cast<int64_t>(kLine / sizeof(float));
}

// kBlock queries on their way through the keys.
struct Block {
  float *queries, *sums;  // [D, kBlock]; queries are scaled
  float *maximum, *total, *decay;  // [kBlock]

  Block(float* memory, int64_t head_dim)
      : queries(memory),
        sums(queries + head_dim * kBlock),
        maximum(sums + head_dim * kBlock),
        total(maximum + kBlock),
        decay(total + kBlock) {}
};

void begin(const AttentionBlock& a, int64_t first, const Block& block) {
  for (int64_t d = 0; d < a.head_dim; ++d)
    for (int64_t q = 0; q < kBlock; ++q) {
      block.queries[d * kBlock + q] =
          first + q < a.queries ? a.q[(first + q) * a.q_row + d] * a.scale : 0;
      block.sums[d * kBlock + q] = 0;
    }
  for (int64_t q = 0; q < kBlock; ++q) {
    block.maximum[q] = -1e30f;  // below any score; exp of its difference is 0
    block.total[q] = 0;
  }
}

// keys and values: rows [n, D].
void advance(const Block& block, const float* keys, const float* values, int64_t n,
             int64_t head_dim, float* scores) {
  product<false>(n, keys, head_dim, 1, head_dim, block.queries, scores);
  weigh(n, scores, block.maximum, block.total, block.decay);
  for (int64_t d = 0; d < head_dim; ++d)
    for (int j = 0; j < kVecs; ++j) {
      float* sum = block.sums + d * kBlock + j * kWidth;
      (Vec::load(sum) * Vec::load(block.decay + j * kWidth)).store(sum);
    }
  product<true>(head_dim, values, 1, head_dim, n, scores, block.sums);
}

void finish(const AttentionBlock& a, int64_t first, const Block& block) {
  for (int64_t q = 0; q < kBlock && first + q < a.queries; ++q) {
    const float total = block.total[q], inverse = total > 0 ? 1 / total : 0;
    for (int64_t d = 0; d < a.head_dim; ++d)
      a.out[(first + q) * a.out_row + d] = block.sums[d * kBlock + q] * inverse;
    if (a.log_sum_exp)
      a.log_sum_exp[first + q] = total > 0 ? block.maximum[q] + std::log(total)
                                           : -std::numeric_limits<float>::infinity();
  }
}

void attend(const AttentionBlock& a) {
  auto* memory = reinterpret_cast<float*>(
      (reinterpret_cast<uintptr_t>(a.scratch) + kLine - 1) / kLine * kLine);
  float* scores = memory + kBlocks * block_floats(a.head_dim);  // [kTile, kBlock]
  float *keys = scores + kTile * kBlock, *values = keys + kTile * a.head_dim;
  const auto block = [&](int64_t first) {
    return Block(memory + first / kBlock * block_floats(a.head_dim), a.head_dim);
  };
  for (int64_t q = 0; q < a.queries; q += kBlock) begin(a, q, block(q));
  for (int64_t s = 0; s < a.keys; s += kTile) {
    const int64_t n = a.keys - s < kTile ? a.keys - s : kTile;
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(keys + i * a.head_dim, a.k + (s + i) * a.kv_row,
                  static_cast<size_t>(a.head_dim) * sizeof(float));
      std::memcpy(values + i * a.head_dim, a.v + (s + i) * a.kv_row,
                  static_cast<size_t>(a.head_dim) * sizeof(float));
    }
    for (int64_t q = 0; q < a.queries; q += kBlock)
      advance(block(q), keys, values, n, a.head_dim, scores);
  }
  for (int64_t q = 0; q < a.queries; q += kBlock) finish(a, q, block(q));
}

}  // namespace

const AttentionBlockKernels kAttentionBlocks = {kBlocks * kBlock, scratch_floats, attend};

}  // namespace sumi::kernels::SUMI_ISA
