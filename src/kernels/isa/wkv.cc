// The copies of kernels/wkv.h, one per instruction set: a register of channels goes through all
// steps before the next one starts, its state in registers.
#include "kernels/wkv.h"

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {
namespace {

constexpr int64_t kWidth = Vec::kWidth;
static_assert(kWidth <= 16, "wkv_scratch() is made for 16 channels at a time");

// Channels beyond the last are zeros, which stay finite in all formulas.
struct Columns {
  int64_t count;
  Vec load(const float* p) const {
    return count == kWidth ? Vec::load(p) : load_partial(p, count);
  }
  void store(Vec a, float* p) const {
    if (count == kWidth)
      a.store(p);
    else
      store_partial(a, p, count);
  }
};

inline Vec negated(Vec a) { return Vec::zero() - a; }

// numerator e^maximum, denominator e^maximum.
struct State {
  Vec numerator, denominator, maximum;
};

// e^(a - max(a, b)) and e^(b - max(a, b)): one of them is 1, so one exponential is enough.
struct Weights {
  Vec maximum, of_a, of_b;
};
inline Weights weigh(Vec a, Vec b) {
  const Vec one = Vec::set1(1), difference = a - b;
  const Vec small = exp(min(difference, negated(difference)));
  return {max(a, b), select_positive(difference, one, small),
          select_positive(difference, small, one)};
}

inline State plus(const State& s, const Weights& w, Vec value) {
  return {fma(w.of_a, s.numerator, w.of_b * value), fma(w.of_a, s.denominator, w.of_b), w.maximum};
}

inline State next(const State& s, Vec w, Vec key, Vec value) {
  return plus(s, weigh(s.maximum + w, key), value);
}

void forward(const WkvArgs& a) {
  for (int64_t c = 0; c < a.channels; c += kWidth) {
    const Columns at{a.channels - c < kWidth ? a.channels - c : kWidth};
    const Vec w = negated(exp(at.load(a.decay + c))), first = at.load(a.first + c);
    State s{at.load(a.numerator + c), at.load(a.denominator + c), at.load(a.maximum + c)};
    for (int64_t t = 0; t < a.steps; ++t) {
      const int64_t i = t * a.stride + c;
      const Vec key = at.load(a.key + i), value = at.load(a.value + i);
      const State seen = plus(s, weigh(s.maximum, first + key), value);
      at.store(seen.numerator / seen.denominator, a.out + i);
      s = next(s, w, key, value);
    }
    at.store(s.numerator, a.numerator + c);
    at.store(s.denominator, a.denominator + c);
    at.store(s.maximum, a.maximum + c);
  }
}

// With N, D the numerator and denominator of out[t]: dN = dout / D and dD = -dout out / D. Their
// sums over later steps, faded, are the gradients of a[t] and b[t]: da = ga e^power, db = gb
// e^power, where power is the largest exponent so far. It never exceeds -key[t] or -(w + maximum of
// a[t-1]), because D holds those terms: so every exponential below is at most 1.
void backward(const WkvBackwardArgs& a) {
  for (int64_t c = 0; c < a.channels; c += kWidth) {
    const Columns at{a.channels - c < kWidth ? a.channels - c : kWidth};
    const Vec w = negated(exp(at.load(a.decay + c))), first = at.load(a.first + c);
    State s{Vec::zero(), Vec::zero(), Vec::set1(kWkvStart)};
    for (int64_t t = 0; t < a.steps; ++t) {  // the state before each step
      float* before = a.scratch + 3 * kWidth * t;
      s.numerator.store(before);
      s.denominator.store(before + kWidth);
      s.maximum.store(before + 2 * kWidth);
      const int64_t i = t * a.stride + c;
      s = next(s, w, at.load(a.key + i), at.load(a.value + i));
    }
    Vec ga = Vec::zero(), gb = ga, power = Vec::set1(kWkvStart);
    Vec dw = Vec::zero(), dfirst = dw;
    for (int64_t t = a.steps - 1; t >= 0; --t) {
      const float* before = a.scratch + 3 * kWidth * t;
      s = {Vec::load(before), Vec::load(before + kWidth), Vec::load(before + 2 * kWidth)};
      const int64_t i = t * a.stride + c;
      const Vec key = at.load(a.key + i), value = at.load(a.value + i), dout = at.load(a.dout + i);
      const Weights here = weigh(s.maximum, first + key);
      const State seen = plus(s, here, value);
      const Vec dn = dout / seen.denominator;                              // e^-here.maximum
      const Vec dd = negated(dn * (seen.numerator / seen.denominator));    // e^-here.maximum
      // Through out[t]: its own term has the weight here.of_b.
      const Vec dterm = here.of_b * fma(value, dn, dd);
      dfirst = dfirst + dterm;
      // Through a[t] and b[t], which later steps read.
      const Vec grow = exp(key + power), fade = exp(w + s.maximum + power);
      at.store(fma(grow, ga, here.of_b * dn), a.dvalue + i);
      at.store(fma(grow, fma(value, ga, gb), dterm), a.dkey + i);
      dw = fma(fade, fma(s.numerator, ga, s.denominator * gb), dw);
      // Now of a[t-1] and b[t-1].
      const Weights sum = weigh(w + power, negated(here.maximum));
      ga = fma(sum.of_a, ga, sum.of_b * dn);
      gb = fma(sum.of_a, gb, sum.of_b * dd);
      power = sum.maximum;
    }
    at.store(fma(dw, w, at.load(a.ddecay + c)), a.ddecay + c);  // d w / d decay = w
    at.store(dfirst + at.load(a.dfirst + c), a.dfirst + c);
  }
}

}  // namespace

extern const WkvKernels kWkvKernels;
const WkvKernels kWkvKernels = {forward, backward};

}  // namespace sumi::kernels::SUMI_ISA
