// The steps that all conversions of a Hugging Face folder to a GGUF file have in common.
#pragma once

#include <functional>
#include <string>

#include "formats/gguf_writer.h"
#include "models/language/convert.h"
#include "text/tokenizer.h"

namespace sumi::models {

// The keys that say what the file is.
void begin_gguf(const std::string& architecture, const std::string& folder,
                formats::GgufWriter* writer);

// The folder's tokenizer; null: it has none. Sets what the report says of it.
void write_tokenizer(const std::string& folder, const text::Tokenizer* tokenizer,
                     int64_t vocab_size, formats::GgufWriter* writer, ConvertReport* report);

// The type for a matrix [N, K]: what is asked for, else as stored; f16 where rows are no whole
// blocks, which the report counts.
DType matrix_dtype(const Shape& shape, DType stored, const ConvertOptions& options,
                   ConvertReport* report);

// Writes the file under a temporary name, opens it, lets `check` throw Error, and renames it.
void write_gguf(const formats::GgufWriter& writer, const std::string& out, ConvertReport* report,
                const std::function<void(const formats::GgufFile&)>& check);

}  // namespace sumi::models
