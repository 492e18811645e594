#include "models/language/t5/t5_gguf.h"

#include <cmath>

#include "base/error.h"

namespace sumi::models {

namespace {

constexpr int64_t kMost = int64_t{1} << 24;  // of any size

// Keys of one file, under its architecture's name.
class Keys {
 public:
  explicit Keys(const formats::GgufFile& file)
      : file_(file), prefix_(file.get_string("general.architecture") + ".") {}

  std::string full(const char* name) const { return prefix_ + name; }
  bool has(const char* name) const { return file_.has_key(full(name)); }
  int64_t size(const char* name) const {
    const int64_t value = file_.get_int(full(name));
    if (value < 1 || value > kMost)
      fail("{}: {}: expected 1 to {}, found {}", file_.describe(), full(name), kMost, value);
    return value;
  }
  int64_t size(const char* name, int64_t missing) const {
    return has(name) ? size(name) : missing;
  }
  float positive(const char* name, double missing) const {
    const auto value = static_cast<float>(file_.get_float(full(name), missing));
    if (!(value > 0) || !std::isfinite(value))
      fail("{}: {}: expected a positive number, found {}", file_.describe(), full(name), value);
    return value;
  }

 private:
  const formats::GgufFile& file_;
  std::string prefix_;
};

// Vocabulary and hidden size.
void read_embedding(const formats::GgufFile& file, const Keys& keys, T5Spec& spec) {
  const Tensor table = file.get("token_embd.weight");
  spec.hidden_size = keys.size("embedding_length");
  if (table.dim() != 2 || table.size(1) != spec.hidden_size || table.size(0) > kMost)
    fail("{}: tensor token_embd.weight: expected shape [vocabulary, {}], found {}",
         file.describe(), spec.hidden_size, tensor::shape_string(table.shape()));
  spec.vocab_size = table.size(0);
  if (!file.has_key("tokenizer.ggml.tokens")) return;
  const auto tokens = static_cast<int64_t>(file.get_strings("tokenizer.ggml.tokens").size());
  if (tokens != spec.vocab_size)
    fail("{}: tokenizer.ggml.tokens: {} tokens, but token_embd.weight has {} rows",
         file.describe(), tokens, spec.vocab_size);
}

int64_t head_size(const formats::GgufFile& file, const Keys& keys, const T5Spec& spec) {
  if (!keys.has("attention.key_length") && spec.hidden_size % spec.num_heads != 0)
    fail("{}: {} is missing, and {} is no multiple of {} heads", file.describe(),
         keys.full("attention.key_length"), spec.hidden_size, spec.num_heads);
  const int64_t size = keys.size("attention.key_length", spec.hidden_size / spec.num_heads);
  const int64_t values = keys.size("attention.value_length", size);
  if (values != size)
    fail("{}: {}: expected {} as the keys', found {}", file.describe(),
         keys.full("attention.value_length"), size, values);
  return size;
}

void read_buckets(const formats::GgufFile& file, const Keys& keys, T5Spec& spec) {
  const int64_t count = keys.size("attention.relative_buckets_count");
  spec.buckets.max_distance = 128;
  // transformers and llama.cpp: half of a side's buckets hold one distance each
  if (count < 4 || count % 4 != 0 || count / 2 >= spec.buckets.max_distance)
    fail("{}: {}: expected a multiple of 4 below {}, found {}", file.describe(),
         keys.full("attention.relative_buckets_count"), 2 * spec.buckets.max_distance, count);
  spec.buckets.count = count;
}

}  // namespace

bool is_t5(const formats::GgufFile& file) {
  const std::string name = file.get_string("general.architecture", "");
  return name == "t5" || name == "t5encoder";
}

T5Spec t5_spec(const formats::GgufFile& file) {
  const Keys keys(file);
  T5Spec spec;
  read_embedding(file, keys, spec);
  spec.intermediate_size = keys.size("feed_forward_length");
  spec.num_heads = keys.size("attention.head_count");
  spec.head_dim = head_size(file, keys, spec);
  spec.encoder_layers = keys.size("block_count");
  const bool alone = file.get_string("general.architecture") == "t5encoder";
  if (!alone) spec.decoder_layers = keys.size("decoder_block_count", spec.encoder_layers);
  // A large number must not make a long list of missing tensors.
  if (spec.encoder_layers + spec.decoder_layers > static_cast<int64_t>(file.tensors().size()))
    fail("{}: {} layers in {} tensors", file.describe(),
         spec.encoder_layers + spec.decoder_layers, file.tensors().size());
  read_buckets(file, keys, spec);
  for (const char* stack : {"enc", "dec"})
    if (file.has(fmt::format("{}.blk.1.attn_rel_b.weight", stack))) spec.bias_per_layer = true;
  spec.gated_mlp = file.has("enc.blk.0.ffn_gate.weight");
  spec.activation = spec.gated_mlp ? ops::Activation::gelu_tanh : ops::Activation::relu;
  const std::string eps = keys.full("attention.layer_norm_rms_epsilon");
  spec.norm_eps = static_cast<float>(file.get_float(eps));
  if (!(spec.norm_eps >= 0 && spec.norm_eps < 1))
    fail("{}: {}: expected 0 to 1, found {}", file.describe(), eps, spec.norm_eps);
  spec.tied_head = !file.has("output.weight");
  if (!alone)
    spec.output_scale = keys.positive("logit_scale", spec.tied_head ? tied_output_scale(spec) : 1);
  spec.trained_length = keys.size("context_length", spec.trained_length);
  const int64_t start = file.get_int(keys.full("decoder_start_token_id"),
                                     file.get_int("tokenizer.ggml.padding_token_id", 0));
  if (start < 0 || start >= spec.vocab_size)
    fail("{}: {}: expected 0 to {}, found {}", file.describe(),
         keys.full("decoder_start_token_id"), spec.vocab_size - 1, start);
  spec.start_id = static_cast<int32_t>(start);
  return spec;
}

std::string t5_architecture(const T5Spec& spec) {
  return spec.decoder_layers > 0 ? "t5" : "t5encoder";
}

void write_t5_metadata(const T5Spec& spec, formats::GgufWriter* writer) {
  const std::string prefix = t5_architecture(spec) + ".";
  const auto number = [&](const char* name, int64_t value) {
    writer->set_uint32(prefix + name, static_cast<uint32_t>(value));
  };
  number("context_length", spec.trained_length);
  number("embedding_length", spec.hidden_size);
  number("feed_forward_length", spec.intermediate_size);
  number("block_count", spec.encoder_layers);
  number("vocab_size", spec.vocab_size);
  number("attention.head_count", spec.num_heads);
  number("attention.key_length", spec.head_dim);
  number("attention.value_length", spec.head_dim);
  writer->set_float32(prefix + "attention.layer_norm_epsilon", spec.norm_eps);
  writer->set_float32(prefix + "attention.layer_norm_rms_epsilon", spec.norm_eps);
  number("attention.relative_buckets_count", spec.buckets.count);
  if (spec.decoder_layers == 0) return;
  number("decoder_block_count", spec.decoder_layers);
  number("decoder_start_token_id", spec.start_id);
  writer->set_float32(prefix + "logit_scale", 1);
}

std::string spec_difference(const T5Spec& a, const T5Spec& b) {
  const bool writes = a.decoder_layers > 0;
  const bool layers = a.encoder_layers > 1 || a.decoder_layers > 1;  // else one bias is all
  const std::pair<const char*, bool> same[] = {
      {"vocab_size", a.vocab_size == b.vocab_size},
      {"d_model", a.hidden_size == b.hidden_size},
      {"d_ff", a.intermediate_size == b.intermediate_size},
      {"num_heads", a.num_heads == b.num_heads},
      {"d_kv", a.head_dim == b.head_dim},
      {"num_layers", a.encoder_layers == b.encoder_layers},
      {"num_decoder_layers", a.decoder_layers == b.decoder_layers},
      {"relative_attention_num_buckets", a.buckets.count == b.buckets.count},
      {"relative_attention_max_distance", a.buckets.max_distance == b.buckets.max_distance},
      {"biases of each layer", !layers || a.bias_per_layer == b.bias_per_layer},
      {"feed_forward_proj",
       a.activation == b.activation && a.gated_mlp == b.gated_mlp},
      {"layer_norm_epsilon", a.norm_eps == b.norm_eps},
      {"tie_word_embeddings", !writes || a.tied_head == b.tied_head},
      {"the output's scale", !writes || a.output_scale == b.output_scale},
      {"decoder_start_token_id", !writes || a.start_id == b.start_id}};
  for (const auto& [name, equal] : same)
    if (!equal) return name;
  return "";
}

}  // namespace sumi::models
