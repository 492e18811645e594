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
  // Of the layers with a sliding window, in tokens, where llama.cpp reads no window for the
  // architecture (Mistral's, Phi-3's, StarCoder2's): beyond it, it answers otherwise. 0: none.
  int64_t ignored_window = 0;
  bool nfc_lost = false;  // the vocabulary normalizes texts, which GGUF has no place for
  // A unigram vocabulary spells characters that it lacks as bytes: llama.cpp has <unk> for them.
  bool bytes_ignored = false;
  // The folder's tokenizer puts other tokens before a text than one BOS token: llama.cpp puts none.
  bool prefix_ignored = false;
  bool text_part = false;     // of a model with pictures: their weights are left out
  bool no_tokenizer = false;  // the folder has none, nor has the GGUF file
  std::string other_ids;      // a text that llama.cpp tokenizes otherwise than the folder; "": none known
};

// A Hugging Face folder -> a GGUF file as llama.cpp reads it. Tensors are read, arranged and written
// one by one, under a temporary name; the file is then opened again, its configuration and tokenizer are compared with the
// folder's, and it is renamed. Throws Error naming what the format cannot express, a disk without
// room, or a file that is there already; nothing is left then.
ConvertReport convert_to_gguf(const std::string& folder, const std::string& out,
                              const ConvertOptions& options);

// A Hugging Face folder with weights in any form -> a new folder with one model.safetensors, and
// the configuration and tokenizer files beside it. The same errors.
ConvertReport convert_to_safetensors(const std::string& folder, const std::string& out,
                                     const ConvertOptions& options);

// A GGUF file -> another with its matrices in another type, of any architecture; everything else is
// copied, and so are tables of positions and of biases (T5's). The same errors; and Error for weights
// alone in another format.
ConvertReport recode_gguf(const std::string& path, const std::string& out,
                          const ConvertOptions& options);

// A GGUF file of a family of decoders or of T5 -> a Hugging Face folder: config.json, the tokenizer's files,
// one model.safetensors. Block-quantized matrices become f16 unless `dtype` says otherwise. What was
// written is read again and compared. The same errors; and Error naming a family whose
// configuration is not written, or what is lost.
ConvertReport gguf_to_folder(const std::string& path, const std::string& out,
                             const ConvertOptions& options);

}  // namespace sumi::models
