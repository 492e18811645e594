// AdamW whose two moments are kept in 8 bits (kernels/eight_bit.h): 2 bytes a parameter, not 8.
// Parameters of fewer than kSmallest elements keep float32 states, as in arXiv:2110.02861.
#include <cmath>
#include <cstring>

#include "base/threads.h"
#include "kernels/eight_bit.h"
#include "kernels/optimizer.h"
#include "train/optimizer.h"

namespace sumi::train {
namespace {

using kernels::kEightBitBlock;

constexpr int64_t kSmallest = 4096;

class AdamW8Bit : public UpdateRule {
 public:
  explicit AdamW8Bit(const OptimizerOptions& options)
      : options_(options), float_rule_(make_adamw(options)) {}

  ParameterState initial_state(const Tensor& parameter) const override {
    const int64_t n = parameter.numel(), blocks = (n + kEightBitBlock - 1) / kEightBitBlock;
    if (n < kSmallest) return float_rule_->initial_state(parameter);
    Tensor mean = Tensor::empty({n}, DType::u8), square = Tensor::empty({n}, DType::u8);
    std::memset(mean.bytes(), kernels::nearest_eight_bit(0, true), static_cast<size_t>(n));
    std::memset(square.bytes(), kernels::nearest_eight_bit(0, false), static_cast<size_t>(n));
    return {{"exp_avg", mean},
            {"exp_avg_scale", Tensor::zeros({blocks})},
            {"exp_avg_sq", square},
            {"exp_avg_sq_scale", Tensor::zeros({blocks})}};
  }

  void update(Tensor& parameter, const Gradient& gradient, ParameterState& state,
              double learning_rate, double weight_decay, int64_t step) const override {
    if (parameter.numel() < kSmallest)
      return float_rule_->update(parameter, gradient, state, learning_rate, weight_decay, step);
    const double t = static_cast<double>(step);
    const kernels::AdamWStep adamw = {
        .keep = static_cast<float>(1 - learning_rate * weight_decay),
        .beta1 = static_cast<float>(options_.beta1),
        .beta2 = static_cast<float>(options_.beta2),
        .step_size = static_cast<float>(learning_rate / (1 - std::pow(options_.beta1, t))),
        .inverse_root = static_cast<float>(1 / std::sqrt(1 - std::pow(options_.beta2, t))),
        .eps = static_cast<float>(options_.eps)};
    const int64_t n = parameter.numel(), blocks = (n + kEightBitBlock - 1) / kEightBitBlock;
    const kernels::EightBitKernels& eight_bit = kernels::eight_bit_kernels();
    float* p = parameter.f32();
    uint8_t *mean = state[0].second.data<uint8_t>(), *square = state[2].second.data<uint8_t>();
    float *mean_scale = state[1].second.f32(), *square_scale = state[3].second.f32();
    base::parallel_for(blocks, 128, [&](int64_t begin, int64_t end) {
      float g[kEightBitBlock], m[kEightBitBlock], v[kEightBitBlock];
      for (int64_t b = begin; b < end; ++b) {
        const int64_t at = b * kEightBitBlock, count = std::min(kEightBitBlock, n - at);
        eight_bit.read(mean + at, mean_scale[b], true, count, m);
        eight_bit.read(square + at, square_scale[b], false, count, v);
        kernels::adamw_kernel()(adamw, gradient.read(at, count, g), p + at, m, v, count);
        mean_scale[b] = eight_bit.write(m, true, count, mean + at);
        square_scale[b] = eight_bit.write(v, false, count, square + at);
      }
    });
  }

 private:
  OptimizerOptions options_;
  std::unique_ptr<UpdateRule> float_rule_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_adamw_8bit(const OptimizerOptions& options) {
  return std::make_unique<AdamW8Bit>(options);
}

}  // namespace sumi::train
