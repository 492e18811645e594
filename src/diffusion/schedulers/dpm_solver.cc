// DPM-Solver and DPM-Solver++ (arXiv 2206.00927 and 2211.01095), multistep of order 1 to 3, and
// their stochastic forms.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "diffusion/schedulers/schedulers.h"
#include "diffusion/schedulers/solver_scheduler.h"

namespace sumi::diffusion {

namespace {

class DpmSolver : public SolverScheduler {
 public:
  explicit DpmSolver(SchedulerConfig& config)
      : SolverScheduler(config),
        order_(config.integer("solver_order", 2)),
        lower_order_final_(config.flag("lower_order_final", true)),
        euler_at_final_(config.flag("euler_at_final", false)),
        lambda_min_(config.number("lambda_min_clipped", -std::numeric_limits<double>::infinity())),
        cosine_(config.word("beta_schedule", "linear",
                            {"linear", "scaled_linear", "squaredcos_cap_v2"}) ==
                "squaredcos_cap_v2") {
    const std::string algorithm =
        config.word("algorithm_type", "dpmsolver++",
                    {"dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"});
    plus_ = algorithm.ends_with("++") || algorithm == "deis";  // as diffusers reads deis here
    stochastic_ = algorithm.starts_with("sde");
    heun_ = config.word("solver_type", "midpoint", {"midpoint", "heun", "logrho", "bh1", "bh2"}) ==
            "heun";
    config.refuse("use_lu_lambdas");
    if (order_ < 1 || order_ > 3)
      fail("{}: solver_order: expected 1 to 3, found {}", config.file(), order_);
    if (order_ == 3 && stochastic_ && !plus_)
      fail("{}: solver_order: sde-dpmsolver has orders 1 and 2, found 3", config.file());
    if (!plus_ && ends_at_zero_)
      fail("{}: final_sigmas_type: {} needs sigma_min, found zero", config.file(), algorithm);
    if (!plus_ && clipping_.threshold)
      fail("{}: thresholding: not supported with algorithm_type {}", config.file(), algorithm);
    // A model that learns variances predicts the noise in the first three channels.
    learned_variance_ = config.has("variance_type") &&
                        config
                            .word("variance_type", "",
                                  {"learned", "learned_range", "fixed_small", "fixed_small_log",
                                   "fixed_large", "fixed_large_log"})
                            .starts_with("learned");
  }

  void set_timesteps(int64_t steps) override {
    // Levels whose lambda is below the limit (those of cosine schedules' end) are left out.
    int64_t limit = train_steps();
    while (limit > 1 && training_lambda(limit - 1) < lambda_min_) --limit;
    plan(steps, limit, false, !cosine_);
    outputs_.clear();
    lower_order_steps_ = 0;
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator& generator) override {
    const Tensor output = learned_variance_ ? first_channels(model_output, sample) : model_output;
    outputs_.push_back(plus_ ? as_original(output, i, sample) : as_epsilon(output, i, sample));
    if (outputs_.size() > static_cast<size_t>(order_)) outputs_.erase(outputs_.begin());
    const size_t count = timesteps_.size();
    const bool few = lower_order_final_ && count < 15;
    const bool last = i + 1 == count && (euler_at_final_ || few || ends_at_zero_);
    const bool second_last = i + 2 == count && few;
    int64_t order = std::min(order_, lower_order_steps_ + 1);
    if (last) order = 1;
    if (second_last) order = std::min<int64_t>(order, 2);
    lower_order_steps_ = std::min(lower_order_steps_ + 1, order_);
    const Tensor next = update(i, sample, order);
    if (!stochastic_) return next;
    const Level to = level(i + 1), from = level(i);
    const float h = to.lambda - from.lambda;
    const float deviation =
        to.sigma * std::sqrt(plus_ ? 1 - std::exp(-2 * h) : std::exp(2 * h) - 1);
    return weighted_sum({{1, next}, {deviation, noise_like(sample, generator)}});
  }

 private:
  double training_lambda(int64_t t) const {
    const float a = alphas_cumprod_[static_cast<size_t>(t)];
    return std::log(std::sqrt(a)) - std::log(std::sqrt(1 - a));
  }

  static Tensor first_channels(const Tensor& both, const Tensor& sample) {
    Shape expected = sample.shape();
    if (sample.dim() >= 2) expected[1] *= 2;
    if (both.shape() != expected)
      fail("dpm-solver: a model that learns variances gives {}, found {}",
           tensor::shape_string(expected), tensor::shape_string(both.shape()));
    Tensor result = Tensor::empty(sample.shape());
    const int64_t count = sample.numel() / sample.size(0);
    for (int64_t b = 0; b < sample.size(0); ++b)
      std::copy_n(both.f32() + 2 * b * count, count, result.f32() + b * count);
    return result;
  }

  // Without noise: carry * sample, and the weights of the last output D0 and of its differences D1
  // and D2, which estimate the derivatives by lambda.
  Tensor update(size_t i, const Tensor& sample, int64_t order) const {
    const Level to = level(i + 1), from = level(i);
    const float h = to.lambda - from.lambda;
    // E is the integral of the exponential that weighs D0: of exp(-h), or exp(-2h) for stochastic
    // steps, and so on.
    float carry, scale, exponential, w1_midpoint, w1_heun, w2 = 0;
    if (plus_) {
      const float x = stochastic_ ? 2 * h : h;
      exponential = std::exp(-x) - 1;
      scale = -to.alpha;
      carry = to.sigma / from.sigma * (stochastic_ ? std::exp(-h) : 1);
      w1_heun = to.alpha * (exponential / x + 1);
      w2 = stochastic_ ? to.alpha * ((-exponential - x) / (x * x) - 0.5f)
                       : -to.alpha * ((exponential + x) / (x * x) - 0.5f);
      w1_midpoint = 0.5f * scale * exponential;
    } else {
      exponential = std::exp(h) - 1;
      scale = stochastic_ ? -2 * to.sigma : -to.sigma;
      carry = to.alpha / from.alpha;
      w1_heun = scale * (exponential / h - 1);
      w2 = -to.sigma * ((exponential - h) / (h * h) - 0.5f);
      w1_midpoint = 0.5f * scale * exponential;
    }
    const float w0 = scale * exponential;
    const Tensor& d0 = outputs_.back();
    if (order == 1) return weighted_sum({{carry, sample}, {w0, d0}});
    const Tensor& m1 = outputs_[outputs_.size() - 2];
    const float h0 = from.lambda - level(i - 1).lambda, r0 = h0 / h;
    const Tensor first = weighted_sum({{1 / r0, d0}, {-1 / r0, m1}});
    if (order == 2)
      return weighted_sum({{carry, sample}, {w0, d0}, {heun_ ? w1_heun : w1_midpoint, first}});
    const Tensor& m2 = outputs_[outputs_.size() - 3];
    const float r1 = (level(i - 1).lambda - level(i - 2).lambda) / h;
    const Tensor second = weighted_sum({{1 / r1, m1}, {-1 / r1, m2}});
    const float share = r0 / (r0 + r1);
    const Tensor d1 = weighted_sum({{1 + share, first}, {-share, second}});
    const Tensor d2 = weighted_sum({{1 / (r0 + r1), first}, {-1 / (r0 + r1), second}});
    return weighted_sum({{carry, sample}, {w0, d0}, {w1_heun, d1}, {w2, d2}});
  }

  int64_t order_, lower_order_steps_ = 0;
  bool lower_order_final_, euler_at_final_, plus_, stochastic_, heun_, learned_variance_;
  double lambda_min_;
  bool cosine_;
  std::vector<Tensor> outputs_;
};

}  // namespace

std::unique_ptr<Scheduler> make_dpm_solver(SchedulerConfig& config) {
  return std::make_unique<DpmSolver>(config);
}

}  // namespace sumi::diffusion
