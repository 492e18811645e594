#include "ops/activation.h"

#include <array>

#include "ops/bf16.h"
#include "ops/common.h"

namespace sumi::ops {

Activation activation_from_name(const std::string& name, const std::string& where) {
  struct Entry {
    const char* name;
    Activation kind;
  };
  // transformers.activations.ACT2FN; those that differ from a listed one only in rounding share its
  // kind.
  static constexpr std::array<Entry, 15> kNames = {{
      {"linear", Activation::identity},
      {"identity", Activation::identity},
      {"relu", Activation::relu},
      {"gelu", Activation::gelu},
      {"gelu_python", Activation::gelu},
      {"gelu_new", Activation::gelu_tanh},
      {"gelu_fast", Activation::gelu_tanh},
      {"gelu_accurate", Activation::gelu_tanh},
      {"gelu_pytorch_tanh", Activation::gelu_tanh},
      {"gelu_python_tanh", Activation::gelu_tanh},
      {"quick_gelu", Activation::gelu_quick},
      {"silu", Activation::silu},
      {"swish", Activation::silu},
      {"sigmoid", Activation::sigmoid},
      {"relu2", Activation::relu_squared},
  }};
  for (const Entry& entry : kNames)
    if (name == entry.name) return entry.kind;
  std::string known;
  for (const Entry& entry : kNames) known += (known.empty() ? "" : ", ") + std::string(entry.name);
  fail("{}: unknown name \"{}\"; known: {}", where, name, known);
}

Tensor activation(const Tensor& x, Activation kind) {
  if (is_bf16(x)) return narrow(activation(widen(x), kind));
  check_f32("activation", "x", x);
  Tensor out = Tensor::empty(x.shape());
  const float* from = x.f32();
  float* to = out.f32();
  for_elements(x.numel(), [&](int64_t begin, int64_t end) {
    elementwise().activation(kind, from + begin, to + begin, end - begin);
  });
  if (needs_record({&x}))
    record(out, "activation", {x}, [x, kind](const Tensor& g) -> std::vector<Tensor> {
      Tensor dx = Tensor::empty(x.shape());
      const float *in = x.f32(), *dy = g.f32();
      float* result = dx.f32();
      for_elements(x.numel(), [&](int64_t begin, int64_t end) {
        elementwise().activation_backward(kind, in + begin, dy + begin, result + begin,
                                          end - begin);
      });
      return {dx};
    });
  return out;
}

Tensor gated(const Tensor& gate, const Tensor& up, Activation kind) {
  check_f32("gated", "gate", gate);
  check_shape("gated", "up", up, gate.shape());
  Tensor out = Tensor::empty(gate.shape());
  const float *a = gate.f32(), *b = up.f32();
  float* to = out.f32();
  for_elements(gate.numel(), [&](int64_t begin, int64_t end) {
    elementwise().gated(kind, a + begin, b + begin, to + begin, end - begin);
  });
  if (needs_record({&gate, &up}))
    record(out, "gated", {gate, up}, [gate, up, kind](const Tensor& g) -> std::vector<Tensor> {
      Tensor dgate = Tensor::empty(gate.shape()), dup = Tensor::empty(gate.shape());
      const float *x = gate.f32(), *u = up.f32(), *dy = g.f32();
      float *dx = dgate.f32(), *du = dup.f32();
      for_elements(gate.numel(), [&](int64_t begin, int64_t end) {
        elementwise().gated_backward(kind, x + begin, u + begin, dy + begin, dx + begin, du + begin,
                                     end - begin);
      });
      return {dgate, dup};
    });
  return out;
}

Tensor gated(const Tensor& gate_up, Activation kind, GateHalf gate) {
  if (is_bf16(gate_up)) return narrow(gated(widen(gate_up), kind, gate));
  const int64_t width = check_rows("gated", "gate_up", gate_up), n = width / 2;
  if (width % 2 != 0)
    fail("gated: gate_up of shape {} has an odd last size", shape_string(gate_up.shape()));
  const int64_t at = gate == GateHalf::first ? 0 : n, other = n - at;
  Shape shape = gate_up.shape();
  shape.back() = n;
  Tensor out = Tensor::empty(std::move(shape));
  const float* from = gate_up.f32();
  float* to = out.f32();
  for_rows(row_count(gate_up, width), width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      elementwise().gated(kind, from + r * width + at, from + r * width + other, to + r * n, n);
  });
  if (needs_record({&gate_up}))
    record(out, "gated", {gate_up},
           [gate_up, kind, width, n, at, other](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx = Tensor::empty(gate_up.shape());
             const float *x = gate_up.f32(), *dy = g.f32();
             float* result = dx.f32();
             for_rows(row_count(gate_up, width), width, [&](int64_t begin, int64_t end) {
               for (int64_t r = begin; r < end; ++r)
                 elementwise().gated_backward(kind, x + r * width + at, x + r * width + other,
                                              dy + r * n, result + r * width + at,
                                              result + r * width + other, n);
             });
             return {dx};
           });
  return out;
}

}  // namespace sumi::ops
