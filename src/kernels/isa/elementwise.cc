// The copies of kernels/elementwise.h, one per instruction set.
#include "kernels/elementwise.h"

#include <cmath>

#include "kernels/isa/gelu.h"
#include "kernels/isa/simd_int.h"

namespace sumi::kernels::SUMI_ISA {
namespace {

constexpr int64_t kWidth = Vec::kWidth;

// out[i] = f(inputs[i]...) for i < n; the last, partial vector sees zeros beyond n.
template <class F>
inline void map(const float* x, float* out, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(Vec::load(x + i)).store(out + i);
  if (i < n) store_partial(f(load_partial(x + i, n - i)), out + i, n - i);
}

template <class F>
inline void map(const float* a, const float* b, float* out, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(Vec::load(a + i), Vec::load(b + i)).store(out + i);
  if (i < n)
    store_partial(f(load_partial(a + i, n - i), load_partial(b + i, n - i)), out + i, n - i);
}

template <class F>
inline void map(const float* a, const float* b, const float* c, float* out, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth)
    f(Vec::load(a + i), Vec::load(b + i), Vec::load(c + i)).store(out + i);
  if (i < n) {
    const int64_t rest = n - i;
    store_partial(
        f(load_partial(a + i, rest), load_partial(b + i, rest), load_partial(c + i, rest)), out + i,
        rest);
  }
}

// The sum of f(i) over the whole vectors that start at i < n, in four partial sums; the caller adds
// the elements from whole(n) on.
template <class F>
inline float reduce_sum(int64_t n, const F& f) {
  Vec s0 = Vec::zero(), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth) {
    s0 = s0 + f(i);
    s1 = s1 + f(i + kWidth);
    s2 = s2 + f(i + 2 * kWidth);
    s3 = s3 + f(i + 3 * kWidth);
  }
  for (; i + kWidth <= n; i += kWidth) s0 = s0 + f(i);
  return sum_lanes((s0 + s1) + (s2 + s3));
}
inline int64_t whole(int64_t n) { return n - n % kWidth; }

void add(const float* a, const float* b, float* out, int64_t n) {
  map(a, b, out, n, [](Vec x, Vec y) { return x + y; });
}
void mul(const float* a, const float* b, float* out, int64_t n) {
  map(a, b, out, n, [](Vec x, Vec y) { return x * y; });
}
void scale(const float* x, float factor, float* out, int64_t n) {
  const Vec f = Vec::set1(factor);
  map(x, out, n, [f](Vec v) { return v * f; });
}
void accumulate(const float* x, float* out, int64_t n) { add(out, x, out, n); }
void accumulate_product(const float* a, const float* b, float* out, int64_t n) {
  map(a, b, out, out, n, [](Vec x, Vec y, Vec sum) { return fma(x, y, sum); });
}
void accumulate_scaled(const float* x, float factor, float* out, int64_t n) {
  const Vec f = Vec::set1(factor);
  map(x, out, out, n, [f](Vec v, Vec sum) { return fma(v, f, sum); });
}

float dot(const float* a, const float* b, int64_t n) {
  float sum = reduce_sum(n, [=](int64_t i) { return Vec::load(a + i) * Vec::load(b + i); });
  for (int64_t i = whole(n); i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void clamp(const float* x, float limit, float* out, int64_t n) {
  const Vec high = Vec::set1(limit), low = Vec::set1(-limit);
  map(x, out, n, [=](Vec v) { return max(low, min(high, v)); });
}
void clamp_backward(const float* x, float limit, const float* dy, float* dx, int64_t n) {
  const Vec high = Vec::set1(limit);
  map(x, dy, dx, n, [=](Vec v, Vec g) {
    return select_positive(absolute(v) - high, Vec::zero(), g);
  });
}

// Below 0.6 an odd polynomial fitted to tanh (relative error 2.3e-8), so that small values keep
// their digits; above, 1 - 2 / (e^2|x| + 1).
inline Vec tanh(Vec x) {
  const Vec one = Vec::set1(1), a = absolute(x), square = x * x;
  Vec p = Vec::set1(-0.00621562f);
  p = fma(p, square, Vec::set1(0.02106591f));
  p = fma(p, square, Vec::set1(-0.05386118f));
  p = fma(p, square, Vec::set1(0.13332781f));
  p = fma(p, square, Vec::set1(-0.33333327f));
  const Vec small = fma(x * square, p, x);
  const Vec far = one - Vec::set1(2) / (exp(a + a) + one);
  return select_positive(a - Vec::set1(0.6f), select_positive(x, far, Vec::zero() - far), small);
}

void softcap(const float* x, float cap, float* out, int64_t n) {
  const Vec c = Vec::set1(cap), inverse = Vec::set1(1 / cap);
  map(x, out, n, [=](Vec v) { return c * tanh(v * inverse); });
}
void softcap_backward(const float* y, float cap, const float* dy, float* dx, int64_t n) {
  const Vec inverse = Vec::set1(1 / cap), one = Vec::set1(1);
  map(y, dy, dx, n, [=](Vec v, Vec g) {
    const Vec t = v * inverse;
    return g * (one - t * t);
  });
}

// Each activation: apply(x) and its derivative slope(x).
struct Identity {
  static Vec apply(Vec x) { return x; }
  static Vec slope(Vec) { return Vec::set1(1); }
};
struct Relu {
  static Vec apply(Vec x) { return max(Vec::zero(), x); }
  static Vec slope(Vec x) { return select_positive(x, Vec::set1(1), Vec::zero()); }
};
struct Gelu {
  static Vec apply(Vec x) { return gelu(x); }
  static Vec slope(Vec x) {  // Phi(x) + x phi(x)
    Vec gaussian;
    const Vec tail = normal_tail(x, gaussian);
    const Vec below = select_positive(x, Vec::set1(1) - tail, tail);
    return fma(x * Vec::set1(0.39894228f), gaussian, below);
  }
};
// x sigmoid(u(x)): 0.5 (1 + tanh(v)) is sigmoid(2 v).
struct GeluTanh {
  static constexpr float kA = 1.5957691216f, kB = kA * 0.044715f;  // 2 sqrt(2 / pi)
  static Vec inner(Vec x) { return x * fma(Vec::set1(kB), x * x, Vec::set1(kA)); }
  static Vec apply(Vec x) { return x * sigmoid(inner(x)); }
  static Vec slope(Vec x) {
    const Vec s = sigmoid(inner(x));
    const Vec du = fma(Vec::set1(3 * kB), x * x, Vec::set1(kA));
    return fma(x * s * (Vec::set1(1) - s), du, s);
  }
};
struct GeluQuick {
  static Vec apply(Vec x) { return x * sigmoid(Vec::set1(1.702f) * x); }
  static Vec slope(Vec x) {
    const Vec u = Vec::set1(1.702f) * x, s = sigmoid(u);
    return fma(u * s, Vec::set1(1) - s, s);
  }
};
struct Silu {
  static Vec apply(Vec x) { return x * sigmoid(x); }
  static Vec slope(Vec x) {
    const Vec s = sigmoid(x);
    return fma(x * s, Vec::set1(1) - s, s);
  }
};
struct Sigmoid {
  static Vec apply(Vec x) { return sigmoid(x); }
  static Vec slope(Vec x) {
    const Vec s = sigmoid(x);
    return s * (Vec::set1(1) - s);
  }
};
struct ReluSquared {
  static Vec apply(Vec x) {
    const Vec positive = max(Vec::zero(), x);
    return positive * positive;
  }
  static Vec slope(Vec x) { return Vec::set1(2) * max(Vec::zero(), x); }
};

template <class F>
inline void with(Activation kind, const F& f) {
  switch (kind) {
    case Activation::identity:
      return f(Identity());
    case Activation::relu:
      return f(Relu());
    case Activation::gelu:
      return f(Gelu());
    case Activation::gelu_tanh:
      return f(GeluTanh());
    case Activation::gelu_quick:
      return f(GeluQuick());
    case Activation::silu:
      return f(Silu());
    case Activation::sigmoid:
      return f(Sigmoid());
    case Activation::relu_squared:
      return f(ReluSquared());
  }
}

void activation(Activation kind, const float* x, float* out, int64_t n) {
  with(kind, [=](auto a) { map(x, out, n, [a](Vec v) { return a.apply(v); }); });
}
void activation_backward(Activation kind, const float* x, const float* dy, float* dx, int64_t n) {
  with(kind, [=](auto a) { map(x, dy, dx, n, [a](Vec v, Vec g) { return g * a.slope(v); }); });
}
void gated(Activation kind, const float* gate, const float* up, float* out, int64_t n) {
  with(kind, [=](auto a) { map(gate, up, out, n, [a](Vec g, Vec u) { return a.apply(g) * u; }); });
}
void gated_backward(Activation kind, const float* gate, const float* up, const float* dy,
                    float* dgate, float* dup, int64_t n) {
  with(kind, [=](auto a) {
    int64_t i = 0;
    for (; i + kWidth <= n; i += kWidth) {
      const Vec g = Vec::load(gate + i), u = Vec::load(up + i), d = Vec::load(dy + i);
      (d * u * a.slope(g)).store(dgate + i);
      (d * a.apply(g)).store(dup + i);
    }
    if (const int64_t rest = n - i; rest > 0) {
      const Vec g = load_partial(gate + i, rest), u = load_partial(up + i, rest), d = load_partial(dy + i, rest);
      store_partial(d * u * a.slope(g), dgate + i, rest);
      store_partial(d * a.apply(g), dup + i, rest);
    }
  });
}

NormStatistics layer_norm(const float* x, const float* weight, const float* bias, float eps,
                          float* out, int64_t n) {
  float sum = reduce_sum(n, [=](int64_t i) { return Vec::load(x + i); });
  for (int64_t i = whole(n); i < n; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(n);
  const Vec m = Vec::set1(mean);
  float squares = reduce_sum(n, [=](int64_t i) {
    const Vec d = Vec::load(x + i) - m;
    return d * d;
  });
  for (int64_t i = whole(n); i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float inverse = 1 / __builtin_sqrtf(squares / static_cast<float>(n) + eps);
  const Vec r = Vec::set1(inverse);
  if (bias)
    map(x, weight, bias, out, n, [=](Vec v, Vec w, Vec b) { return fma((v - m) * r, w, b); });
  else
    map(x, weight, out, n, [=](Vec v, Vec w) { return (v - m) * r * w; });
  return {mean, inverse};
}

// With h = (x - mean) inverse and g = dy weight: dx = inverse (g - mean(g) - h mean(g h)).
void layer_norm_backward(const float* x, const float* weight, const float* dy,
                         NormStatistics statistics, float* dx, int64_t n) {
  const Vec m = Vec::set1(statistics.mean), r = Vec::set1(statistics.inverse);
  float g_sum = dot(dy, weight, n);
  float gh_sum = reduce_sum(n, [=](int64_t i) {
    return Vec::load(dy + i) * Vec::load(weight + i) * ((Vec::load(x + i) - m) * r);
  });
  for (int64_t i = whole(n); i < n; ++i)
    gh_sum += dy[i] * weight[i] * ((x[i] - statistics.mean) * statistics.inverse);
  const Vec g_mean = Vec::set1(g_sum / static_cast<float>(n));
  const Vec gh_mean = Vec::set1(gh_sum / static_cast<float>(n));
  map(x, weight, dy, dx, n,
      [=](Vec v, Vec w, Vec d) { return r * (d * w - g_mean - (v - m) * r * gh_mean); });
}

NormStatistics rms_norm(const float* x, const float* weight, float offset, float eps, float* out,
                        int64_t n) {
  const float mean_square = dot(x, x, n) / static_cast<float>(n);
  const float inverse = 1 / __builtin_sqrtf(mean_square + eps);
  const Vec r = Vec::set1(inverse), o = Vec::set1(offset);
  map(x, weight, out, n, [=](Vec v, Vec w) { return v * r * (w + o); });
  return {0, inverse};
}

// With h = x inverse and g = dy (weight + offset): dx = inverse (g - h mean(g h)).
void rms_norm_backward(const float* x, const float* weight, float offset, const float* dy,
                       NormStatistics statistics, float* dx, int64_t n) {
  const Vec r = Vec::set1(statistics.inverse), o = Vec::set1(offset);
  float gh_sum = reduce_sum(n, [=](int64_t i) {
    return Vec::load(dy + i) * (Vec::load(weight + i) + o) * (Vec::load(x + i) * r);
  });
  for (int64_t i = whole(n); i < n; ++i)
    gh_sum += dy[i] * (weight[i] + offset) * (x[i] * statistics.inverse);
  const Vec gh_mean = Vec::set1(gh_sum / static_cast<float>(n));
  map(x, weight, dy, dx, n,
      [=](Vec v, Vec w, Vec d) { return r * (d * (w + o) - v * r * gh_mean); });
}

void norm_backward_weight(const float* x, const float* dy, NormStatistics statistics,
                          float* dweight, int64_t n) {
  const Vec m = Vec::set1(statistics.mean), r = Vec::set1(statistics.inverse);
  map(x, dy, dweight, dweight, n, [=](Vec v, Vec d, Vec sum) { return fma(d, (v - m) * r, sum); });
}

float maximum(const float* x, int64_t n) {
  const int64_t last = whole(n);
  float best = x[0];
  if (last > 0) {
    Vec m = Vec::load(x);
    for (int64_t i = kWidth; i < last; i += kWidth) m = max(m, Vec::load(x + i));
    best = max_lanes(m);
  }
  for (int64_t i = last; i < n; ++i) best = x[i] > best ? x[i] : best;
  return best;
}

// exp() clamps its argument, so what is more than 87 below the maximum is set to 0 here.
inline Vec exp_or_zero(Vec x) { return select_positive(Vec::set1(-87) - x, Vec::zero(), exp(x)); }

void exp_scaled(const float* x, float shift, float factor, float* out, int64_t n) {
  const Vec s = Vec::set1(shift), f = Vec::set1(factor);
  map(x, out, n, [=](Vec v) { return exp_or_zero(v - s) * f; });
}

float exp_sum(const float* x, float shift, float* out, int64_t n) {
  exp_scaled(x, shift, 1, out, n);
  float sum = reduce_sum(n, [=](int64_t i) { return Vec::load(out + i); });
  for (int64_t i = whole(n); i < n; ++i) sum += out[i];
  return sum;
}

void softmax(const float* x, float* out, int64_t n) {
  if (n == 0) return;
  scale(out, 1 / exp_sum(x, maximum(x, n), out, n), out, n);
}

void softmax_backward_part(const float* y, const float* dy, float sum, float factor, float* dx, int64_t n) {
  const Vec inner = Vec::set1(sum), f = Vec::set1(factor);
  map(y, dy, dx, n, [=](Vec v, Vec d) { return v * (d - inner) * f; });
}

// dx = y (dy - sum(y dy))
void softmax_backward(const float* y, const float* dy, float* dx, int64_t n) {
  softmax_backward_part(y, dy, dot(y, dy, n), 1, dx, n);
}

float log_sum_exp(const float* x, int64_t n) {
  const float top = maximum(x, n);
  const Vec t = Vec::set1(top);
  float sum = reduce_sum(n, [=](int64_t i) { return exp_or_zero(Vec::load(x + i) - t); });
  if (whole(n) < n) {
    float rest[kWidth];
    exp_or_zero(load_partial(x + whole(n), n - whole(n)) - t).store(rest);
    for (int64_t i = 0; i < n - whole(n); ++i) sum += rest[i];
  }
  return top + __builtin_logf(sum);
}

void rope_halves(const float* x, const float* cosine, const float* sine, float* out, int64_t half) {
  for (int64_t i = 0; i < half; i += kWidth) {
    const int64_t count = half - i < kWidth ? half - i : kWidth;
    const bool full = count == kWidth;
    const Vec c = full ? Vec::load(cosine + i) : load_partial(cosine + i, count);
    const Vec s = full ? Vec::load(sine + i) : load_partial(sine + i, count);
    const Vec a = full ? Vec::load(x + i) : load_partial(x + i, count);
    const Vec b = full ? Vec::load(x + half + i) : load_partial(x + half + i, count);
    const Vec first = a * c - b * s, second = b * c + a * s;
    if (full) {
      first.store(out + i);
      second.store(out + half + i);
    } else {
      store_partial(first, out + i, count);
      store_partial(second, out + half + i, count);
    }
  }
}

void rope_neighbours(const float* x, const float* cosine, const float* sine, float* out,
                     int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    out[2 * i] = a * cosine[i] - b * sine[i];
    out[2 * i + 1] = b * cosine[i] + a * sine[i];
  }
}

void narrow(const float* x, uint16_t* out, int64_t n) { bf16_from_floats(x, n, out); }

void widen(const uint16_t* x, float* out, int64_t n) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) load_bf16(x + i).store(out + i);
  for (; i < n; ++i) out[i] = base::bf16_to_float(x[i]);
}

}  // namespace

extern const ElementwiseKernels kElementwise;
const ElementwiseKernels kElementwise = {
    .add = add,
    .mul = mul,
    .scale = scale,
    .accumulate = accumulate,
    .accumulate_product = accumulate_product,
    .accumulate_scaled = accumulate_scaled,
    .dot = dot,
    .maximum = maximum,
    .clamp = clamp,
    .clamp_backward = clamp_backward,
    .softcap = softcap,
    .softcap_backward = softcap_backward,
    .activation = activation,
    .activation_backward = activation_backward,
    .gated = gated,
    .gated_backward = gated_backward,
    .layer_norm = layer_norm,
    .layer_norm_backward = layer_norm_backward,
    .rms_norm = rms_norm,
    .rms_norm_backward = rms_norm_backward,
    .norm_backward_weight = norm_backward_weight,
    .softmax = softmax,
    .softmax_backward = softmax_backward,
    .softmax_backward_part = softmax_backward_part,
    .log_sum_exp = log_sum_exp,
    .exp_sum = exp_sum,
    .exp_scaled = exp_scaled,
    .rope_halves = rope_halves,
    .rope_neighbours = rope_neighbours,
    .narrow = narrow,
    .widen = widen,
};

}  // namespace sumi::kernels::SUMI_ISA
