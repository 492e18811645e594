#include "train/token_training.h"

#include <cmath>
#include <numeric>
#include <random>

#include "base/error.h"
#include "nn/lora_file.h"
#include "ops/embedding.h"
#include "tensor/autograd.h"

namespace sumi::train {
namespace {

// A sum of uniform numbers: normal enough for noise, and the same on every machine.
float noise(std::mt19937_64& random) {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(random() >> 11) * 0x1p-53;
  return static_cast<float>(sum);
}

Tensor initial_rows(const Tensor& table, int64_t count, uint64_t seed) {
  const tensor::NoGrad no_grad;
  constexpr int64_t kAtOnce = 1024;
  const int64_t rows = table.size(0), width = table.size(1);
  std::vector<double> sum(static_cast<size_t>(width)), squares(sum);
  for (int64_t begin = 0; begin < rows; begin += kAtOnce) {
    Tensor ids = Tensor::empty({std::min(kAtOnce, rows - begin)}, DType::i32);
    std::iota(ids.data<int32_t>(), ids.data<int32_t>() + ids.numel(), static_cast<int32_t>(begin));
    const Tensor values = ops::embedding(ids, table);
    for (int64_t i = 0; i < values.numel(); ++i) {
      const double value = values.f32()[i];
      sum[static_cast<size_t>(i % width)] += value;
      squares[static_cast<size_t>(i % width)] += value * value;
    }
  }
  std::mt19937_64 random(seed);
  Tensor out = Tensor::empty({count, width});
  for (int64_t i = 0; i < out.numel(); ++i) {
    const auto column = static_cast<size_t>(i % width);
    const double mean = sum[column] / static_cast<double>(rows);
    const double variance = squares[column] / static_cast<double>(rows) - mean * mean;
    out.f32()[i] = static_cast<float>(mean + 0.1 * std::sqrt(std::max(0.0, variance)) * noise(random));
  }
  return out;
}

}  // namespace

nn::TokenRowSource TokenTraining::source() {
  return [this](const std::string& module, const Tensor& table) {
    nn::TokenRows added{begin_, initial_rows(table, count_, seed_ + modules_.size())};
    added.rows.set_requires_grad(!whole_);
    modules_.emplace_back(module, added);
    return added;
  };
}

void TokenTraining::check_used() const {
  if (modules_.empty()) fail("the model is of a kind that cannot be given more tokens");
}

std::vector<Parameter> TokenTraining::parameters() const {
  std::vector<Parameter> all;
  if (whole_) return all;
  for (const auto& [module, added] : modules_) all.push_back({module + nn::kTokenRows, added.rows});
  return all;
}

}  // namespace sumi::train
