#include "models/language/t5/t5_names.h"

#include "base/error.h"

namespace sumi::models {

namespace {

std::string block_name(const char* stack, int64_t i) {
  return fmt::format("{}.block.{}", stack, i);
}

void add_attention(std::vector<std::string>& names, const std::string& layer, const char* kind,
                   bool bias) {
  names.push_back(layer + ".layer_norm");
  for (const char* part : {"q", "k", "v", "o"})
    names.push_back(fmt::format("{}.{}.{}", layer, kind, part));
  if (bias) names.push_back(fmt::format("{}.{}.relative_attention_bias", layer, kind));
}

void add_mlp(std::vector<std::string>& names, const std::string& layer, bool gated) {
  names.push_back(layer + ".layer_norm");
  const std::vector<const char*> parts =
      gated ? std::vector<const char*>{"wi_0", "wi_1", "wo"} : std::vector<const char*>{"wi", "wo"};
  for (const char* part : parts)
    names.push_back(fmt::format("{}.DenseReluDense.{}", layer, part));
}

struct NamePair {
  const char *hugging_face, *gguf;
};

constexpr NamePair kWhole[] = {{"shared", "token_embd"},
                               {"lm_head", "output"},
                               {"encoder.final_layer_norm", "enc.output_norm"},
                               {"decoder.final_layer_norm", "dec.output_norm"}};

constexpr NamePair kAttention[] = {{"layer_norm", "norm"},
                                   {"q", "q"},
                                   {"k", "k"},
                                   {"v", "v"},
                                   {"o", "o"},
                                   {"relative_attention_bias", "rel_b"}};

constexpr NamePair kMlp[] = {{"layer_norm", "norm"},
                             {"wi", "up"},
                             {"wi_0", "gate"},
                             {"wi_1", "up"},
                             {"wo", "down"}};

}  // namespace

std::string t5_gguf_name(const std::string& name) {
  for (const NamePair& pair : kWhole)
    if (name == pair.hugging_face) return pair.gguf;
  // <stack>.block.<i>.layer.<sublayer>[.<kind>].<part>
  const bool decoder = name.rfind("decoder.block.", 0) == 0;
  const size_t number = std::string("encoder.block.").size();
  const size_t layer = name.find(".layer.");
  const size_t last = name.rfind('.');
  if ((decoder || name.rfind("encoder.block.", 0) == 0) && layer != std::string::npos &&
      layer > number && layer + 8 <= last) {
    const char sublayer = name[layer + 7];
    const bool mlp = sublayer == (decoder ? '2' : '1');
    const std::string part = name.substr(last + 1);
    const std::string block =
        fmt::format("{}.blk.{}.", decoder ? "dec" : "enc", name.substr(number, layer - number));
    if (mlp) {
      for (const NamePair& pair : kMlp)
        if (part == pair.hugging_face) return block + "ffn_" + pair.gguf;
    } else {
      for (const NamePair& pair : kAttention)
        if (part == pair.hugging_face)
          return block + (sublayer == '1' ? "cross_attn_" : "attn_") + pair.gguf;
    }
  }
  fail("T5 has no tensor {}", name);
}

bool t5_has_head(const T5Spec& spec, const formats::TensorSource& source, bool gguf) {
  return spec.decoder_layers > 0 && !spec.tied_head &&
         source.has(gguf ? "output.weight" : "lm_head.weight");
}

std::vector<std::string> t5_tensor_names(const T5Spec& spec, bool head) {
  std::vector<std::string> names = {"shared"};
  for (int64_t i = 0; i < spec.encoder_layers; ++i) {
    const std::string block = block_name("encoder", i);
    add_attention(names, block + ".layer.0", "SelfAttention", spec.bias_per_layer || i == 0);
    add_mlp(names, block + ".layer.1", spec.gated_mlp);
  }
  names.push_back("encoder.final_layer_norm");
  for (int64_t i = 0; i < spec.decoder_layers; ++i) {
    const std::string block = block_name("decoder", i);
    add_attention(names, block + ".layer.0", "SelfAttention", spec.bias_per_layer || i == 0);
    add_attention(names, block + ".layer.1", "EncDecAttention", false);
    add_mlp(names, block + ".layer.2", spec.gated_mlp);
  }
  if (spec.decoder_layers > 0) names.push_back("decoder.final_layer_norm");
  if (head) names.push_back("lm_head");
  return names;
}

bool t5_ignores(const T5Spec& spec, const std::string& name, bool gguf) {
  const bool alone = spec.decoder_layers == 0;
  if (gguf)
    return name.find(".cross_attn_rel_b.") != std::string::npos ||
           (alone && name == "output.weight");
  return name == "encoder.embed_tokens.weight" || name == "decoder.embed_tokens.weight" ||
         name == "lm_head.weight" ||
         name == "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight" ||
         (alone && name.rfind("decoder.", 0) == 0);
}

}  // namespace sumi::models
