#include "ops/bf16.h"

#include "ops/common.h"

namespace sumi::ops {

Tensor narrow(const Tensor& x) {
  if (x.dtype() == DType::bf16) return x;
  if (x.dtype() == DType::f16) return x.to(DType::bf16);
  check_f32("narrow", "x", x);
  Tensor out = Tensor::empty(x.shape(), DType::bf16);
  const float* from = x.f32();
  auto* to = out.data<uint16_t>();
  for_elements(x.numel(), [&](int64_t begin, int64_t end) {
    elementwise().narrow(from + begin, to + begin, end - begin);
  });
  return out;
}

Tensor widen(const Tensor& x) {
  if (x.dtype() == DType::f32) return x;
  if (x.dtype() != DType::bf16) return x.to(DType::f32);
  Tensor out = Tensor::empty(x.shape());
  const auto* from = x.data<uint16_t>();
  float* to = out.f32();
  for_elements(x.numel(), [&](int64_t begin, int64_t end) {
    elementwise().widen(from + begin, to + begin, end - begin);
  });
  return out;
}

}  // namespace sumi::ops
