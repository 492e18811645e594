// Tokens that a model gets for its training, such as those of a chat format.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nn/token_rows.h"
#include "train/parameter.h"

namespace sumi::train {

class TokenTraining {
 public:
  // Tokens [begin, begin + count). Their rows are trained by themselves beside an adapter, and as part of
  // the tables if `whole`.
  TokenTraining(int64_t begin, int64_t count, bool whole, uint64_t seed)
      : begin_(begin), count_(count), whole_(whole), seed_(seed) {}

  // To be given to the model's loader; must be outlived by this. Rows begin as the mean of the table's
  // with a tenth of its deviation as noise: near all others, and not equal among themselves.
  nn::TokenRowSource source();
  // After loading: throws Error if the model cannot have more tokens.
  void check_used() const;

  // By module; the rows are those that are trained.
  const std::vector<std::pair<std::string, nn::TokenRows>>& modules() const { return modules_; }
  std::vector<Parameter> parameters() const;  // named as peft does

 private:
  int64_t begin_, count_;
  bool whole_;
  uint64_t seed_;
  std::vector<std::pair<std::string, nn::TokenRows>> modules_;
};

}  // namespace sumi::train
