// T5's Hugging Face folders as GGUF files, and back.
#pragma once

#include <string>

#include "formats/gguf.h"
#include "models/language/config.h"
#include "models/language/convert.h"

namespace sumi::models {

// convert_to_gguf() for a folder with this configuration of T5's family.
ConvertReport convert_t5_to_gguf(const Config& config, const std::string& folder,
                                 const std::string& out, const ConvertOptions& options);
// gguf_to_folder() for such a file.
ConvertReport t5_gguf_to_folder(const formats::GgufFile& file, const std::string& out,
                                const ConvertOptions& options);

}  // namespace sumi::models
