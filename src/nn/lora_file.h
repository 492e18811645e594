// Adapters on disk, as peft keeps them: adapter_config.json and adapter_model.safetensors.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "formats/safetensors.h"
#include "nn/lora.h"
#include "nn/token_rows.h"

namespace sumi::nn {

struct LoraConfig {
  int64_t rank = 8;
  double alpha = 8, dropout = 0;
  bool rank_stabilised = false;          // scale alpha / sqrt(rank), arXiv:2312.03732, not alpha / rank
  std::vector<std::string> targets;      // module names, or their ends after a dot
  std::string base_model;                // what it was trained on
  bool transposed_base = false;          // the base's checkpoint keeps [K, N] (GPT-2): peft's fan_in_fan_out

  float scale() const;
};

// Whether a module is among the targets, as peft decides it: by its whole name, or by the end of it
// after a dot.
bool is_target(const LoraConfig& config, const std::string& module);

// Matrices by module; B's rows as in the checkpoint.
struct LoraMatrices {
  Tensor a, b;  // [r, K], [N, r]
};

// What a module's name has after it where its added tokens' rows are stored (peft's
// trainable_token_indices).
inline constexpr const char* kTokenRows = ".token_adapter.trainable_tokens_delta";

void write_lora(const std::string& folder, const LoraConfig& config,
                const std::vector<std::pair<std::string, LoraMatrices>>& modules,
                const std::vector<std::pair<std::string, TokenRows>>& tokens = {});

// An adapter folder that is read.
class LoraFile {
 public:
  // `own_name` gives the model's name of a module in the file, "" where the model runs without it; null: they are equal.
  // Throws Error naming the file and what in it is wrong, missing or of a kind that is not known
  // (DoRA, other tuners, weights beyond A, B and rows of consecutive tokens).
  explicit LoraFile(const std::string& folder,
                    const std::function<std::string(const std::string&)>& own_name = nullptr);

  const LoraConfig& config() const { return config_; }
  const std::string& folder() const { return folder_; }
  const std::map<std::string, LoraMatrices>& modules() const { return modules_; }

  // The module's matrices, checked against its sizes and with B's rows in the model's order; null
  // tensors if it has none. Remembers that it was asked for.
  LoraMatrices matrices(const LoraSite& site);
  // Gives each layer its packed adapter. The file must outlive the source.
  LoraSource packed();
  // Gives the embedding and the head the rows of added tokens; empty if the adapter has none.
  TokenRowSource token_rows();
  // weight [n, k] += scale B A, if the module has an adapter.
  void merge_into(const LoraSite& site, Tensor& weight);
  // Throws Error naming modules that the model has not asked for.
  void check_all_used() const;

 private:
  std::string folder_;
  LoraConfig config_;
  std::map<std::string, LoraMatrices> modules_;
  std::map<std::string, TokenRows> tokens_;  // by module
  std::map<std::string, bool> used_;
};

// Rows from the checkpoint's order to the model's, or back. An empty order changes nothing.
Tensor rows_from_file(const Tensor& x, const std::vector<int64_t>& order);
Tensor rows_to_file(const Tensor& x, const std::vector<int64_t>& order);

}  // namespace sumi::nn
