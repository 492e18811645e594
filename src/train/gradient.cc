#include "train/gradient.h"

#include "base/threads.h"
#include "kernels/elementwise.h"

namespace sumi::train {

const float* Gradient::read(int64_t begin, int64_t count, float* buffer) const {
  const kernels::ElementwiseKernels& elementwise = kernels::elementwise_kernels();
  const bool narrow = stored_.dtype() == DType::bf16;
  if (narrow) elementwise.widen(stored_.data<uint16_t>() + begin, buffer, count);
  const float* values = narrow ? buffer : stored_.f32() + begin;
  if (factor_ == 1) return values;
  elementwise.scale(values, factor_, buffer, count);
  return buffer;
}

Tensor Gradient::whole() const {
  if (stored_.dtype() == DType::f32 && factor_ == 1) return stored_;
  Tensor all = Tensor::empty(stored_.shape());
  float* to = all.f32();
  base::parallel_for(all.numel(), 32768,
                     [&](int64_t begin, int64_t end) { read(begin, end - begin, to + begin); });
  return all;
}

}  // namespace sumi::train
