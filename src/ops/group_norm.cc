#include "ops/group_norm.h"

#include <cmath>
#include <memory>
#include <vector>

#include "base/half.h"
#include "kernels/group_norm.h"
#include "ops/bf16.h"
#include "ops/common.h"
#include "ops/picture.h"

namespace sumi::ops {
namespace {

using kernels::ChannelAffine;
using kernels::group_norm_kernels;

// Rows summed into one pair of float sums before they are joined in double; fixed, so that the
// sums do not depend on threads.
constexpr int64_t kChunk = 128;

struct Problem {
  int64_t batch, rows, channels, groups;  // rows: pixels of a picture
  bool silu;

  int64_t chunks() const { return (rows + kChunk - 1) / kChunk; }
  int64_t group_size() const { return channels / groups; }
};

struct Statistics {
  std::vector<double> mean, inverse;  // [B, G]; inverse of the standard deviation
  std::vector<float> scale, shift;    // [B, C]: z = x * scale + shift
};

// Per picture and channel, two sums over the rows in double: body(first row, rows, picture, sum,
// second) adds one chunk's to zeroed float sums.
template <class Body>
void channel_sums(const Problem& p, std::vector<double>& sum, std::vector<double>& second,
                  const Body& body) {
  const int64_t chunks = p.chunks(), c = p.channels;
  std::vector<float> parts(static_cast<size_t>(p.batch * chunks * 2 * c), 0.0f);
  for_rows(p.batch * chunks, kChunk * c, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / chunks, first = item % chunks * kChunk;
      float* part = parts.data() + item * 2 * c;
      body(b * p.rows + first, std::min(kChunk, p.rows - first), b, part, part + c);
    }
  });
  sum.assign(static_cast<size_t>(p.batch * c), 0.0);
  second.assign(static_cast<size_t>(p.batch * c), 0.0);
  for (int64_t item = 0; item < p.batch * chunks; ++item) {
    const float* part = parts.data() + item * 2 * c;
    double *s = sum.data() + item / chunks * c, *q = second.data() + item / chunks * c;
    for (int64_t i = 0; i < c; ++i) s[i] += part[i], q[i] += part[c + i];
  }
}

// body(first row, rows, picture) over pieces of all pictures.
template <class Body>
void for_chunks(const Problem& p, const Body& body) {
  const int64_t chunks = p.chunks();
  for_rows(p.batch * chunks, kChunk * p.channels, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % chunks * kChunk;
      body(item / chunks * p.rows + first, std::min(kChunk, p.rows - first), item / chunks);
    }
  });
}

// Of x + offset (f32 or bf16), with offset [B, C] or null; scale and shift are for x itself.
Statistics statistics_of(const Problem& p, const Tensor& x, const float* offset, const float* weight,
                         const float* bias, double eps) {
  const int64_t c = p.channels, size = p.group_size();
  std::vector<double> sum, square;
  std::vector<float> centers(static_cast<size_t>(p.batch * c));  // each picture's first pixel
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t i = 0; i < c; ++i) {
      const int64_t at = b * p.rows * c + i;
      centers[static_cast<size_t>(b * c + i)] =
          is_bf16(x) ? base::bf16_to_float(x.data<uint16_t>()[at]) : x.f32()[at];
    }
  // Sums are of differences from the picture's first pixel.
  channel_sums(p, sum, square,
               [&](int64_t row, int64_t rows, int64_t b, float* part, float* part_square) {
                 const float* center = centers.data() + b * c;
                 if (is_bf16(x))
                   group_norm_kernels().sums_of_bf16(x.data<uint16_t>() + row * c, center, rows, c, part,
                                                     part_square);
                 else
                   group_norm_kernels().sums(x.f32() + row * c, center, rows, c, part, part_square);
               });
  Statistics s;
  s.mean.resize(static_cast<size_t>(p.batch * p.groups));
  s.inverse.resize(s.mean.size());
  s.scale.resize(static_cast<size_t>(p.batch * c));
  s.shift.resize(s.scale.size());
  const auto n = static_cast<double>(p.rows);
  for (int64_t b = 0; b < p.batch; ++b) {
    const auto added = [&](int64_t i) { return offset ? double{offset[b * c + i]} : 0.0; };
    const auto first = [&](int64_t i) { return centers[static_cast<size_t>(b * c + i)] + added(i); };
    for (int64_t g = 0; g < p.groups; ++g) {
      double mean = 0, squares = 0;
      for (int64_t i = g * size; i < (g + 1) * size; ++i)
        mean += first(i) + sum[static_cast<size_t>(b * c + i)] / n;
      mean /= static_cast<double>(size);
      for (int64_t i = g * size; i < (g + 1) * size; ++i) {
        const auto at = static_cast<size_t>(b * c + i);
        const double away = first(i) + sum[at] / n - mean;
        squares += square[at] - sum[at] * sum[at] / n + n * away * away;
      }
      const double variance = std::max(0.0, squares / (n * static_cast<double>(size)));
      const double inverse = 1 / std::sqrt(variance + eps);
      s.mean[static_cast<size_t>(b * p.groups + g)] = mean;
      s.inverse[static_cast<size_t>(b * p.groups + g)] = inverse;
      for (int64_t i = g * size; i < (g + 1) * size; ++i) {
        const auto at = static_cast<size_t>(b * c + i);
        s.scale[at] = static_cast<float>(inverse * weight[i]);
        s.shift[at] = static_cast<float>(
            bias[i] + (added(i) - mean) * inverse * weight[i]);
      }
    }
  }
  return s;
}

ChannelAffine affine_of(const Problem& p, const Statistics& s, int64_t b) {
  return {s.scale.data() + b * p.channels, s.shift.data() + b * p.channels, p.silu};
}

// With N elements in a group, xhat = (x - mean) inverse, m1 = sum(dz weight) / N, m2 = sum(dz weight
// xhat) / N: dx = inverse (dz weight - m1 - xhat m2); dweight = sum(dz xhat), dbias = sum(dz).
std::vector<Tensor> backward(const Problem& p, const Statistics& s, const Tensor& x,
                             const Tensor& weight, const Tensor& g) {
  const int64_t c = p.channels, size = p.group_size();
  const float *in = x.f32(), *dy = g.f32(), *w = weight.f32();
  std::vector<double> sum, product;
  channel_sums(p, sum, product,
               [&](int64_t row, int64_t rows, int64_t b, float* part, float* part_product) {
                 group_norm_kernels().backward_sums(in + row * c, dy + row * c, affine_of(p, s, b),
                                                    rows, c, part, part_product);
               });
  Tensor dw = Tensor::zeros({c}), db = Tensor::zeros({c});
  std::vector<float> slope(static_cast<size_t>(p.batch * c)), offset(slope.size());
  std::vector<double> weight_sum(static_cast<size_t>(c)), bias_sum(static_cast<size_t>(c));
  const double count = static_cast<double>(p.rows) * static_cast<double>(size);
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t group = 0; group < p.groups; ++group) {
      const double mean = s.mean[static_cast<size_t>(b * p.groups + group)];
      const double inverse = s.inverse[static_cast<size_t>(b * p.groups + group)];
      double m1 = 0, m2 = 0;
      for (int64_t i = group * size; i < (group + 1) * size; ++i) {
        const auto at = static_cast<size_t>(b * c + i);
        const double dz_xhat = inverse * (product[at] - mean * sum[at]);
        m1 += w[i] * sum[at];
        m2 += w[i] * dz_xhat;
        weight_sum[static_cast<size_t>(i)] += dz_xhat;
        bias_sum[static_cast<size_t>(i)] += sum[at];
      }
      m1 /= count;
      m2 /= count;
      for (int64_t i = group * size; i < (group + 1) * size; ++i) {
        slope[static_cast<size_t>(b * c + i)] = static_cast<float>(-inverse * inverse * m2);
        offset[static_cast<size_t>(b * c + i)] =
            static_cast<float>(inverse * (mean * inverse * m2 - m1));
      }
    }
  for (int64_t i = 0; i < c; ++i) {
    dw.f32()[i] = static_cast<float>(weight_sum[static_cast<size_t>(i)]);
    db.f32()[i] = static_cast<float>(bias_sum[static_cast<size_t>(i)]);
  }
  Tensor dx;
  if (x.requires_grad()) {
    dx = Tensor::empty(x.shape());
    float* to = dx.f32();
    for_chunks(p, [&](int64_t row, int64_t rows, int64_t b) {
      group_norm_kernels().backward_apply(in + row * c, dy + row * c, affine_of(p, s, b),
                                          slope.data() + b * c, offset.data() + b * c, rows, c,
                                          to + row * c);
    });
  }
  return {dx, dw, db};
}

}  // namespace

namespace {

Problem check(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups, bool silu) {
  if (!is_bf16(x)) check_rows("group_norm", "x", x);
  const int64_t c = x.dim() > 0 ? x.shape().back() : 0;
  if (x.dim() < 2) fail("group_norm: x {}, expected [B, ..., C]", shape_string(x.shape()));
  check_shape("group_norm", "weight", weight, {c});
  check_shape("group_norm", "bias", bias, {c});
  if (groups < 1 || c % groups != 0)
    fail("group_norm: {} channels do not split into {} groups", c, groups);
  const int64_t batch = x.size(0);
  return {batch, batch > 0 && c > 0 ? x.numel() / batch / c : 0, c, groups, silu};
}

// to may be from.
void apply(const Problem& p, const Statistics& statistics, const float* from, float* to) {
  for_chunks(p, [&](int64_t row, int64_t rows, int64_t b) {
    group_norm_kernels().apply(from + row * p.channels, affine_of(p, statistics, b), rows, p.channels,
                               to + row * p.channels);
  });
}

}  // namespace

Tensor group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, int64_t groups,
                  float eps, bool silu) {
  if (is_bf16(x)) return narrow(group_norm(widen(x), weight, bias, groups, eps, silu));
  const Problem p = check(x, weight, bias, groups, silu);
  Tensor out = Tensor::empty(x.shape());
  if (out.numel() == 0) return out;
  const bool recording = needs_record({&x, &weight, &bias});
  auto statistics = std::make_shared<Statistics>(
      statistics_of(p, x, nullptr, weight.f32(), bias.f32(), double{eps}));
  apply(p, *statistics, x.f32(), out.f32());
  if (recording)
    record(out, "group_norm", {x, weight, bias},
           [p, x, weight, statistics](const Tensor& g) {
             return backward(p, *statistics, x, weight, g);
           });
  return out;
}

Tensor group_norm_of_sum(Tensor x, const Tensor& offset, const Tensor& weight, const Tensor& bias,
                         int64_t groups, float eps, bool silu) {
  if (needs_record({&x, &offset, &weight, &bias}))
    return group_norm(offset.defined() ? add_per_picture(x, offset) : x, weight, bias, groups, eps,
                      silu);
  if (is_bf16(x))
    return narrow(group_norm_of_sum(widen(x), offset, weight, bias, groups, eps, silu));
  const Problem p = check(x, weight, bias, groups, silu);
  if (offset.defined()) check_shape("group_norm", "offset", offset, {p.batch, p.channels});
  if (x.numel() == 0) return x;
  const Statistics statistics =
      statistics_of(p, x, offset.defined() ? offset.f32() : nullptr, weight.f32(), bias.f32(),
                    double{eps});
  Tensor out = x.sole_owner() ? x : Tensor::empty(x.shape());
  apply(p, statistics, x.f32(), out.f32());
  return out;
}

GroupAffine group_affine(const Tensor& x, const Tensor& offset, const Tensor& weight, const Tensor& bias,
                         int64_t groups, float eps, bool silu) {
  if (needs_record({&x, &offset, &weight, &bias})) fail("group_affine: it has no gradient");
  const Problem p = check(x, weight, bias, groups, silu);
  if (offset.defined()) check_shape("group_norm", "offset", offset, {p.batch, p.channels});
  if (x.numel() == 0) fail("group_affine: x {} is empty", shape_string(x.shape()));
  const Statistics s = statistics_of(p, x, offset.defined() ? offset.f32() : nullptr, weight.f32(),
                                     bias.f32(), double{eps});
  return {Tensor::from(s.scale, {p.batch, p.channels}), Tensor::from(s.shift, {p.batch, p.channels}), silu};
}

}  // namespace sumi::ops
