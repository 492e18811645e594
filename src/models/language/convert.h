// A model's files in another form: one GGUF file, or a safetensors folder.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tensor/dtype.h"

namespace sumi::models {

struct ConvertOptions {
  // Of the matrices; none: as stored. Vectors of a GGUF file are always f32. f32, f16 and bf16, and
  // for GGUF also q4_0, q4_1, q5_0, q5_1, q8_0, q4_k and q6_k.
  std::optional<tensor::DType> dtype;
  bool overwrite = false;                // replace what is there
  std::function<void(double)> progress;  // 0 to 1; may be empty
};

struct ConvertReport {
  int64_t tensors = 0;
  int64_t kept = 0;  // matrices whose rows are no whole blocks of the type: they became f16
  uint64_t bytes = 0;
};

// A Hugging Face folder -> a GGUF file as llama.cpp reads it (which has no windows for LLaMA's
// architecture, Mistral's). Tensors are read, arranged and written one by one, under a temporary
// name; the file is then opened again, its configuration and tokenizer are compared with the
// folder's, and it is renamed. Throws Error naming what the format cannot express, a disk without
// room, or a file that is there already; nothing is left then.
ConvertReport convert_to_gguf(const std::string& folder, const std::string& out,
                              const ConvertOptions& options);

// A Hugging Face folder with weights in any form -> a new folder with one model.safetensors, and
// the configuration and tokenizer files beside it. The same errors.
ConvertReport convert_to_safetensors(const std::string& folder, const std::string& out,
                                     const ConvertOptions& options);

}  // namespace sumi::models
