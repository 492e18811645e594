#include "ops/elementwise.h"

#include <algorithm>

#include "ops/bf16.h"
#include "ops/common.h"

namespace sumi::ops {
namespace {

// b must have a's shape or the shape of a's last axes; then a is `repeat` blocks of b's size.
int64_t check_broadcast(const char* op, const Tensor& a, const Tensor& b) {
  check_f32(op, "a", a);
  check_f32(op, "b", b);
  const Shape &x = a.shape(), &y = b.shape();
  if (y.size() > x.size() || !std::equal(y.rbegin(), y.rend(), x.rbegin()))
    fail("{}: b of shape {} is not the last axes of a's {}", op, shape_string(y), shape_string(x));
  return b.numel() > 0 ? a.numel() / b.numel() : 0;
}

using Binary = void (*)(const float*, const float*, float*, int64_t);

Tensor broadcast(Binary kernel, const Tensor& a, const Tensor& b, int64_t repeat) {
  Tensor out = Tensor::empty(a.shape());
  const float *x = a.f32(), *y = b.f32();
  float* z = out.f32();
  if (repeat == 1) {
    for_elements(a.numel(), [&](int64_t begin, int64_t end) {
      kernel(x + begin, y + begin, z + begin, end - begin);
    });
  } else {
    const int64_t n = b.numel();
    for_rows(repeat, n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) kernel(x + r * n, y, z + r * n, n);
    });
  }
  return out;
}

// The gradient of a broadcast b: sum over the repeats of g, or of g * a if a is given.
Tensor sum_repeats(const Tensor& g, const Tensor& a, const Shape& shape, int64_t repeat) {
  Tensor sum = Tensor::zeros(shape);
  const int64_t n = sum.numel();
  const float *gradient = g.f32(), *factor = a.defined() ? a.f32() : nullptr;
  float* out = sum.f32();
  for_columns(n, repeat, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < repeat; ++r) {
      const int64_t i = r * n + begin;
      if (factor)
        elementwise().accumulate_product(gradient + i, factor + i, out + begin, end - begin);
      else
        elementwise().accumulate(gradient + i, out + begin, end - begin);
    }
  });
  return sum;
}

template <class Kernel>
Tensor unary(const Tensor& x, const Kernel& kernel) {
  Tensor out = Tensor::empty(x.shape());
  const float* from = x.f32();
  float* to = out.f32();
  for_elements(x.numel(), [&](int64_t begin, int64_t end) {
    kernel(from + begin, to + begin, begin, end - begin);
  });
  return out;
}

}  // namespace

Tensor add(const Tensor& a, const Tensor& b) {
  if (is_bf16(a)) return narrow(add(widen(a), widen(b)));
  const int64_t repeat = check_broadcast("add", a, b);
  Tensor out = broadcast(elementwise().add, a, b, repeat);
  if (needs_record({&a, &b}))
    record(out, "add", {a, b},
           [shape = b.shape(), needs_b = b.requires_grad(),
            repeat](const Tensor& g) -> std::vector<Tensor> {
             Tensor gb;
             if (needs_b) gb = repeat == 1 ? g.view(shape) : sum_repeats(g, {}, shape, repeat);
             return {g, gb};
           });
  return out;
}

Tensor mul(const Tensor& a, const Tensor& b) {
  const int64_t repeat = check_broadcast("mul", a, b);
  Tensor out = broadcast(elementwise().mul, a, b, repeat);
  if (needs_record({&a, &b}))
    record(out, "mul", {a, b}, [a, b, repeat](const Tensor& g) -> std::vector<Tensor> {
      Tensor ga, gb;
      if (a.requires_grad()) ga = broadcast(elementwise().mul, g, b, repeat);
      if (b.requires_grad())
        gb = repeat == 1 ? broadcast(elementwise().mul, g, a, 1).view(b.shape())
                         : sum_repeats(g, a, b.shape(), repeat);
      return {ga, gb};
    });
  return out;
}

Tensor scale(const Tensor& x, float factor) {
  if (is_bf16(x)) return narrow(scale(widen(x), factor));
  check_f32("scale", "x", x);
  const auto run = [factor](const Tensor& from) {
    return unary(from, [factor](const float* in, float* out, int64_t, int64_t n) {
      elementwise().scale(in, factor, out, n);
    });
  };
  Tensor out = run(x);
  if (needs_record({&x}))
    record(out, "scale", {x}, [run](const Tensor& g) -> std::vector<Tensor> { return {run(g)}; });
  return out;
}

Tensor softcap(const Tensor& x, float cap) {
  check_f32("softcap", "x", x);
  if (!(cap > 0)) fail("softcap: cap is {}, expected a positive number", cap);
  Tensor out = unary(x, [cap](const float* in, float* to, int64_t, int64_t n) {
    elementwise().softcap(in, cap, to, n);
  });
  if (needs_record({&x})) {
    const Tensor y =
        out.view(out.shape());  // without history: a record must not hold its own output
    record(out, "softcap", {x}, [y, cap](const Tensor& g) -> std::vector<Tensor> {
      return {unary(g, [&](const float* in, float* to, int64_t begin, int64_t n) {
        elementwise().softcap_backward(y.f32() + begin, cap, in, to, n);
      })};
    });
  }
  return out;
}

Tensor clamp(const Tensor& x, float limit) {
  check_f32("clamp", "x", x);
  if (!(limit >= 0)) fail("clamp: limit is {}, expected 0 or more", limit);
  Tensor out = unary(x, [limit](const float* in, float* to, int64_t, int64_t n) {
    elementwise().clamp(in, limit, to, n);
  });
  if (needs_record({&x}))
    record(out, "clamp", {x}, [x, limit](const Tensor& g) -> std::vector<Tensor> {
      return {unary(g, [&](const float* in, float* to, int64_t begin, int64_t n) {
        elementwise().clamp_backward(x.f32() + begin, limit, in, to, n);
      })};
    });
  return out;
}

}  // namespace sumi::ops
