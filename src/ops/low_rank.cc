#include "ops/low_rank.h"

#include "kernels/onednn.h"
#include "ops/common.h"

namespace sumi::ops {
namespace {

using kernels::onednn::matmul;

void check_columns(const Tensor& y, const Tensor& x, int64_t begin, int64_t k, int64_t n) {
  if (check_rows("add_low_rank", "x", x) != k)
    fail("add_low_rank: x {} beside weights of {} inputs", shape_string(x.shape()), k);
  const int64_t width = check_rows("add_low_rank", "y", y);
  if (row_count(y, width) != row_count(x, k) || begin < 0 || n > width - begin)
    fail("add_low_rank: {} columns from {} on of y {}, for x {}", n, begin, shape_string(y.shape()),
         shape_string(x.shape()));
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
  const int64_t width = y.size(-1), rows = row_count(x, k);
  Tensor out = y.view(y.shape());
  Tensor middle = Tensor::empty({rows, rank});
  matmul({.transpose_b = true, .m = rows, .n = rank, .k = k}, x.f32(), a.f32(), middle.f32());
  matmul({.transpose_b = true, .m = rows, .n = n, .k = rank, .alpha = scale, .beta = 1,
          .ldc = width},
         middle.f32(), b.f32(), out.f32() + begin);
  if (!needs_record({&y, &x, &a, &b})) return out;
  record(out, "add_low_rank", {y, x, a, b}, [=, record_of_x = record_of(x)](const Tensor& g) -> std::vector<Tensor> {
    const float* dy = g.f32() + begin;
    Tensor dmiddle = Tensor::empty({rows, rank}), dx, da, db;
    matmul({.m = rows, .n = rank, .k = n, .alpha = scale, .lda = width}, dy, b.f32(),
           dmiddle.f32());
    if (Tensor sum = tensor::waiting_gradient(record_of_x); sum.defined()) {
      matmul({.m = rows, .n = k, .k = rank, .beta = 1}, dmiddle.f32(), a.f32(), sum.f32());
    } else if (x.requires_grad()) {
      dx = Tensor::empty(x.shape());
      matmul({.m = rows, .n = k, .k = rank}, dmiddle.f32(), a.f32(), dx.f32());
    }
    if (a.requires_grad()) {
      da = Tensor::empty({rank, k});
      matmul({.transpose_a = true, .m = rank, .n = k, .k = rows}, dmiddle.f32(), x.f32(), da.f32());
    }
    if (b.requires_grad()) {
      db = Tensor::empty({n, rank});
      matmul({.transpose_a = true, .m = n, .n = rank, .k = rows, .alpha = scale, .lda = width}, dy,
             middle.f32(), db.f32());
    }
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
