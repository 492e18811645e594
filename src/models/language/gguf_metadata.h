// A decoder's hyperparameters as GGUF metadata: the other direction of Family::from_gguf.
#pragma once

#include <string>

#include "formats/gguf_writer.h"
#include "models/language/decoder_spec.h"

namespace sumi::models {

// Writes what llama.cpp and Family::from_gguf read for this architecture, and the tensors of RoPE
// factors. `source` names the model in errors. Throws Error naming a RoPE scaling that the format
// cannot express; other options are found by spec_difference() of what is read back.
void write_gguf_metadata(const DecoderSpec& spec, const std::string& architecture,
                         const std::string& source, formats::GgufWriter* writer);

// The name of the first field in which two specs mean different models, empty if there is none. How
// the same meaning is written (a window beyond the context, a scale by default) does not count.
std::string spec_difference(const DecoderSpec& a, const DecoderSpec& b);

}  // namespace sumi::models
