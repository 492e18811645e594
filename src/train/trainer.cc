#include "train/trainer.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "tensor/autograd.h"

namespace sumi::train {
namespace {

using Named = std::vector<std::pair<std::string, Tensor>>;

constexpr const char* kWeights = "/weights.safetensors";
constexpr const char* kOptimizer = "/optimizer.safetensors";
constexpr const char* kEma = "/ema.safetensors";
constexpr const char* kState = "/state.json";

size_t bytes_of(const Named& tensors) {
  size_t total = 0;
  for (const auto& [name, tensor] : tensors) total += static_cast<size_t>(tensor.nbytes());
  return total;
}

void read_into(const Named& tensors, const std::string& path) {
  const formats::SafetensorsFile file(path);
  for (const auto& [name, tensor] : tensors) {
    const Tensor stored = file.get(name);
    if (stored.shape() != tensor.shape() || stored.dtype() != tensor.dtype())
      fail("{}: tensor {}: expected {} {}, found {} {}", path, name, dtype_name(tensor.dtype()),
           tensor::shape_string(tensor.shape()), dtype_name(stored.dtype()),
           tensor::shape_string(stored.shape()));
    Tensor into = tensor;
    std::memcpy(into.bytes(), stored.bytes(), static_cast<size_t>(stored.nbytes()));
  }
}

void check_identity(const nlohmann::json& found, const nlohmann::json& wanted,
                    const std::string& path) {
  for (const auto& [key, value] : wanted.items()) {
    const nlohmann::json stored = found.contains(key) ? found.at(key) : nlohmann::json();
    if (stored != value)
      fail("{}: cannot go on from here: {} was {}, now it is {}", path, key, stored.dump(),
           value.dump());
  }
}

}  // namespace

void check_trainer_options(const TrainerOptions& o) {
  if (o.batch_size < 1) fail("batch size: expected 1 or more, found {}", o.batch_size);
  if (o.accumulation < 1) fail("accumulation: expected 1 or more, found {}", o.accumulation);
  if (!(o.max_grad_norm >= 0))
    fail("largest gradient norm: expected 0 or more, found {}", o.max_grad_norm);
  if (o.ema_decay != 0 && !(o.ema_decay > 0 && o.ema_decay < 1))
    fail("EMA decay: expected 0 (none) to less than 1, found {}", o.ema_decay);
  check_optimizer_options(o.optimizer);
  check_schedule_options(o.schedule);
}

nlohmann::json trainer_identity(const TrainerOptions& o) {
  return {{"steps", o.schedule.total_steps},
          {"batch_size", o.batch_size},
          {"accumulation", o.accumulation},
          {"max_grad_norm", o.max_grad_norm},
          {"ema_decay", o.ema_decay},
          {"seed", o.seed},
          {"optimizer", o.optimizer.name},
          {"weight_decay", o.optimizer.weight_decay},
          {"schedule", o.schedule.name},
          {"learning_rate", o.schedule.learning_rate},
          {"warmup_steps", o.schedule.warmup_steps}};
}

int64_t steps_for_epochs(double epochs, int64_t examples, const TrainerOptions& options) {
  const double per_step = static_cast<double>(options.batch_size * options.accumulation);
  const double per_epoch = std::ceil(static_cast<double>(examples) / per_step);
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(epochs * per_epoch)));
}

int64_t ExampleOrder::at(int64_t place) {
  const int64_t epoch = place / size_;
  if (epoch != epoch_) {
    epoch_ = epoch;
    order_.resize(static_cast<size_t>(size_));
    std::iota(order_.begin(), order_.end(), 0);
    std::mt19937_64 random(seed_ * 0x9e3779b97f4a7c15u + static_cast<uint64_t>(epoch));
    // Fisher and Yates; written out, because std::shuffle differs between libraries.
    for (size_t i = order_.size(); i > 1; --i) std::swap(order_[i - 1], order_[random() % i]);
  }
  return order_[static_cast<size_t>(place % size_)];
}

Trainer::Trainer(Task& task, std::vector<Parameter> parameters, const TrainerOptions& options)
    : task_(task),
      parameters_(std::move(parameters)),
      options_((check_trainer_options(options), options)),
      optimizer_(parameters_, options.optimizer),
      order_(task.size(), options.seed) {
  if (task.size() < 1) fail("there are no examples to train on");
  if (parameters_.empty()) fail("there are no weights to train");
  if (options.narrow_gradients && options.accumulation == 1)
    for (Parameter& parameter : parameters_) tensor::keep_gradient_as(parameter.value, DType::bf16);
  if (options.ema_decay > 0) ema_ = std::make_unique<Ema>(parameters_, options.ema_decay);
}

double Trainer::epoch() const {
  return static_cast<double>(step_ * options_.batch_size * options_.accumulation) /
         static_cast<double>(task_.size());
}

StepReport Trainer::run_step() {
  const int64_t batch = options_.batch_size, batches = options_.accumulation;
  std::vector<int64_t> examples(static_cast<size_t>(batch * batches));
  const int64_t place = step_ * batch * batches;
  for (size_t i = 0; i < examples.size(); ++i)
    examples[i] = order_.at(place + static_cast<int64_t>(i));
  const auto batch_at = [&](int64_t b) {
    return std::span(examples).subspan(static_cast<size_t>(b * batch), static_cast<size_t>(batch));
  };
  double total = 0;
  StepReport report;
  for (int64_t b = 0; b < batches; ++b) total += task_.weight(batch_at(b));
  if (!(total > 0)) fail("step {}: none of its examples has anything to learn", step_ + 1);
  for (int64_t b = 0; b < batches; ++b) {
    uint64_t key = options_.seed ^ (static_cast<uint64_t>(step_ * batches + b + 1) << 20);
    for (const std::vector<int64_t>& piece : task_.pieces(batch_at(b))) {
      const double share = task_.weight(piece) / total;
      report.units += task_.units(piece);
      if (share == 0) continue;
      const Tensor loss = task_.loss(piece, key++);
      report.loss += share * double{loss.f32()[0]};
      tensor::backward(loss, Tensor::full({1}, static_cast<float>(share)));
    }
  }
  report.gradient_norm = gradient_norm(parameters_);
  if (!std::isfinite(report.loss) || !std::isfinite(report.gradient_norm)) {
    clear_gradients(parameters_);
    fail("step {}: the loss is {} and the gradient's norm {}; try a smaller learning rate",
         step_ + 1, report.loss, report.gradient_norm);
  }
  report.learning_rate = learning_rate_at(options_.schedule, step_);
  optimizer_.step(report.learning_rate, clip_factor(report.gradient_norm, options_.max_grad_norm));
  if (ema_) ema_->update();
  report.step = ++step_;
  return report;
}

Named Trainer::weights() const {
  Named all;
  for (const Parameter& parameter : parameters_) all.emplace_back(parameter.name, parameter.value);
  return all;
}

size_t Trainer::saved_bytes() const {
  return bytes_of(weights()) + optimizer_.state_bytes() + (ema_ ? bytes_of(ema_->state()) : 0);
}

void Trainer::save(const std::string& folder, const nlohmann::json& identity) const {
  formats::write_safetensors(folder + kWeights, weights());
  formats::write_safetensors(folder + kOptimizer, optimizer_.state());
  if (ema_) formats::write_safetensors(folder + kEma, ema_->state());
  formats::write_text_file(folder + kState, nlohmann::json{{"step", step_},
                                             {"ema_updates", ema_ ? ema_->updates() : 0},
                                             {"identity", identity}}
                                  .dump(1) +
                                  "\n");
}

void Trainer::load(const std::string& folder, const nlohmann::json& identity) {
  const std::string path = folder + kState;
  const nlohmann::json state = formats::read_json_file(path);
  check_identity(formats::require_object(state, "identity", path), identity, path);
  const int64_t step = formats::require_int(state, "step", path);
  if (step < 0) fail("{}: step: expected 0 or more, found {}", path, step);
  read_into(weights(), folder + kWeights);
  const formats::SafetensorsFile optimizer(folder + kOptimizer);
  optimizer_.load_state(step, [&](const std::string& name) { return optimizer.get(name); });
  if (ema_) {
    read_into(ema_->state(), folder + kEma);
    ema_->set_updates(formats::require_int(state, "ema_updates", path));
  }
  step_ = step;
}

}  // namespace sumi::train
