// Loading a T5. Names are those of Hugging Face's checkpoints; named() has the file's.
#include "models/language/t5/t5.h"
#include "models/language/t5/t5_names.h"

namespace sumi::models {

void T5::check_names(const T5Spec& spec, const formats::TensorSource& source, bool gguf) {
  std::vector<std::string> names;
  for (const std::string& name : t5_tensor_names(spec, t5_has_head(spec, source, gguf)))
    names.push_back((gguf ? t5_gguf_name(name) : name) + ".weight");
  nn::check_names(source, names,
                  [&](const std::string& name) { return t5_ignores(spec, name, gguf); });
}

T5::T5(T5Spec spec, const formats::TensorSource& source, bool gguf,
       const nn::LoadOptions& options)
    : spec_(spec), gguf_(gguf) {
  check_names(spec_, source, gguf);
  nn::WeightLoader loader(source, options);
  load(loader, t5_has_head(spec_, source, gguf));
  parameters_ = loader.parameters();
  weight_bytes_ = loader.memory_bytes();
  if (options.progress) options.progress(1.0);
}

nn::WeightName T5::named(const std::string& name) const {
  return {gguf_ ? t5_gguf_name(name) : name, name, false, {}};
}

void T5::load(nn::WeightLoader& loader, bool separate_head) {
  embedding_ = loader.embedding(named("shared"), spec_.vocab_size, spec_.hidden_size);
  const auto norm = [&](const std::string& name) {
    return loader.norm(named(name), nn::NormKind::rms, spec_.hidden_size, false, spec_.norm_eps);
  };
  if (separate_head)
    head_ = loader.linear({named("lm_head")}, {spec_.vocab_size}, spec_.hidden_size, false);
  else if (spec_.decoder_layers > 0)
    head_ = loader.tied(named("shared"), embedding_);
  const size_t head_bytes = loader.memory_bytes();
  for (int64_t i = 0; i < spec_.encoder_layers; ++i) {
    const std::string block = fmt::format("encoder.block.{}", i);
    EncoderLayer layer;
    layer.self = load_self(loader, block, spec_.bias_per_layer || i == 0);
    layer.mlp = load_mlp(loader, block + ".layer.1");
    encoder_.push_back(std::move(layer));
  }
  encoder_norm_ = norm("encoder.final_layer_norm");
  const size_t before = loader.memory_bytes(),
               inner = static_cast<size_t>(spec_.num_heads * spec_.head_dim);
  const int64_t width = static_cast<int64_t>(inner), hidden = spec_.hidden_size;
  size_t key_value_bytes = 0;  // of the text read: multiplied once
  for (int64_t i = 0; i < spec_.decoder_layers; ++i) {
    const std::string block = fmt::format("decoder.block.{}", i);
    const std::string cross = block + ".layer.1.EncDecAttention.";
    DecoderLayer layer;
    layer.self = load_self(loader, block, spec_.bias_per_layer || i == 0);
    layer.cross.norm = norm(block + ".layer.1.layer_norm");
    layer.cross.query = loader.linear({named(cross + "q")}, {width}, hidden, false);
    const size_t without = loader.memory_bytes();
    layer.cross.key_value =
        loader.linear({named(cross + "k"), named(cross + "v")}, {width, width}, hidden, false);
    key_value_bytes += loader.memory_bytes() - without;
    layer.cross.output = loader.linear({named(cross + "o")}, {hidden}, width, false);
    layer.mlp = load_mlp(loader, block + ".layer.2");
    decoder_.push_back(std::move(layer));
  }
  if (spec_.decoder_layers > 0) decoder_norm_ = norm("decoder.final_layer_norm");
  decoder_bytes_ = head_bytes + loader.memory_bytes() - before - key_value_bytes;
}

T5::SelfAttention T5::load_self(nn::WeightLoader& loader, const std::string& block,
                                bool bias) const {
  const std::string name = block + ".layer.0.SelfAttention.";
  const int64_t width = spec_.num_heads * spec_.head_dim, hidden = spec_.hidden_size;
  SelfAttention layer;
  layer.norm = loader.norm(named(block + ".layer.0.layer_norm"), nn::NormKind::rms, hidden, false,
                           spec_.norm_eps);
  layer.query_key_value = loader.linear({named(name + "q"), named(name + "k"), named(name + "v")},
                                        {width, width, width}, hidden, false);
  layer.output = loader.linear({named(name + "o")}, {hidden}, width, false);
  if (bias)
    layer.bias = loader.embedding(named(name + "relative_attention_bias"), spec_.buckets.count,
                                  spec_.num_heads);
  return layer;
}

T5::Mlp T5::load_mlp(nn::WeightLoader& loader, const std::string& name) const {
  const int64_t hidden = spec_.hidden_size, inner = spec_.intermediate_size;
  const std::string dense = name + ".DenseReluDense.";
  Mlp layer;
  layer.norm =
      loader.norm(named(name + ".layer_norm"), nn::NormKind::rms, hidden, false, spec_.norm_eps);
  if (spec_.gated_mlp)
    layer.up = loader.linear({named(dense + "wi_0"), named(dense + "wi_1")}, {inner, inner}, hidden,
                             false);
  else
    layer.up = loader.linear({named(dense + "wi")}, {inner}, hidden, false);
  layer.down = loader.linear({named(dense + "wo")}, {hidden}, inner, false);
  return layer;
}

}  // namespace sumi::models
