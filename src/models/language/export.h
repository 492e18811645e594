// Writing a language model as a Hugging Face folder.
#pragma once

#include <string>

#include "models/language/language_model.h"

namespace sumi::models {

// Throws Error unless `path` (as resolve_model() gives it) is such a folder, whose config.json and
// tokenizer files the new one can have: a GGUF file is none.
void check_exportable(const std::string& path, const std::string& purpose);

// Copies those files of a Hugging Face folder that make its tokenizer and say how to generate. Throws
// Error if it cannot.
void copy_tokenizer_files(const std::string& source, const std::string& folder);

// `folder` (made if need be) gets the model's parameters, which must be plain, as model.safetensors of
// f32, f16 or bf16, config.json of `source` with type and vocabulary as they are now, and the tokenizer's
// files of `tokenizer` (empty: also of `source`).
void write_model_folder(const LanguageModel& model, const std::string& source,
                        const std::string& folder, DType dtype, const std::string& tokenizer = "");

// The model at `model` (a Hugging Face folder, by path or name) with an adapter's changes in its
// weights, written to `folder`. Throws Error, also if the adapter is for another model.
void merge_adapter(const std::string& model, const std::string& adapter, const std::string& folder,
                   DType dtype);

}  // namespace sumi::models
