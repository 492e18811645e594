#include "nn/lora.h"

#include "ops/elementwise.h"
#include "ops/low_rank.h"

namespace sumi::nn {

Lora::Lora(Tensor a, Tensor b, float scale, float dropout,
           std::shared_ptr<const DropoutClock> clock, uint64_t index)
    : a_(std::move(a)),
      b_(std::move(b)),
      scale_(scale),
      dropout_(dropout),
      clock_(std::move(clock)),
      index_(index) {}

Lora::Lora(const Tensor& a, const Tensor& b, float scale) {
  const auto pack = [](const Tensor& weight) {
    return std::make_shared<const ops::PackedWeight>(std::vector<Tensor>{weight},
                                                     ops::PackedWeight::Compute::f32);
  };
  packed_a_ = pack(a);
  packed_b_ = pack(ops::scale(b, scale));
}

Tensor Lora::add_to(const Tensor& y, int64_t begin, const Tensor& x) const {
  if (packed_a_) return ops::add_low_rank(y, begin, x, *packed_a_, *packed_b_);
  if (dropout_ == 0 || !clock_->on) return ops::add_low_rank(y, begin, x, a_, b_, scale_);
  const uint64_t key = (clock_->seed * 0x100000001b3u + clock_->step) * 0x100000001b3u + index_;
  return ops::add_low_rank(y, begin, ops::dropout(x, dropout_, key), a_, b_, scale_);
}

}  // namespace sumi::nn
