// Opens a language model by path or name.
#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "models/language/language_model.h"
#include "nn/lora.h"
#include "nn/token_rows.h"
#include "text/tokenizer.h"

namespace sumi::models {

enum class ComputeType { automatic, f32, bf16 };  // automatic: as the weights are stored

struct OpenOptions {
  ComputeType compute = ComputeType::automatic;
  bool trainable = false;  // keep plain f32 parameters with gradients instead of packing
  bool frozen = false;     // plain without gradients, of the type of `products`
  bool separate_parts = false;  // packed weights for training adapters (nn::LoadOptions)
  ops::Products products = ops::Products::f32;  // of plain weights; bf16 keeps frozen ones so
  nn::LoraSource lora;     // adapters of the linear layers; may be empty
  nn::TokenRowSource token_rows;  // added tokens; may be empty
  nn::WeightEdit edit;     // of plain linear weights while they are loaded; may be empty
  std::function<void(double)> progress;  // 0 to 1; may be empty
  std::string tokenizer;  // a tokenizer's file, where the model's own is not wanted; empty: its own
};

// What generation_config.json (or nothing) suggests.
struct GenerationDefaults {
  double temperature = 0.7, top_p = 0.95, repetition_penalty = 1;
  int64_t top_k = 50;
  bool from_file = false;
};

struct LanguageModelFiles {
  std::unique_ptr<LanguageModel> model;
  std::unique_ptr<text::Tokenizer> tokenizer;  // null if the folder has none
  GenerationDefaults defaults;
  std::string path;          // what resolve_model() found
  std::string architecture;  // "llama", "gpt2" ...
};

// MODEL as the user gives it -> a GGUF file, an RWKV author's .pth file or a folder with
// config.json. Tried in order: a path; a name in
// ${XDG_CACHE_HOME:-~/.cache}/sumi/models (file, file.gguf or folder; a unique part of a name will do);
// org/name in the Hugging Face cache (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub). Throws Error that
// lists where it looked.
std::string resolve_model(const std::string& model);

LanguageModelFiles open_language_model(const std::string& model, const OpenOptions& options = {});

// The tokenizer of a model that is one file, without loading weights. Throws Error if it has none.
std::unique_ptr<text::Tokenizer> open_file_tokenizer(const std::string& path);

}  // namespace sumi::models
