#include "models/language/outline.h"

#include "models/language/decoder.h"
#include "models/language/family.h"
#include "models/language/rwkv/rwkv.h"
#include "models/language/t5/t5.h"
#include "models/language/t5/t5_gguf.h"
#include "models/language/text_part.h"

namespace sumi::models {

namespace {

constexpr int64_t kFloat = sizeof(float);

// Of one position in one layer's cache, as Decoder::new_state() and T5's make it for weights as they are stored.
int64_t kept_bytes(int64_t heads, int64_t head_dim, const formats::TensorSource& source) {
  const formats::TensorInfo* largest = nullptr;
  for (const formats::TensorInfo& info : source.tensors())
    if (!largest || tensor::element_count(info.shape) > tensor::element_count(largest->shape)) largest = &info;
  const ops::KvCache cache(heads, head_dim, ops::cache_dtype(largest && largest->dtype != DType::f32));
  return static_cast<int64_t>(cache.page_bytes()) / ops::KvCache::kPage;
}

Outline decoder_outline(const DecoderSpec& spec, const Family& family,
                        const formats::TensorSource& source, bool gguf) {
  check_spec(spec, source.describe());
  Decoder::check_names(spec, family.weights, source, gguf);
  Outline outline;
  outline.context = spec.max_positions;
  outline.vocab_size = spec.vocab_size;
  if (spec.causal)
    outline.state_bytes_per_token = spec.num_layers * kept_bytes(spec.num_kv_heads, spec.head_dim, source);
  outline.layers = fmt::format("{}: hidden {}, {} heads ({} for keys and values) of {}, MLP {}",
                               spec.num_layers, spec.hidden_size, spec.num_heads, spec.num_kv_heads,
                               spec.head_dim, spec.intermediate_size);
  outline.sizes = {
      {"hidden_size", spec.hidden_size},   {"intermediate_size", spec.intermediate_size},
      {"num_layers", spec.num_layers},     {"num_heads", spec.num_heads},
      {"num_kv_heads", spec.num_kv_heads}, {"head_dim", spec.head_dim}};
  return outline;
}

Outline t5_outline(const T5Spec& spec, const formats::TensorSource& source, bool gguf) {
  T5::check_names(spec, source, gguf);
  Outline outline;
  outline.context = T5::kMaxPositions;
  outline.vocab_size = spec.vocab_size;
  outline.state_bytes_per_token = spec.decoder_layers * kept_bytes(spec.num_heads, spec.head_dim, source);
  outline.layers =
      fmt::format("{} of the encoder, {} of the decoder: hidden {}, {} heads of {}, MLP {}",
                  spec.encoder_layers, spec.decoder_layers, spec.hidden_size, spec.num_heads,
                  spec.head_dim, spec.intermediate_size);
  outline.sizes = {
      {"hidden_size", spec.hidden_size},   {"intermediate_size", spec.intermediate_size},
      {"num_layers", spec.encoder_layers}, {"num_decoder_layers", spec.decoder_layers},
      {"num_heads", spec.num_heads},       {"head_dim", spec.head_dim}};
  return outline;
}

Outline rwkv_outline(const RwkvSpec& spec, const formats::TensorSource& source) {
  Rwkv::check_names(spec, source);
  Outline outline;
  outline.context = spec.trained_length;
  outline.vocab_size = spec.vocab_size;
  outline.state_bytes =
      spec.num_layers * (2 * spec.hidden_size + 3 * spec.attention_size) * kFloat;
  outline.layers = fmt::format("{}: hidden {}, {} channels of attention, MLP {}; recurrent",
                               spec.num_layers, spec.hidden_size, spec.attention_size,
                               spec.intermediate_size);
  outline.sizes = {{"hidden_size", spec.hidden_size},
                   {"attention_hidden_size", spec.attention_size},
                   {"intermediate_size", spec.intermediate_size},
                   {"num_layers", spec.num_layers}};
  return outline;
}

}  // namespace

Outline outline(const Config& whole, const formats::TensorSource& source) {
  const Config config = text_part(whole);
  if (is_t5(config)) return t5_outline(t5_spec(config), source, false);
  if (is_rwkv(config)) return rwkv_outline(rwkv_spec(config), source);
  const Family& family = family_for(config);
  const DecoderSpec spec = family.from_config(config);
  if (!has_text_part(whole)) return decoder_outline(spec, family, source, false);
  const TextPartTensors tensors(source);
  Outline outline = decoder_outline(spec, family, tensors, false);
  for (const formats::TensorInfo& info : tensors.unused()) {
    ++outline.unused_tensors;
    outline.unused_parameters += tensor::element_count(info.shape);
  }
  return outline;
}

Outline outline(const formats::GgufFile& file) {
  if (is_t5(file)) return t5_outline(t5_spec(file), file, true);
  const Family& family = family_for(file);
  return decoder_outline(family.from_gguf(file), family, file, true);
}

Outline outline(const formats::TorchFile& file) { return rwkv_outline(rwkv_spec(file), file); }

}  // namespace sumi::models
