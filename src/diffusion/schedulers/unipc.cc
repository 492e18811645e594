// UniPC (arXiv 2302.04867): a multistep predictor, and a corrector that looks back with the next
// output at no further cost.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "diffusion/schedulers/schedulers.h"
#include "diffusion/schedulers/solver_scheduler.h"

namespace sumi::diffusion {

namespace {

constexpr int64_t kMaxOrder = 5;

// Solves the n equations matrix * x = right by elimination with pivots.
std::vector<double> solved(std::vector<std::vector<double>> matrix, std::vector<double> right) {
  const size_t n = right.size();
  for (size_t column = 0; column < n; ++column) {
    size_t pivot = column;
    for (size_t row = column + 1; row < n; ++row)
      if (std::abs(matrix[row][column]) > std::abs(matrix[pivot][column])) pivot = row;
    std::swap(matrix[pivot], matrix[column]);
    std::swap(right[pivot], right[column]);
    for (size_t row = column + 1; row < n; ++row) {
      const double factor = matrix[row][column] / matrix[column][column];
      for (size_t k = column; k < n; ++k) matrix[row][k] -= factor * matrix[column][k];
      right[row] -= factor * right[column];
    }
  }
  for (size_t row = n; row-- > 0;) {
    for (size_t k = row + 1; k < n; ++k) right[row] -= matrix[row][k] * right[k];
    right[row] /= matrix[row][row];
  }
  return right;
}

class UniPc : public SolverScheduler {
 public:
  explicit UniPc(SchedulerConfig& config)
      : SolverScheduler(config),
        order_(config.integer("solver_order", 2)),
        predict_original_(config.flag("predict_x0", true)),
        first_kind_(config.word("solver_type", "bh2",
                                {"bh1", "bh2", "midpoint", "heun", "logrho"}) == "bh1"),
        lower_order_final_(config.flag("lower_order_final", true)) {
    for (const double step : config.numbers("disable_corrector"))
      uncorrected_.push_back(static_cast<size_t>(std::max(step, 0.0)));
    sigma_max_ = config.number("sigma_max", 0);
    sigma_min_ = config.number("sigma_min", 0);
    if (order_ < 1 || order_ > kMaxOrder)
      fail("{}: solver_order: expected 1 to {}, found {}", config.file(), kMaxOrder, order_);
    for (const char* key : {"solver_p", "shift_terminal"})
      if (config.has(key)) fail("{}: {}: not supported", config.file(), key);
  }

  void set_timesteps(int64_t steps) override {
    plan(steps, train_steps(), true, true);
    outputs_.clear();
    last_sample_ = Tensor();
    lower_order_steps_ = 0;
  }

  Tensor step(const Tensor& model_output, size_t i, const Tensor& sample,
              base::Generator&) override {
    const Tensor output = predict_original_ ? as_original(model_output, i, sample)
                                            : as_epsilon(model_output, i, sample);
    const bool correct =
        i > 0 && last_sample_.defined() &&
        std::find(uncorrected_.begin(), uncorrected_.end(), i - 1) == uncorrected_.end();
    Tensor current = sample;
    if (correct) current = update(i - 1, last_sample_, last_order_, &output);
    outputs_.push_back(output);
    if (outputs_.size() > static_cast<size_t>(order_)) outputs_.erase(outputs_.begin());
    int64_t order = order_;
    if (lower_order_final_)
      order = std::min<int64_t>(order, static_cast<int64_t>(timesteps_.size() - i));
    last_order_ = std::min(order, lower_order_steps_ + 1);
    lower_order_steps_ = std::min(lower_order_steps_ + 1, order_);
    last_sample_ = current;
    return update(i, current, last_order_, nullptr);
  }

 private:
  // From level i to the next, by the outputs up to level i (the predictor), and with the output at
  // the next (the corrector). Formulas 3 to 9 and appendix A of the paper.
  Tensor update(size_t i, const Tensor& sample, int64_t order, const Tensor* next_output) const {
    const Level to = level(i + 1), from = level(i);
    const float h = to.lambda - from.lambda, hh = predict_original_ ? -h : h;
    const float phi_1 = std::expm1(hh), b_h = first_kind_ ? hh : phi_1;
    const Tensor& m0 = outputs_.back();
    std::vector<double> places;       // of the earlier outputs, in lambda, in units of h
    std::vector<Tensor> differences;  // (m_k - m_0) / place
    for (int64_t k = 1; k < order; ++k) {
      const auto back = static_cast<size_t>(k);
      const float place = (level(i - back).lambda - from.lambda) / h;
      places.push_back(place);
      differences.push_back(
          weighted_sum({{1 / place, outputs_[outputs_.size() - 1 - back]}, {-1 / place, m0}}));
    }
    places.push_back(1);
    const bool corrector = next_output != nullptr;
    const std::vector<double> weights = mixture(places, hh, b_h, corrector);
    const float carry = predict_original_ ? to.sigma / from.sigma : to.alpha / from.alpha;
    const float scale = predict_original_ ? to.alpha : to.sigma;
    Tensor next = weighted_sum({{carry, sample}, {-scale * phi_1, m0}});
    for (size_t k = 0; k < differences.size(); ++k)
      next = weighted_sum(
          {{1, next}, {-scale * b_h * static_cast<float>(weights[k]), differences[k]}});
    if (!corrector) return next;
    const float weight = scale * b_h * static_cast<float>(weights.back());
    return weighted_sum({{1, next}, {-weight, *next_output}, {weight, m0}});
  }

  // The weights of the differences: those that make the step exact for polynomials in lambda. The
  // last one is of the next output's difference, for the corrector.
  static std::vector<double> mixture(const std::vector<double>& places, double hh, double b_h,
                                     bool corrector) {
    const size_t order = places.size();
    if (corrector && order == 1) return {0.5};
    if (!corrector && order == 2) return {0.5};
    const size_t n = corrector ? order : order - 1;
    std::vector<std::vector<double>> powers;
    std::vector<double> integrals;
    double phi = std::expm1(hh) / hh - 1, factorial = 1;
    for (size_t row = 0; row < n; ++row) {
      powers.emplace_back();
      for (size_t k = 0; k < n; ++k) powers.back().push_back(std::pow(places[k], row));
      integrals.push_back(phi * factorial / b_h);
      factorial *= static_cast<double>(row + 2);
      phi = phi / hh - 1 / factorial;
    }
    return solved(std::move(powers), std::move(integrals));
  }

  int64_t order_, last_order_ = 1, lower_order_steps_ = 0;
  bool predict_original_, first_kind_, lower_order_final_;
  std::vector<size_t> uncorrected_;
  std::vector<Tensor> outputs_;
  Tensor last_sample_;
};

}  // namespace

std::unique_ptr<Scheduler> make_unipc(SchedulerConfig& config) {
  return std::make_unique<UniPc>(config);
}

}  // namespace sumi::diffusion
