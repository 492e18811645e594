#include "ops/attention.h"

#include <cmath>
#include <limits>

#include "base/memory.h"
#include "kernels/attention_blocks.h"
#include "kernels/attention_gradient.h"
#include "kernels/picture_attention.h"
#include "kernels/tile_matmul.h"
#include "ops/bf16.h"
#include "ops/common.h"
#include "ops/work.h"

namespace sumi::ops {
namespace {

constexpr int64_t kTile =
    64;  // queries and keys in a tile: scores and keys stay in the L1 and L2 caches
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Problem {
  int64_t batch, queries, keys, heads, kv_heads, size, group;  // group = heads / kv_heads
  AttentionOptions options;

  // Rows of q, k and v are these many floats apart.
  int64_t q_row() const { return heads * size; }
  int64_t kv_row() const { return kv_heads * size; }
  int64_t q_offset(int64_t b, int64_t t, int64_t h) const {
    return ((b * queries + t) * heads + h) * size;
  }
  int64_t kv_offset(int64_t b, int64_t s, int64_t h) const {
    return ((b * keys + s) * kv_heads + h) * size;
  }
  // Of query head h in gradients of k and v that each has for itself; their rows are q_row() apart.
  int64_t dkv_offset(int64_t b, int64_t s, int64_t h) const { return ((b * keys + s) * heads + h) * size; }

  // Where the bias of head h for key 0 and query t stands in options.distance_bias, or in its
  // gradient.
  int64_t bias_offset(int64_t h, int64_t t) const {
    const int64_t width = options.distance_bias.size(1);
    return h * width + width / 2 - (t + options.query_offset);
  }

  // Query t sees keys [first_key(b, t), end_key(t)).
  int64_t first_key(int64_t b, int64_t t) const {
    const int64_t first =
        options.first_keys.defined() ? options.first_keys.data<int32_t>()[b * queries + t] : 0;
    if (options.window <= 0) return first;
    return std::max<int64_t>(first, t + options.query_offset + 1 - options.window);
  }
  int64_t end_key(int64_t t) const {
    if (!options.causal) return keys;
    return std::clamp<int64_t>(std::max(t + options.query_offset + 1, options.prefix), 0, keys);
  }
};

Problem check(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const bool narrow = is_bf16(q) && is_bf16(k) && is_bf16(v);
  if (!narrow) check_f32("attention", "q", q);
  if (!narrow) check_f32("attention", "k", k);
  if (q.dim() != 4 || k.dim() != 4 || k.size(0) != q.size(0) || k.size(3) != q.size(3))
    fail("attention: q {} and k {}, expected [B, T, H, D] and [B, S, Hkv, D]",
         shape_string(q.shape()), shape_string(k.shape()));
  if (!narrow || v.shape() != k.shape()) check_shape("attention", "v", v, k.shape());
  const int64_t heads = q.size(2), kv_heads = k.size(2);
  if (kv_heads <= 0 || heads % kv_heads != 0)
    fail("attention: {} query heads are not a multiple of {} key heads", heads, kv_heads);
  if (options.window < 0) fail("attention: window is {}, expected 0 or more", options.window);
  if (options.prefix < 0 || options.prefix > k.size(1))
    fail("attention: a prefix of {} keys, expected 0 to {}", options.prefix, k.size(1));
  if (options.softcap < 0) fail("attention: softcap is {}, expected 0 or more", options.softcap);
  if (!options.alibi_slopes.empty() && static_cast<int64_t>(options.alibi_slopes.size()) != heads)
    fail("attention: {} ALiBi slopes for {} heads", options.alibi_slopes.size(), heads);
  if (options.first_keys.defined()) {
    const Tensor& first = options.first_keys;
    if (first.dtype() != DType::i32 || first.shape() != Shape{q.size(0), q.size(1)})
      fail("attention: first keys {} {}, expected i32 [{}, {}]", tensor::dtype_name(first.dtype()),
           shape_string(first.shape()), q.size(0), q.size(1));
    const int32_t* f = first.data<int32_t>();
    for (int64_t i = 0; i < first.numel(); ++i)
      if (f[i] < 0 || f[i] >= k.size(1) || (i % q.size(1) > 0 && f[i] < f[i - 1]))
        fail("attention: first key {} at {}, expected 0 to {} and none below the one before it",
             f[i], i, k.size(1) - 1);
  }
  if (options.distance_bias.defined()) {
    check_f32("attention", "distance bias", options.distance_bias);
    const int64_t reach = std::max(k.size(1) - std::min<int64_t>(0, options.query_offset),
                                   q.size(1) + options.query_offset);
    const Shape& shape = options.distance_bias.shape();
    if (shape.size() != 2 || shape[0] != heads || shape[1] % 2 == 0 || shape[1] < 2 * reach - 1)
      fail("attention: distance bias {}, expected [{}, {}] or an odd number beyond",
           shape_string(shape), heads, 2 * reach - 1);
  }
  return {q.size(0), q.size(1), k.size(1), heads, kv_heads, q.size(3), heads / kv_heads, options};
}

// Which of a tile's n keys, from s on, the queries [t, t + m) see: query i those from first[i] to end[i]. Neither falls along i.
struct SeenKeys {
  SeenKeys(const Problem& p, int64_t b, int64_t t, int64_t queries, int64_t s, int64_t keys) : m(queries), n(keys) {
    for (int64_t i = 0; i < m; ++i) {
      end[i] = std::clamp<int64_t>(p.end_key(t + i) - s, 0, n);
      first[i] = std::clamp<int64_t>(p.first_key(b, t + i) - s, 0, end[i]);
    }
  }

  // Products leave out what is hidden behind the end, in blocks of as many rows as their kernels take together. It would
  // add zeros: half the tiles on the diagonal.
  static constexpr int64_t kRows = 12;
  // body(first query, queries, keys that they see).
  template <class Body>
  void for_queries(const Body& body) const {
    const int64_t rows = end[0] == n ? m : kRows;
    for (int64_t i = 0; i < m; i += rows) {
      const int64_t count = std::min(rows, m - i);
      if (const int64_t keys = end[i + count - 1]; keys > 0) body(i, count, keys);
    }
  }
  // body(first key, keys, first query that sees some of them).
  template <class Body>
  void for_keys(const Body& body) const {
    const int64_t rows = end[0] == n ? n : kRows;
    for (int64_t j = 0, query = 0; j < n; j += rows) {
      while (query < m && end[query] <= j) ++query;
      if (query < m) body(j, std::min(rows, n - j), query);
    }
  }

  int64_t m, n;
  int64_t first[kTile], end[kTile];
};

// A tile of scores: q rows [t, t + m) against keys [s, s + n), whose transpose is keys_t [D,
// kTile]. scores [m, kTile] get scale, softcap, biases and the mask (-infinity). With `capped`, the
// values after the softcap and before biases and mask are kept there too.
void score_tile(const Problem& p, int64_t h, const float* q, int64_t t, int64_t s, const SeenKeys& seen, const float* keys_t,
                float* scores, float* capped) {
  const AttentionOptions& o = p.options;
  seen.for_queries([&](int64_t i, int64_t count, int64_t keys) {
    kernels::tile_kernels().multiply(count, keys, p.size, q + i * p.q_row(), p.q_row(), 1, keys_t, kTile, scores + i * kTile,
                                     kTile, false);
  });
  for (int64_t i = 0; i < seen.m; ++i) {
    float* row = scores + i * kTile;
    const int64_t end = seen.end[i];
    elementwise().scale(row, o.scale, row, end);
    if (o.softcap > 0) {
      elementwise().softcap(row, o.softcap, row, end);
      if (capped) std::copy_n(row, end, capped + i * kTile);
    }
    if (!o.alibi_slopes.empty()) {
      const float slope = o.alibi_slopes[static_cast<size_t>(h)];
      const int64_t here = t + i + o.query_offset;
      for (int64_t j = 0; j < end; ++j) row[j] += slope * static_cast<float>(s + j - here);
    }
    if (o.distance_bias.defined()) elementwise().accumulate(o.distance_bias.f32() + p.bias_offset(h, t + i) + s, row, end);
    std::fill(row, row + seen.first[i], -kInfinity);
    std::fill(row + end, row + kTile, -kInfinity);
  }
}

// Tiles of keys that some query of [t, t + m) sees. They begin at multiples of kTile and rows of
// scores are always kTile long (hidden keys add zeros), so that a query's sums are cut the same way
// whatever the queries beside it.
struct KeyRange {
  int64_t begin, end;
};
KeyRange visible(const Problem& p, int64_t b, int64_t t, int64_t m) {
  return {p.first_key(b, t) / kTile * kTile, p.end_key(t + m - 1)};
}

// One tile of queries of one head: out rows, and log-sum-exp of the scores if lse is given.
void forward_tile(const Problem& p, const float* q, const float* k, const float* v, int64_t b,
                  int64_t h, int64_t t, int64_t m, float* out, float* lse, float* scratch) {
  float *scores = scratch, *keys_t = scores + kTile * kTile;
  float *top = keys_t + kTile * p.size, *sum = top + kTile;
  std::fill_n(top, m, -kInfinity);
  std::fill_n(sum, m, 0.0f);
  for (int64_t i = 0; i < m; ++i) std::fill_n(out + i * p.q_row(), p.size, 0.0f);
  const KeyRange range = visible(p, b, t, m);
  const int64_t kv_head = h / p.group;
  for (int64_t s = range.begin; s < range.end; s += kTile) {
    const int64_t n = std::min(kTile, range.end - s);
    const SeenKeys seen(p, b, t, m, s, n);
    kernels::tile_kernels().transpose(n, p.size, k + p.kv_offset(b, s, kv_head), p.kv_row(), keys_t, kTile);
    score_tile(p, h, q, t, s, seen, keys_t, scores, nullptr);
    for (int64_t i = 0; i < m; ++i) {
      float* row = scores + i * kTile;
      const float highest = std::max(top[i], elementwise().maximum(row, kTile));
      if (highest == -kInfinity) {  // nothing visible yet
        std::fill_n(row, n, 0.0f);
        continue;
      }
      if (highest != top[i]) {
        const float shrink = top[i] == -kInfinity ? 0 : std::exp(top[i] - highest);
        sum[i] *= shrink;
        elementwise().scale(out + i * p.q_row(), shrink, out + i * p.q_row(), p.size);
        top[i] = highest;
      }
      sum[i] += elementwise().exp_sum(row, highest, row, kTile);
    }
    seen.for_queries([&](int64_t i, int64_t count, int64_t keys) {
      kernels::tile_kernels().multiply(count, p.size, keys, scores + i * kTile, kTile, 1, v + p.kv_offset(b, s, kv_head),
                                       p.kv_row(), out + i * p.q_row(), p.q_row(), true);
    });
  }
  for (int64_t i = 0; i < m; ++i) {
    if (sum[i] > 0)
      elementwise().scale(out + i * p.q_row(), 1 / sum[i], out + i * p.q_row(), p.size);
    if (lse) lse[i] = sum[i] > 0 ? top[i] + std::log(sum[i]) : -kInfinity;
  }
}

// Whether every query sees every key by the plain scaled product, as pictures do.
bool plain(const AttentionOptions& o) {
  return !o.causal && o.window == 0 && o.softcap == 0 && o.alibi_slopes.empty() &&
         !o.distance_bias.defined();
}

void forward_plain(const Problem& p, const float* q, const float* k, const float* v, float* out,
                   float* lse) {
  const kernels::AttentionBlockKernels& kernels = kernels::attention_block_kernels();
  const int64_t blocks = (p.queries + kernels.block - 1) / kernels.block;
  // A head's blocks one after the other: its keys and values stay in the second cache.
  for_rows(p.batch * p.heads * blocks, std::min(kernels.block, p.queries) * p.keys * p.size / 4,
           [&](int64_t begin, int64_t end) {
             std::vector<float> scratch(static_cast<size_t>(kernels.scratch_floats(p.size)));
             for (int64_t item = begin; item < end; ++item) {
               const int64_t t = item % blocks * kernels.block, h = item / blocks % p.heads;
               const int64_t b = item / blocks / p.heads, kv = p.kv_offset(b, 0, h / p.group);
               kernels.attend({.queries = std::min(kernels.block, p.queries - t),
                               .keys = p.keys,
                               .head_dim = p.size,
                               .scale = p.options.scale,
                               .q = q + p.q_offset(b, t, h),
                               .q_row = p.q_row(),
                               .k = k + kv,
                               .v = v + kv,
                               .kv_row = p.kv_row(),
                               .out = out + p.q_offset(b, t, h),
                               .out_row = p.q_row(),
                               .log_sum_exp =
                                   lse ? lse + (b * p.heads + h) * p.queries + t : nullptr,
                               .scratch = scratch.data()});
             }
           });
}

// lse [B, H, T] or null.
void forward(const Problem& p, const float* q, const float* k, const float* v, float* out,
             float* lse) {
  if (plain(p.options)) return forward_plain(p, q, k, v, out, lse);
  const int64_t tiles = (p.queries + kTile - 1) / kTile, items = p.batch * p.heads * tiles;
  // A query of one head costs about 2 S D multiplications.
  const int64_t item_cost = std::min(kTile, p.queries) * p.keys * p.size / 4;
  for_rows(items, item_cost, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(static_cast<size_t>(kTile * (kTile + p.size + 2)));
    for (int64_t item = begin; item < end; ++item) {
      const int64_t t = item % tiles * kTile, h = item / tiles % p.heads;
      const int64_t b = item / tiles / p.heads, m = std::min(kTile, p.queries - t);
      const int64_t offset = p.q_offset(b, t, h);
      forward_tile(p, q + offset, k, v, b, h, t, m, out + offset,
                   lse ? lse + (b * p.heads + h) * p.queries + t : nullptr, scratch.data());
    }
  });
}

// Gradients that a query head adds to: of q, and of k and v [B, S, H, D], of that head's own.
struct HeadGradients {
  float *q, *k, *v;
  float* bias;  // or null: this sequence's part of the distance bias's gradient
};

// With P = exp(S - lse), dP = dO V^T and delta = sum(dO O) per query: dS = P (dP - delta), dV = P^T
// dO, dK = dS^T Q, dQ = dS K (arXiv:2205.14135, appendix B). P is made again tile by tile.
void backward_head(const Problem& p, int64_t b, int64_t h, const float* q, const float* k, const float* v,
                   const float* out, const float* lse, const float* g, const HeadGradients& d) {
  const kernels::TileKernels& tile = kernels::tile_kernels();
  std::vector<float> scratch(static_cast<size_t>(kTile * (3 * kTile + 2 * p.size) + p.queries));
  float *probabilities = scratch.data(), *capped = probabilities + kTile * kTile;
  float *dscores = capped + kTile * kTile, *keys_t = dscores + kTile * kTile;
  float *values_t = keys_t + kTile * p.size, *delta = values_t + kTile * p.size;
  const float cap = p.options.softcap;
  const bool later = d.bias || cap > 0;  // the scale comes after what those do
  for (int64_t t = 0; t < p.queries; ++t) {
    const int64_t row = p.q_offset(b, t, h);
    delta[t] = elementwise().dot(g + row, out + row, p.size);
  }
  for (int64_t s = 0; s < p.keys; s += kTile) {
    const int64_t n = std::min(kTile, p.keys - s), kv = p.kv_offset(b, s, h / p.group), own = p.dkv_offset(b, s, h);
    tile.transpose(n, p.size, k + kv, p.kv_row(), keys_t, kTile);
    tile.transpose(n, p.size, v + kv, p.kv_row(), values_t, kTile);
    for (int64_t t = 0; t < p.queries; t += kTile) {
      const int64_t m = std::min(kTile, p.queries - t), rows = p.q_offset(b, t, h);
      const KeyRange range = visible(p, b, t, m);
      if (s < range.begin || s >= range.end) continue;
      const SeenKeys seen(p, b, t, m, s, n);
      score_tile(p, h, q + rows, t, s, seen, keys_t, probabilities, capped);
      seen.for_queries([&](int64_t i, int64_t count, int64_t visible_keys) {
        tile.multiply(count, visible_keys, p.size, g + rows + i * p.q_row(), p.q_row(), 1, values_t, kTile, dscores + i * kTile,
                      kTile, false);
      });
      const float* row_lse = lse + (b * p.heads + h) * p.queries + t;
      for (int64_t i = 0; i < m; ++i) {
        float *probability = probabilities + i * kTile, *dscore = dscores + i * kTile;
        const int64_t end = row_lse[i] == -kInfinity ? 0 : seen.end[i];  // which is of a query that sees no key
        elementwise().exp_scaled(probability, row_lse[i], 1, probability, end);
        elementwise().softmax_backward_part(probability, dscore, delta[t + i], later ? 1 : p.options.scale, dscore, end);
        std::fill(probability + end, probability + n, 0.0f);
        std::fill(dscore + end, dscore + n, 0.0f);
        if (!later) continue;
        if (d.bias) elementwise().accumulate(dscore, d.bias + p.bias_offset(h, t + i) + s, end);
        if (cap > 0) elementwise().softcap_backward(capped + i * kTile, cap, dscore, dscore, end);
        elementwise().scale(dscore, p.options.scale, dscore, end);
      }
      seen.for_keys([&](int64_t j, int64_t count, int64_t query) {
        const int64_t from = rows + query * p.q_row(), to = own + j * p.q_row(), at = query * kTile + j;
        tile.multiply(count, p.size, m - query, probabilities + at, 1, kTile, g + from, p.q_row(), d.v + to, p.q_row(), true);
        tile.multiply(count, p.size, m - query, dscores + at, 1, kTile, q + from, p.q_row(), d.k + to, p.q_row(), true);
      });
      seen.for_queries([&](int64_t i, int64_t count, int64_t visible_keys) {
        tile.multiply(count, p.size, visible_keys, dscores + i * kTile, kTile, 1, k + kv, p.kv_row(), d.q + rows + i * p.q_row(),
                      p.q_row(), true);
      });
    }
  }
}

// The same with products in bf16, for scores without a cap and biases.
void backward_head_in_bf16(const Problem& p, int64_t b, int64_t h, const float* q, const float* k, const float* v,
                           const float* out, const float* lse, const float* g, const HeadGradients& d) {
  std::vector<int64_t> first, end;
  for (int64_t t = 0; t < p.queries; ++t) {
    first.push_back(p.first_key(b, t));
    end.push_back(p.end_key(t));
  }
  const int64_t at = p.q_offset(b, 0, h), kv = p.kv_offset(b, 0, h / p.group), own = p.dkv_offset(b, 0, h);
  kernels::attention_gradient({.queries = p.queries,
                               .keys = p.keys,
                               .head_dim = p.size,
                               .scale = p.options.scale,
                               .q = q + at,
                               .k = k + kv,
                               .v = v + kv,
                               .out = out + at,
                               .g = g + at,
                               .q_row = p.q_row(),
                               .kv_row = p.kv_row(),
                               .dkv_row = p.q_row(),
                               .log_sum_exp = lse + (b * p.heads + h) * p.queries,
                               .first = first.data(),
                               .end = end.data(),
                               .dq = d.q + at,
                               .dk = d.k + own,
                               .dv = d.v + own});
}

bool backward_in_bf16(const AttentionOptions& o) {
  return o.products == Products::bf16 && o.softcap == 0 && o.alibi_slopes.empty() && !o.distance_bias.defined() &&
         kernels::has_attention_gradient();
}

// parts [B, S, H, D] summed over the query heads of each key head: [B, S, Hkv, D].
Tensor sum_of_groups(const Problem& p, const Tensor& parts, const Shape& shape) {
  Tensor sum = Tensor::empty(shape);
  const float* from = parts.f32();
  float* to = sum.f32();
  for_rows(p.batch * p.keys * p.kv_heads, p.group * p.size, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* part = from + row * p.group * p.size;
      std::copy_n(part, p.size, to + row * p.size);
      for (int64_t i = 1; i < p.group; ++i) elementwise().accumulate(part + i * p.size, to + row * p.size, p.size);
    }
  });
  return sum;
}

std::vector<Tensor> backward(const Problem& p, const Tensor& q, const Tensor& k, const Tensor& v,
                             const Tensor& out, const Tensor& lse, const Tensor& g) {
  // Query heads that share a key head have parts of its gradient, which are summed in order: so all heads can run side
  // by side, and the number of threads does not change a sum.
  const Shape of_heads = {p.batch, p.keys, p.heads, p.size};
  Tensor dq = Tensor::zeros(q.shape()), dk = Tensor::zeros(of_heads), dv = Tensor::zeros(of_heads);
  const bool biased = p.options.distance_bias.defined();
  // One part per sequence, summed in order: heads are disjoint, sequences are not.
  Tensor dbias = biased ? Tensor::zeros({p.batch, p.options.distance_bias.numel()}) : Tensor();
  const auto of_head = backward_in_bf16(p.options) ? backward_head_in_bf16 : backward_head;
  // A thread's own sequences first, which are the rows that it has had in the layer's other operations.
  base::parallel_stream(p.batch * p.heads, 1, 1, [&](int64_t begin, int64_t end, int64_t) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / p.heads;
      of_head(p, b, item % p.heads, q.f32(), k.f32(), v.f32(), out.f32(), lse.f32(), g.f32(),
              {dq.f32(), dk.f32(), dv.f32(), biased ? dbias.f32() + b * dbias.size(1) : nullptr});
    }
  });
  if (p.group > 1) {
    dk = sum_of_groups(p, dk, k.shape());
    dv = sum_of_groups(p, dv, k.shape());
  }
  if (!biased) return {dq, dk, dv};
  for (int64_t b = 1; b < p.batch; ++b)
    elementwise().accumulate(dbias.f32() + b * dbias.size(1), dbias.f32(), dbias.size(1));
  return {dq, dk, dv, dbias.rows(0, 1).view(p.options.distance_bias.shape())};
}

}  // namespace

namespace {

using PictureKernels = kernels::PictureAttentionKernels;

const PictureKernels& picture_kernels(const AttentionOptions& options, int64_t head_dim) {
  const PictureKernels& codes = kernels::picture_code_attention_kernels();
  return options.int8 && codes.attend && head_dim <= PictureKernels::kMostCodes ? codes : kernels::picture_attention_kernels();
}

// bf16 pictures where the processor multiplies bf16.
Tensor attention_in_tiles(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  const PictureKernels& kernels = picture_kernels(options, q.shape().back());
  const Problem p = check(q, k, v, options);
  Tensor out = Tensor::empty(q.shape(), DType::bf16);
  if (out.numel() == 0 || p.keys == 0) return out;
  const auto *from_q = q.data<uint16_t>(), *from_k = k.data<uint16_t>(), *from_v = v.data<uint16_t>();
  auto* to = out.data<uint16_t>();
  const int64_t packed_bytes = kernels.packed_bytes(p.keys, p.size), heads = p.batch * p.kv_heads;
  thread_local base::Scratch all_packed;
  std::byte* packed = all_packed.at_least(static_cast<size_t>(heads * packed_bytes));
  base::parallel_for(heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t at = p.kv_offset(item / p.kv_heads, 0, item % p.kv_heads);
      kernels.pack({from_k + at, from_v + at, p.kv_row(), p.keys, p.size, packed + item * packed_bytes});
    }
  });
  constexpr int64_t kBlock = 256;  // queries of a task
  const int64_t blocks = (p.queries + kBlock - 1) / kBlock;
  base::parallel_tasks(p.batch * p.heads * blocks, [&](int64_t task) {
    thread_local base::Scratch scratch;
    const int64_t t = task % blocks * kBlock, h = task / blocks % p.heads, b = task / blocks / p.heads;
    const int64_t at = p.q_offset(b, t, h);
    kernels.attend({.packed = packed + (b * p.kv_heads + h / p.group) * packed_bytes,
                    .keys = p.keys,
                    .head_dim = p.size,
                    .scale = p.options.scale,
                    .q = from_q + at,
                    .out = to + at,
                    .q_row = p.q_row(),
                    .out_row = p.q_row(),
                    .queries = std::min(kBlock, p.queries - t),
                    .scratch = scratch.at_least(static_cast<size_t>(kernels.scratch_bytes(p.size)))});
  });
  count_products(2 * p.batch * p.heads * p.queries * p.keys * p.size);
  return out;
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionOptions& options) {
  if (is_bf16(q) && is_bf16(k) && is_bf16(v) && plain(options) && !options.first_keys.defined() &&
      kernels::picture_attention_kernels().attend)
    return attention_in_tiles(q, k, v, options);
  if (is_bf16(q)) return narrow(attention(widen(q), widen(k), widen(v), options));
  const Problem p = check(q, k, v, options);
  Tensor out = Tensor::empty(q.shape());
  count_products(2 * q.numel() * p.keys);
  const bool biased = options.distance_bias.defined();
  const bool recording =
      needs_record({&q, &k, &v}) || (biased && needs_record({&options.distance_bias}));
  Tensor lse = recording ? Tensor::empty({p.batch, p.heads, p.queries}) : Tensor();
  forward(p, q.f32(), k.f32(), v.f32(), out.f32(), recording ? lse.f32() : nullptr);
  if (recording) {
    const Tensor y =
        out.view(out.shape());  // without history: a record must not hold its own output
    std::vector<Tensor> operands = {q, k, v};
    if (biased) operands.push_back(options.distance_bias);
    record(out, "attention", operands,
           [p, q, k, v, y, lse](const Tensor& g) { return backward(p, q, k, v, y, lse, g); });
  }
  return out;
}

}  // namespace sumi::ops
