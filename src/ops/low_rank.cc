#include "ops/low_rank.h"

#include <algorithm>
#include <vector>

#include "kernels/tile_matmul.h"
#include "ops/common.h"

namespace sumi::ops {
namespace {

void check_columns(const Tensor& y, const Tensor& x, int64_t begin, int64_t k, int64_t n) {
  if (check_rows("add_low_rank", "x", x) != k)
    fail("add_low_rank: x {} beside weights of {} inputs", shape_string(x.shape()), k);
  const int64_t width = check_rows("add_low_rank", "y", y);
  if (row_count(y, width) != row_count(x, k) || begin < 0 || n > width - begin)
    fail("add_low_rank: {} columns from {} on of y {}, for x {}", n, begin, shape_string(y.shape()),
         shape_string(x.shape()));
}

struct LowRank {
  int64_t rows, k, rank, n;  // x [rows, k], a [rank, k], b [n, rank]
  int64_t begin, width;      // its columns begin there of y's
  float scale;
};

// These products are bound by reading their rows, so each thread does all of them for its own, as in the layer's other
// operations. middle = scale x Aᵀ, and y += middle Bᵀ.
void forward(const LowRank& p, const float* x, const float* a, const float* b, float* middle, float* y) {
  const kernels::TileKernels& tile = kernels::tile_kernels();
  Tensor at = Tensor::empty({p.k, p.rank}), bt = Tensor::empty({p.rank, p.n});
  tile.transpose(p.rank, p.k, a, p.k, at.f32(), p.rank);
  tile.transpose(p.n, p.rank, b, p.rank, bt.f32(), p.n);
  for_rows(p.rows, (p.k + p.n) * p.rank, [&](int64_t first, int64_t last) {
    const int64_t m = last - first;
    float* t = middle + first * p.rank;
    tile.multiply(m, p.rank, p.k, x + first * p.k, p.k, 1, at.f32(), p.rank, t, p.rank, false);
    elementwise().scale(t, p.scale, t, m * p.rank);
    tile.multiply(m, p.n, p.rank, t, p.rank, 1, bt.f32(), p.n, y + first * p.width + p.begin, p.width, true);
  });
}

// With dmiddle = scale dy B: dx = (add ? dx : 0) + dmiddle A, unless it is null; da += dmiddleᵀ x, db = dyᵀ middle.
void backward(const LowRank& p, const float* x, const float* a, const float* b, const float* middle, const float* g,
              float* dx, bool add, float* da, float* db) {
  // Sums over rows are of chunks, in order, so that threads do not change them. Half a chunk is taken at once, which stays in
  // the cache from product to product.
  constexpr int64_t kChunk = 128, kRows = kChunk / 2;
  const kernels::TileKernels& tile = kernels::tile_kernels();
  const int64_t chunks = (p.rows + kChunk - 1) / kChunk, all = p.k + p.n;
  Tensor sums = Tensor::empty({chunks, p.rank, all});  // of da, and of db turned, beside each other
  base::parallel_for(chunks, 1, [&](int64_t from, int64_t to) {
    std::vector<float> dmiddle(static_cast<size_t>(kRows * p.rank));
    for (int64_t row = from * kChunk; row < std::min(to * kChunk, p.rows); row += kRows) {
      const int64_t m = std::min(kRows, p.rows - row);
      const bool more = row % kChunk > 0;
      const float *dy = g + row * p.width + p.begin, *rows = x + row * p.k;
      float* sum = sums.f32() + row / kChunk * p.rank * all;
      tile.multiply(m, p.rank, p.n, dy, p.width, 1, b, p.rank, dmiddle.data(), p.rank, false);
      elementwise().scale(dmiddle.data(), p.scale, dmiddle.data(), m * p.rank);
      tile.multiply(p.rank, p.n, m, middle + row * p.rank, 1, p.rank, dy, p.width, sum + p.k, all, more);
      if (dx) tile.multiply(m, p.k, p.rank, dmiddle.data(), p.rank, 1, a, p.k, dx + row * p.k, p.k, add);
      tile.multiply(p.rank, p.k, m, dmiddle.data(), 1, p.rank, rows, p.k, sum, all, more);
    }
  });
  Tensor turned = Tensor::zeros({p.rank, p.n});
  for_columns(all, chunks * p.rank, [&](int64_t from, int64_t to) {
    const int64_t of_a = std::clamp<int64_t>(p.k - from, 0, to - from), at = std::max<int64_t>(0, from - p.k);
    for (int64_t r = 0; r < p.rank; ++r)
      for (int64_t c = 0; c < chunks; ++c) {
        const float* part = sums.f32() + (c * p.rank + r) * all + from;
        elementwise().accumulate(part, da + r * p.k + from, of_a);
        elementwise().accumulate(part + of_a, turned.f32() + r * p.n + at, to - from - of_a);
      }
    tile.transpose(p.rank, to - from - of_a, turned.f32() + at, p.n, db + at * p.rank, p.rank);
  });
}

// A number that looks random, from `key` and `index` (the finaliser of splitmix64).
uint64_t mixed(uint64_t key, uint64_t index) {
  uint64_t z = key + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

Tensor dropped(const Tensor& x, float probability, uint64_t key) {
  Tensor out = Tensor::empty(x.shape());
  const float* from = x.f32();
  float* to = out.f32();
  const auto limit = static_cast<uint64_t>(static_cast<double>(probability) * 0x1p53);
  const float factor = 1 / (1 - probability);
  for_elements(x.numel(), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      to[i] = mixed(key, static_cast<uint64_t>(i)) >> 11 < limit ? 0 : from[i] * factor;
  });
  return out;
}

}  // namespace

Tensor add_low_rank(const Tensor& y, int64_t begin, const Tensor& x, const Tensor& a,
                    const Tensor& b, float scale) {
  const int64_t k = check_rows("add_low_rank", "a", a), rank = check_rows("add_low_rank", "b", b);
  check_shape("add_low_rank", "a", a, {rank, k});
  const int64_t n = row_count(b, rank);
  check_columns(y, x, begin, k, n);
  const LowRank p{row_count(x, k), k, rank, n, begin, y.size(-1), scale};
  Tensor out = y.view(y.shape());
  Tensor middle = Tensor::empty({p.rows, rank});
  forward(p, x.f32(), a.f32(), b.f32(), middle.f32(), out.f32());
  if (!needs_record({&y, &x, &a, &b})) return out;
  record(out, "add_low_rank", {y, x, a, b}, [=, record_of_x = record_of(x)](const Tensor& g) -> std::vector<Tensor> {
    Tensor dx, da = Tensor::zeros({rank, k}), db = Tensor::empty({n, rank}), sum = tensor::waiting_gradient(record_of_x);
    const bool waiting = sum.defined();
    if (!waiting && x.requires_grad()) dx = Tensor::empty(x.shape());
    float* to = waiting ? sum.f32() : dx.defined() ? dx.f32() : nullptr;
    backward(p, x.f32(), a.f32(), b.f32(), middle.f32(), g.f32(), to, waiting, da.f32(), db.f32());
    return {g, dx, da, db};
  });
  return out;
}

Tensor add_low_rank(const Tensor& y, int64_t begin, const Tensor& x, const PackedWeight& a,
                    const PackedWeight& b) {
  check_columns(y, x, begin, a.k(), b.n());
  if (needs_record({&y, &x})) fail("add_low_rank: packed adapters are for inference");
  const Tensor more = linear(linear(x, a), b);
  Tensor out = y.view(y.shape());
  const int64_t width = y.size(-1), n = b.n();
  for_rows(row_count(x, a.k()), n, [&](int64_t from, int64_t end) {
    for (int64_t r = from; r < end; ++r)
      elementwise().accumulate(more.f32() + r * n, out.f32() + r * width + begin, n);
  });
  return out;
}

Tensor dropout(const Tensor& x, float probability, uint64_t key) {
  check_f32("dropout", "x", x);
  if (!(probability >= 0 && probability < 1))
    fail("dropout: probability {}, expected 0 to less than 1", probability);
  if (probability == 0) return x;
  Tensor out = dropped(x, probability, key);
  if (needs_record({&x}))
    record(out, "dropout", {x}, [probability, key](const Tensor& g) -> std::vector<Tensor> {
      return {dropped(g, probability, key)};
    });
  return out;
}

}  // namespace sumi::ops
