// The copies of kernels/group_norm.h, one per instruction set.
#include "kernels/group_norm.h"

#include "base/half.h"
#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {

extern const GroupNormKernels kGroupNorm;

namespace {

constexpr int64_t kWidth = Vec::kWidth;
constexpr int64_t kRows = 8;  // summed in registers before the sums in memory are touched

// body(c, load, store) over the channels, a vector at a time; the last may be partial.
template <class Body>
inline void for_channels(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + kWidth <= channels; c += kWidth)
    body(
        c, [](const float* p) { return Vec::load(p); }, [](Vec v, float* p) { v.store(p); });
  if (c < channels) {
    const int64_t rest = channels - c;
    body(
        c, [rest](const float* p) { return load_partial(p, rest); },
        [rest](Vec v, float* p) { store_partial(v, p, rest); });
  }
}

// dy * d silu(z) / dz = dy s (1 + z (1 - s)) with s = sigmoid(z).
inline Vec through_silu(Vec dy, Vec z) {
  const Vec one = Vec::set1(1), s = sigmoid(z);
  return dy * s * fma(z, one - s, one);
}

// load_x(r, c, load): row r's channels from c on, whole or partial as load is.
template <class LoadX>
inline void add_sums(const LoadX& load_x, const float* center, int64_t rows, int64_t channels,
                     float* sum, float* square) {
  for (int64_t r = 0; r < rows; r += kRows) {
    const int64_t end = r + kRows < rows ? r + kRows : rows;
    for_channels(channels, [&](int64_t c, const auto& load, const auto& store) {
      const Vec middle = load(center + c);
      Vec s = load(sum + c), q = load(square + c);
      for (int64_t i = r; i < end; ++i) {
        const Vec d = load_x(i, c, load) - middle;
        s = s + d;
        q = fma(d, d, q);
      }
      store(s, sum + c);
      store(q, square + c);
    });
  }
}

void sums(const float* x, const float* center, int64_t rows, int64_t channels, float* sum,
          float* square) {
  add_sums([=](int64_t r, int64_t c, const auto& load) { return load(x + r * channels + c); }, center, rows,
           channels, sum, square);
}

void sums_of_bf16(const uint16_t* x, const float* center, int64_t rows, int64_t channels, float* sum,
                  float* square) {
  add_sums(
      [=](int64_t r, int64_t c, const auto& load) {
        const uint16_t* from = x + r * channels + c;
        if (c + kWidth <= channels) return load_bf16(from);
        float wide[kWidth] = {};
        for (int64_t i = 0; i < channels - c; ++i) wide[i] = base::bf16_to_float(from[i]);
        return load(wide);
      },
      center, rows, channels, sum, square);
}

void apply(const float* x, ChannelAffine affine, int64_t rows, int64_t channels, float* y) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = x + r * channels;
    float* to = y + r * channels;
    if (affine.silu)
      for_channels(channels, [&](int64_t c, const auto& load, const auto& store) {
        const Vec z = fma(load(from + c), load(affine.scale + c), load(affine.shift + c));
        store(z * sigmoid(z), to + c);
      });
    else
      for_channels(channels, [&](int64_t c, const auto& load, const auto& store) {
        store(fma(load(from + c), load(affine.scale + c), load(affine.shift + c)), to + c);
      });
  }
}

void backward_sums(const float* x, const float* dy, ChannelAffine affine, int64_t rows,
                   int64_t channels, float* sum, float* product) {
  for (int64_t r = 0; r < rows; r += kRows) {
    const int64_t end = r + kRows < rows ? r + kRows : rows;
    for_channels(channels, [&](int64_t c, const auto& load, const auto& store) {
      const Vec scale = load(affine.scale + c), shift = load(affine.shift + c);
      Vec s = load(sum + c), p = load(product + c);
      for (int64_t i = r; i < end; ++i) {
        const Vec value = load(x + i * channels + c);
        Vec dz = load(dy + i * channels + c);
        if (affine.silu) dz = through_silu(dz, fma(value, scale, shift));
        s = s + dz;
        p = fma(dz, value, p);
      }
      store(s, sum + c);
      store(p, product + c);
    });
  }
}

void backward_apply(const float* x, const float* dy, ChannelAffine affine, const float* slope,
                    const float* offset, int64_t rows, int64_t channels, float* dx) {
  for (int64_t r = 0; r < rows; ++r)
    for_channels(channels, [&](int64_t c, const auto& load, const auto& store) {
      const int64_t i = r * channels + c;
      const Vec value = load(x + i), scale = load(affine.scale + c);
      Vec dz = load(dy + i);
      if (affine.silu) dz = through_silu(dz, fma(value, scale, load(affine.shift + c)));
      store(fma(dz, scale, fma(value, load(slope + c), load(offset + c))), dx + i);
    });
}

}  // namespace

const GroupNormKernels kGroupNorm = {sums, sums_of_bf16, apply, backward_sums, backward_apply};

}  // namespace sumi::kernels::SUMI_ISA
