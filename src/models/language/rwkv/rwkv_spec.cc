#include "models/language/rwkv/rwkv_spec.h"

#include <charconv>

#include "base/error.h"

namespace sumi::models {

namespace {

constexpr int64_t kMost = int64_t{1} << 24;  // of any size

int64_t size_of(const Config& config, const char* key) {
  const int64_t value = config.get_int(key);
  if (value < 1 || value > kMost)
    fail("{}: {}: expected 1 to {}, found {}", config.file(), key, kMost, value);
  return value;
}

int64_t size_of(const Config& config, const char* key, int64_t missing) {
  return config.has(key) ? size_of(config, key) : missing;
}

Shape matrix_shape(const formats::TensorSource& source, const std::string& name) {
  for (const formats::TensorInfo& info : source.tensors()) {
    if (info.name != name) continue;
    if (info.shape.size() != 2 || info.shape[0] < 1 || info.shape[1] < 1 ||
        info.shape[0] > kMost || info.shape[1] > kMost)
      fail("{}: tensor {}: expected a matrix, found shape {}", source.describe(), name,
           tensor::shape_string(info.shape));
    return info.shape;
  }
  fail("{}: not an RWKV-4 checkpoint: it has no tensor {}", source.describe(), name);
}

// The number after "blocks.", or -1.
int64_t layer_of(const std::string& name) {
  constexpr std::string_view kBlocks = "blocks.";
  if (name.rfind(kBlocks, 0) != 0) return -1;
  int64_t layer = -1;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kBlocks.size(), end, layer);
  return error == std::errc() && stop != end && *stop == '.' && layer < kMost ? layer : -1;
}

// Each later version has a parameter that no other has.
void refuse_other_versions(const formats::TensorSource& source) {
  struct Mark {
    const char *tensor, *version;
  };
  for (const Mark& mark : {Mark{"blocks.0.att.r_k", "RWKV-7"},
                           Mark{"blocks.0.att.time_maa_x", "RWKV-6"},
                           Mark{"blocks.0.att.ln_x.weight", "RWKV-5"}})
    if (source.has(mark.tensor))
      fail("{}: this is {} (it has {}); of RWKV, version 4 can be run", source.describe(),
           mark.version, mark.tensor);
}

}  // namespace

bool is_rwkv(const Config& config) { return config.get_string("model_type", "") == "rwkv"; }

RwkvSpec rwkv_spec(const Config& config) {
  for (const std::string& architecture : config.get_strings("architectures"))
    if (architecture != "RwkvForCausalLM")
      fail("{}: architectures: expected RwkvForCausalLM, found {}", config.file(), architecture);
  RwkvSpec spec;
  spec.vocab_size = size_of(config, "vocab_size");
  spec.hidden_size = size_of(config, "hidden_size");
  spec.num_layers = size_of(config, "num_hidden_layers");
  spec.attention_size = size_of(config, "attention_hidden_size", spec.hidden_size);
  spec.intermediate_size = size_of(config, "intermediate_size", 4 * spec.hidden_size);
  spec.trained_length = size_of(config, "context_length", 1024);
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_epsilon", 1e-5));
  if (!(spec.norm_eps >= 0 && spec.norm_eps < 1))
    fail("{}: layer_norm_epsilon: expected 0 to 1, found {}", config.file(), spec.norm_eps);
  spec.rescale_every = std::max<int64_t>(0, config.get_int("rescale_every", 6));
  spec.tied_head = config.get_bool("tie_word_embeddings", false);
  return spec;
}

bool is_rwkv(const formats::TensorSource& source) {
  return source.has("emb.weight") && source.has("blocks.0.ln0.weight");
}

RwkvSpec rwkv_spec(const formats::TensorSource& source) {
  refuse_other_versions(source);
  RwkvSpec spec;
  spec.original_names = true;
  const Shape embedding = matrix_shape(source, "emb.weight");
  spec.vocab_size = embedding[0];
  spec.hidden_size = embedding[1];
  spec.attention_size = matrix_shape(source, "blocks.0.att.key.weight")[0];
  spec.intermediate_size = matrix_shape(source, "blocks.0.ffn.key.weight")[0];
  for (const formats::TensorInfo& info : source.tensors())
    spec.num_layers = std::max(spec.num_layers, layer_of(info.name) + 1);
  // A name with a large number must not make a long list of missing ones.
  if (spec.num_layers > static_cast<int64_t>(source.tensors().size()))
    fail("{}: not an RWKV-4 checkpoint: {} layers in {} tensors", source.describe(),
         spec.num_layers, source.tensors().size());
  return spec;
}

}  // namespace sumi::models
