// LoRA adapters that are trained.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nn/lora_file.h"
#include "train/parameter.h"

namespace sumi::train {

enum class LoraInit {
  kaiming,   // A uniform in +-1/sqrt(K), as peft's init_lora_weights=True
  gaussian,  // A normal with deviation 1/r
};               // B is zero in both: at first the adapter changes nothing

// The target "all-linear" stands for every linear layer but the head.
inline constexpr const char* kAllLinear = "all-linear";

// The settings that a run that goes on must share with the one that began.
nlohmann::json lora_identity(const nn::LoraConfig& config);

class TrainableLora {
 public:
  // Throws Error naming the option that is out of range.
  TrainableLora(nn::LoraConfig config, LoraInit init, uint64_t seed);

  // To be given to the model's loader; must be outlived by this.
  nn::LoraSource source();
  // After loading: throws Error for a target that no layer has, naming those that there are.
  void check_targets() const;

  const std::shared_ptr<nn::DropoutClock>& clock() const { return clock_; }
  // "<module>.lora_A.weight", "<module>.lora_B.weight"
  std::vector<Parameter> parameters() const;
  // By module: A, and B times the scale, with its rows as in the checkpoint.
  std::vector<std::pair<std::string, nn::LoraMatrices>> scaled_matrices() const;
  // A peft adapter folder (which exists), with the rows of added tokens by module.
  void save(const std::string& folder,
            const std::vector<std::pair<std::string, nn::TokenRows>>& tokens = {}) const;

 private:
  struct Module {
    nn::LoraSite site;
    nn::LoraMatrices matrices;
  };
  bool wanted(const std::string& module) const;

  nn::LoraConfig config_;
  LoraInit init_;
  uint64_t seed_;
  std::shared_ptr<nn::DropoutClock> clock_ = std::make_shared<nn::DropoutClock>();
  std::vector<Module> modules_;
  std::vector<std::string> seen_;  // the last part of each linear layer's name
};

}  // namespace sumi::train
