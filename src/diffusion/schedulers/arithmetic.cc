#include "diffusion/schedulers/arithmetic.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/threads.h"

namespace sumi::diffusion {

Tensor weighted_sum(std::initializer_list<Term> terms) {
  const Tensor& first = terms.begin()->tensor;
  for (const Term& term : terms)
    if (term.tensor.shape() != first.shape())
      fail("scheduler: shapes {} and {} differ", tensor::shape_string(first.shape()),
           tensor::shape_string(term.tensor.shape()));
  Tensor result = Tensor::empty(first.shape());
  float* out = result.f32();
  base::parallel_for(result.numel(), 4096, [&](int64_t begin, int64_t end) {
    bool fresh = true;
    for (const Term& term : terms) {
      const float* in = term.tensor.f32();
      for (int64_t i = begin; i < end; ++i) out[i] = (fresh ? 0 : out[i]) + term.factor * in[i];
      fresh = false;
    }
  });
  return result;
}

std::string read_prediction_type(SchedulerConfig& config, bool sample_allowed) {
  const std::string type =
      config.word("prediction_type", "epsilon", {"epsilon", "v_prediction", "sample"});
  if (type == "sample" && !sample_allowed)
    fail("{}: prediction_type: this scheduler takes epsilon or v_prediction, found sample",
         config.file());
  return type;
}

Tensor predicted_original(const std::string& prediction_type, float signal, float noise,
                          const Tensor& output, const Tensor& sample) {
  if (prediction_type == "epsilon")
    return weighted_sum({{1 / signal, sample}, {-noise / signal, output}});
  if (prediction_type == "v_prediction") return weighted_sum({{signal, sample}, {-noise, output}});
  return output;
}

Clipping read_clipping(SchedulerConfig& config, bool clip_key, bool clip_missing,
                       bool threshold_key) {
  Clipping clipping;
  if (clip_key) {
    clipping.clip = config.flag("clip_sample", clip_missing);
    clipping.range = static_cast<float>(config.number("clip_sample_range", 1));
  }
  if (threshold_key) {
    clipping.threshold = config.flag("thresholding", false);
    clipping.ratio = static_cast<float>(config.number("dynamic_thresholding_ratio", 0.995));
    clipping.max = static_cast<float>(config.number("sample_max_value", 1));
    if (!(clipping.ratio >= 0 && clipping.ratio <= 1))
      fail("{}: dynamic_thresholding_ratio: expected 0 to 1, found {}", config.file(),
           clipping.ratio);
  }
  return clipping;
}

namespace {

// torch.quantile, linear between the two nearest values; reorders `values`.
float quantile(std::vector<float>& values, float ratio) {
  const float rank = ratio * static_cast<float>(values.size() - 1);
  const auto below = static_cast<std::ptrdiff_t>(rank);
  const float share = rank - static_cast<float>(below);
  std::nth_element(values.begin(), values.begin() + below, values.end());
  const float low = values[static_cast<size_t>(below)];
  if (share == 0) return low;
  const float high = *std::min_element(values.begin() + below + 1, values.end());
  return share < 0.5f ? low + share * (high - low) : high - (high - low) * (1 - share);
}

}  // namespace

Tensor clipped(const Tensor& sample, const Clipping& clipping) {
  if (!clipping.threshold && !clipping.clip) return sample;
  Tensor result = sample.clone();
  const int64_t batch = clipping.threshold ? sample.size(0) : 1, count = sample.numel() / batch;
  for (int64_t b = 0; b < batch; ++b) {
    float* values = result.f32() + b * count;
    float limit = clipping.range, divisor = 1;
    if (clipping.threshold) {
      std::vector<float> sizes(static_cast<size_t>(count));
      std::transform(values, values + count, sizes.begin(), [](float v) { return std::abs(v); });
      limit = divisor = std::min(std::max(quantile(sizes, clipping.ratio), 1.0f), clipping.max);
    }
    for (int64_t i = 0; i < count; ++i) values[i] = std::clamp(values[i], -limit, limit) / divisor;
  }
  return result;
}

Tensor noise_like(const Tensor& sample, base::Generator& generator) {
  Tensor noise = Tensor::empty(sample.shape());
  generator.randn({noise.f32(), static_cast<size_t>(noise.numel())});
  return noise;
}

}  // namespace sumi::diffusion
