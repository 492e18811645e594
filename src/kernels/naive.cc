#include "kernels/naive.h"

#include <cmath>
#include <limits>
#include <vector>

namespace sumi::kernels::naive {
namespace {

constexpr double kPi = 3.14159265358979323846;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double& at(std::vector<double>& values, int64_t i) { return values[static_cast<size_t>(i)]; }

struct Moments {
  double mean, inverse;
};
Moments moments(const float* x, float eps, int64_t n, bool centered) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const double mean = centered ? sum / static_cast<double>(n) : 0;
  for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
  return {mean, 1 / std::sqrt(squares / static_cast<double>(n) + double{eps})};
}

}  // namespace

double activation(Activation kind, double x) {
  switch (kind) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::gelu:
      return x * 0.5 * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / kPi) * (x + 0.044715 * x * x * x)));
    case Activation::gelu_quick:
      return x * sigmoid(1.702 * x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::sigmoid:
      return sigmoid(x);
    case Activation::relu_squared:
      return x > 0 ? x * x : 0;
  }
  return 0;
}

double activation_slope(Activation kind, double x) {
  const double s = sigmoid(kind == Activation::gelu_quick ? 1.702 * x : x);
  switch (kind) {
    case Activation::identity:
      return 1;
    case Activation::relu:
      return x > 0 ? 1 : 0;
    case Activation::gelu:
      return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * kPi);
    case Activation::gelu_tanh: {
      const double c = std::sqrt(2 / kPi), t = std::tanh(c * (x + 0.044715 * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * x * x);
    }
    case Activation::gelu_quick:
      return s + 1.702 * x * s * (1 - s);
    case Activation::silu:
      return s + x * s * (1 - s);
    case Activation::sigmoid:
      return s * (1 - s);
    case Activation::relu_squared:
      return x > 0 ? 2 * x : 0;
  }
  return 0;
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* out,
                int64_t n) {
  const Moments m = moments(x, eps, n, true);
  for (int64_t i = 0; i < n; ++i)
    out[i] =
        static_cast<float>((x[i] - m.mean) * m.inverse * weight[i] + (bias ? double{bias[i]} : 0));
}

void layer_norm_backward(const float* x, const float* weight, float eps, const float* dy, float* dx,
                         float* dweight, float* dbias, int64_t n) {
  const Moments m = moments(x, eps, n, true);
  double g = 0, gh = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double h = (x[i] - m.mean) * m.inverse;
    g += double{dy[i]} * weight[i];
    gh += double{dy[i]} * weight[i] * h;
    dweight[i] += static_cast<float>(dy[i] * h);
    dbias[i] += dy[i];
  }
  const double count = static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) {
    const double h = (x[i] - m.mean) * m.inverse;
    dx[i] =
        static_cast<float>(m.inverse * (double{dy[i]} * weight[i] - g / count - h * gh / count));
  }
}

void rms_norm(const float* x, const float* weight, float offset, float eps, float* out, int64_t n) {
  const Moments m = moments(x, eps, n, false);
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(x[i] * m.inverse * (double{weight[i]} + offset));
}

void rms_norm_backward(const float* x, const float* weight, float offset, float eps,
                       const float* dy, float* dx, float* dweight, int64_t n) {
  const Moments m = moments(x, eps, n, false);
  double gh = 0;
  for (int64_t i = 0; i < n; ++i) {
    gh += dy[i] * (double{weight[i]} + offset) * x[i] * m.inverse;
    dweight[i] += static_cast<float>(dy[i] * x[i] * m.inverse);
  }
  for (int64_t i = 0; i < n; ++i)
    dx[i] = static_cast<float>(m.inverse * (dy[i] * (double{weight[i]} + offset) -
                                            x[i] * m.inverse * gh / static_cast<double>(n)));
}

double log_sum_exp(const float* x, int64_t n) {
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t i = 0; i < n; ++i) top = std::max(top, double{x[i]});
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - top);
  return top + std::log(sum);
}

void softmax(const float* x, float* out, int64_t n) {
  const double sum = log_sum_exp(x, n);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<float>(std::exp(x[i] - sum));
}

void softmax_backward(const float* y, const float* dy, float* dx, int64_t n) {
  double inner = 0;
  for (int64_t i = 0; i < n; ++i) inner += double{y[i]} * dy[i];
  for (int64_t i = 0; i < n; ++i) dx[i] = static_cast<float>(y[i] * (dy[i] - inner));
}

void matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
            const float* a, const float* b, float beta, float* c) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += double{transpose_a ? a[p * m + i] : a[i * k + p]} *
               double{transpose_b ? b[j * k + p] : b[p * n + j]};
      const double before = beta == 0 ? 0 : double{beta} * c[i * n + j];
      c[i * n + j] = static_cast<float>(alpha * sum + before);
    }
}

namespace {

// Probabilities of query t over the keys (all zero if it sees none), and the capped scores.
void probabilities(const Attention& a, const float* q, const float* k, int64_t t,
                   std::vector<double>& p, std::vector<double>& capped) {
  double top = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t s = 0; s < a.keys; ++s) {
    double score = 0;
    for (int64_t d = 0; d < a.size; ++d) score += double{q[t * a.size + d]} * k[s * a.size + d];
    score *= a.scale;
    if (a.softcap > 0) score = a.softcap * std::tanh(score / a.softcap);
    at(capped, s) = score;
    at(p, s) = score + a.bias[t * a.keys + s];
    top = std::max(top, at(p, s));
  }
  for (double& value : p) {
    value = std::isinf(top) ? 0 : std::exp(value - top);
    sum += value;
  }
  for (double& value : p) value = sum > 0 ? value / sum : 0;
}

}  // namespace

void attention(const Attention& a, const float* q, const float* k, const float* v, float* out) {
  std::vector<double> p(static_cast<size_t>(a.keys)), capped = p;
  for (int64_t t = 0; t < a.queries; ++t) {
    probabilities(a, q, k, t, p, capped);
    for (int64_t d = 0; d < a.size; ++d) {
      double sum = 0;
      for (int64_t s = 0; s < a.keys; ++s) sum += at(p, s) * v[s * a.size + d];
      out[t * a.size + d] = static_cast<float>(sum);
    }
  }
}

void attention_backward(const Attention& a, const float* q, const float* k, const float* v,
                        const float* dy, float* dq, float* dk, float* dv) {
  std::vector<double> p(static_cast<size_t>(a.keys)), capped = p, dp = p;
  for (int64_t t = 0; t < a.queries; ++t) {
    probabilities(a, q, k, t, p, capped);
    double inner = 0;
    for (int64_t s = 0; s < a.keys; ++s) {
      at(dp, s) = 0;
      for (int64_t d = 0; d < a.size; ++d) {
        at(dp, s) += double{dy[t * a.size + d]} * v[s * a.size + d];
        dv[s * a.size + d] += static_cast<float>(at(p, s) * dy[t * a.size + d]);
      }
      inner += at(p, s) * at(dp, s);
    }
    for (int64_t s = 0; s < a.keys; ++s) {
      double ds = at(p, s) * (at(dp, s) - inner) * a.scale;
      if (a.softcap > 0) ds *= 1 - std::pow(at(capped, s) / a.softcap, 2);
      for (int64_t d = 0; d < a.size; ++d) {
        dq[t * a.size + d] += static_cast<float>(ds * k[s * a.size + d]);
        dk[s * a.size + d] += static_cast<float>(ds * q[t * a.size + d]);
      }
    }
  }
}

void wkv(const WkvArgs& args) {
  for (int64_t c = 0; c < args.channels; ++c) {
    const double w = -std::exp(double{args.decay[c]});
    double a = args.numerator[c], b = args.denominator[c], top = args.maximum[c];
    for (int64_t t = 0; t < args.steps; ++t) {
      const int64_t i = t * args.stride + c;
      const double key = args.key[i], value = args.value[i], own = args.first[c] + key;
      const double out_top = std::max(top, own), next_top = std::max(top + w, key);
      const double before = std::exp(top - out_top), now = std::exp(own - out_top);
      args.out[i] = static_cast<float>((before * a + now * value) / (before * b + now));
      a = std::exp(top + w - next_top) * a + std::exp(key - next_top) * value;
      b = std::exp(top + w - next_top) * b + std::exp(key - next_top);
      top = next_top;
    }
    args.numerator[c] = static_cast<float>(a);
    args.denominator[c] = static_cast<float>(b);
    args.maximum[c] = static_cast<float>(top);
  }
}

// From the sums as they are written, each step's over all steps before it: for keys whose powers a
// double holds.
void wkv_backward(const WkvBackwardArgs& args) {
  const int64_t steps = args.steps, stride = args.stride;
  for (int64_t c = 0; c < args.channels; ++c) {
    const double w = -std::exp(double{args.decay[c]});
    std::vector<double> dkey(static_cast<size_t>(steps)), dvalue = dkey;
    double dw = 0, dfirst = 0;
    for (int64_t t = 0; t < steps; ++t) {
      const auto exponent = [&](int64_t s) {
        return args.key[s * stride + c] +
               (s == t ? double{args.first[c]} : w * static_cast<double>(t - s - 1));
      };
      double numerator = 0, denominator = 0;
      for (int64_t s = 0; s <= t; ++s) {
        numerator += std::exp(exponent(s)) * args.value[s * stride + c];
        denominator += std::exp(exponent(s));
      }
      for (int64_t s = 0; s <= t; ++s) {
        const double p = std::exp(exponent(s)) / denominator, dy = args.dout[t * stride + c];
        const double dexponent = dy * p * (args.value[s * stride + c] - numerator / denominator);
        at(dvalue, s) += dy * p;
        at(dkey, s) += dexponent;
        if (s == t)
          dfirst += dexponent;
        else
          dw += dexponent * static_cast<double>(t - s - 1);
      }
    }
    for (int64_t t = 0; t < steps; ++t) {
      args.dkey[t * stride + c] = static_cast<float>(at(dkey, t));
      args.dvalue[t * stride + c] = static_cast<float>(at(dvalue, t));
    }
    args.ddecay[c] += static_cast<float>(dw * w);
    args.dfirst[c] += static_cast<float>(dfirst);
  }
}

}  // namespace sumi::kernels::naive
