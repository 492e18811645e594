// T5's hyperparameters as GGUF metadata (architectures t5 and t5encoder), in both directions.
#pragma once

#include <string>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "models/language/t5/t5_spec.h"

namespace sumi::models {

bool is_t5(const formats::GgufFile& file);
// The activation is relu, or gelu_tanh where there are gates, and max_distance is 128: the format
// has no keys for them. output_scale is t5.logit_scale, and without that key T5's own. Throws Error
// naming file and key or tensor.
T5Spec t5_spec(const formats::GgufFile& file);

std::string t5_architecture(const T5Spec& spec);
// What llama.cpp and t5_spec() read. A file has output_scale in the weights of the decoder's last
// norm, where llama.cpp finds it, and says so by a t5.logit_scale of 1.
void write_t5_metadata(const T5Spec& spec, formats::GgufWriter* writer);

// The name of the first field in which the two mean different models, empty if there is none.
std::string spec_difference(const T5Spec& a, const T5Spec& b);

}  // namespace sumi::models
