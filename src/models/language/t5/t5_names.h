// What T5's tensors are called, in Hugging Face's checkpoints and in GGUF files.
#pragma once

#include <string>
#include <vector>

#include "formats/tensor_source.h"
#include "models/language/t5/t5_spec.h"

namespace sumi::models {

// The name in GGUF files of what Hugging Face's checkpoints call so, both without ".weight":
// "decoder.block.2.layer.1.EncDecAttention.q" -> "dec.blk.2.cross_attn_q". Throws Error on a name
// that T5 has not.
std::string t5_gguf_name(const std::string& name);

// Whether the head has a matrix of its own in these files.
bool t5_has_head(const T5Spec& spec, const formats::TensorSource& source, bool gguf);

// Every tensor that the spec calls for, without ".weight", under Hugging Face's names; the
// embedding's table first, the head, if it is asked for, last.
std::vector<std::string> t5_tensor_names(const T5Spec& spec, bool head);

// Tensors that files have beyond those: copies of the embedding, a bias of T5's first release that
// nothing uses, and what an encoder alone leaves out.
bool t5_ignores(const T5Spec& spec, const std::string& name, bool gguf);

}  // namespace sumi::models
