// PNDM (arXiv 2202.09778): linear multistep over the last four outputs, after Runge-Kutta steps or,
// with skip_prk_steps, a first step taken twice (PLMS).
#include <cmath>

#include "diffusion/schedulers/alpha_scheduler.h"
#include "diffusion/schedulers/schedulers.h"

namespace sumi::diffusion {

namespace {

class Pndm : public AlphaScheduler {
 public:
  explicit Pndm(SchedulerConfig& config)
      : AlphaScheduler(config, false, {}, false),
        skip_runge_kutta_(config.flag("skip_prk_steps", false)) {
    if (!config.flag("set_alpha_to_one", false)) final_alpha_ = alphas_cumprod_[0];
  }

  void set_timesteps(int64_t steps) override {
    const std::vector<float> plain = spaced(steps);
    stride_ = train_steps() / steps;
    timesteps_.clear();
    runge_kutta_ = 0;
    if (skip_runge_kutta_) {
      timesteps_ = plain;  // the second one twice
      if (plain.size() > 1) timesteps_.insert(timesteps_.begin() + 1, plain[1]);
    } else {
      plan_runge_kutta(plain);
    }
    check_timesteps(timesteps_, train_steps());
    outputs_.clear();
    taken_ = 0;
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator&) override {
    const Tensor next = taken_ < runge_kutta_ ? runge_kutta_step(model_output, i, sample)
                                              : multistep(model_output, timestep(i), sample);
    ++taken_;
    return next;
  }

 private:
  // Four evaluations for each of the first steps: at t, twice half a stride further, and at the
  // next t.
  void plan_runge_kutta(const std::vector<float>& plain) {
    const size_t first = std::min<size_t>(plain.size(), 4);
    const float half = static_cast<float>(stride_ / 2);
    std::vector<float> halves;  // t + half, t for the first steps, then each inner one twice
    for (size_t k = 0; k < first; ++k) {
      halves.push_back(plain[k] + half);
      halves.push_back(plain[k]);
    }
    halves.erase(halves.begin());
    std::vector<float> doubled;
    for (const float t : halves) doubled.insert(doubled.end(), {t, t});
    timesteps_.assign(doubled.begin() + 1, doubled.end() - 1);
    runge_kutta_ = timesteps_.size();
    if (plain.size() > 3) timesteps_.insert(timesteps_.end(), plain.begin() + 3, plain.end());
  }

  Tensor runge_kutta_step(const Tensor& output, size_t i, const Tensor& sample) {
    const int64_t previous = timestep(i) - (taken_ % 2 != 0 ? 0 : stride_ / 2);
    const int64_t start = timestep(taken_ / 4 * 4);
    Tensor direction = output;
    switch (taken_ % 4) {
      case 0:
        sum_ = weighted_sum({{1.0f / 6, output}});
        outputs_.push_back(output);
        start_sample_ = sample;
        break;
      case 3:
        direction = weighted_sum({{1, sum_}, {1.0f / 6, output}});
        break;
      default:
        sum_ = weighted_sum({{1, sum_}, {1.0f / 3, output}});
    }
    return transferred(start_sample_, start, previous, direction);
  }

  Tensor multistep(const Tensor& output, int64_t t, const Tensor& sample) {
    int64_t previous = t - stride_;
    const bool second = taken_ == 1;
    if (second) {
      previous = t;
      t += stride_;
    } else {
      if (outputs_.size() > 3) outputs_.erase(outputs_.begin(), outputs_.end() - 3);
      outputs_.push_back(output);
    }
    const size_t n = outputs_.size();
    const auto last = [&](size_t k) -> const Tensor& { return outputs_[n - 1 - k]; };
    if (second) {
      const Tensor direction = weighted_sum({{0.5f, output}, {0.5f, last(0)}});
      return transferred(start_sample_, t, previous, direction);
    }
    if (n == 1) {
      start_sample_ = sample;
      return transferred(sample, t, previous, output);
    }
    const Tensor direction =
        n == 2 ? weighted_sum({{3.0f / 2, last(0)}, {-1.0f / 2, last(1)}})
        : n == 3
            ? weighted_sum({{23.0f / 12, last(0)}, {-16.0f / 12, last(1)}, {5.0f / 12, last(2)}})
            : weighted_sum({{55.0f / 24, last(0)},
                            {-59.0f / 24, last(1)},
                            {37.0f / 24, last(2)},
                            {-9.0f / 24, last(3)}});
    return transferred(sample, t, previous, direction);
  }

  // Formula 9: from timestep t to `previous` along a direction.
  Tensor transferred(const Tensor& sample, int64_t t, int64_t previous,
                     const Tensor& direction) const {
    const float a = alpha(t), b = alpha(previous);
    const Tensor epsilon =
        prediction_type_ == "epsilon"
            ? direction
            : weighted_sum({{std::sqrt(a), direction}, {std::sqrt(1 - a), sample}});
    const float denominator = a * std::sqrt(1 - b) + std::sqrt(a * (1 - a) * b);
    return weighted_sum({{std::sqrt(b / a), sample}, {-(b - a) / denominator, epsilon}});
  }

  bool skip_runge_kutta_;
  int64_t stride_ = 0;
  size_t runge_kutta_ = 0, taken_ = 0;  // evaluations of that kind; evaluations so far
  std::vector<Tensor> outputs_;
  Tensor sum_, start_sample_;
};

}  // namespace

std::unique_ptr<Scheduler> make_pndm(SchedulerConfig& config) {
  return std::make_unique<Pndm>(config);
}

}  // namespace sumi::diffusion
