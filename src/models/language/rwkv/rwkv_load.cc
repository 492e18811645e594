// Loading an RWKV-4: the names of Hugging Face's checkpoints and of the author's.
#include <cmath>

#include "base/error.h"
#include "models/language/rwkv/rwkv.h"

namespace sumi::models {

namespace {

void replace(std::string& text, std::string_view from, std::string_view to) {
  const size_t at = text.find(from);
  if (at != std::string::npos) text.replace(at, from.size(), to);
}

// The author's name for a Hugging Face one.
std::string original_name(std::string name) {
  replace(name, "rwkv.", "");
  replace(name, "embeddings", "emb");
  replace(name, ".pre_ln", ".ln0");
  replace(name, ".attention.", ".att.");
  replace(name, ".feed_forward.", ".ffn.");
  replace(name, "time_mix_key", "time_mix_k");
  replace(name, "time_mix_value", "time_mix_v");
  replace(name, "time_mix_receptance", "time_mix_r");
  return name;
}

nn::WeightName named(const RwkvSpec& spec, const std::string& name) {
  return {spec.original_names ? original_name(name) : name, name, false, {}};
}

std::string block(int64_t index, const char* part) {
  return fmt::format("rwkv.blocks.{}.{}", index, part);
}

std::vector<std::string> expected_names(const RwkvSpec& spec) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) { names.push_back(named(spec, name).file); };
  const auto add_norm = [&](const std::string& name) {
    add(name + ".weight");
    add(name + ".bias");
  };
  add("rwkv.embeddings.weight");
  add_norm(block(0, "pre_ln"));
  for (int64_t i = 0; i < spec.num_layers; ++i) {
    add_norm(block(i, "ln1"));
    add_norm(block(i, "ln2"));
    for (const char* part : {"time_decay", "time_first", "time_mix_key", "time_mix_value",
                             "time_mix_receptance", "key.weight", "value.weight",
                             "receptance.weight", "output.weight"})
      add(block(i, "attention.") + part);
    for (const char* part : {"time_mix_key", "time_mix_receptance", "key.weight",
                             "receptance.weight", "value.weight"})
      add(block(i, "feed_forward.") + part);
  }
  add_norm("rwkv.ln_out");
  if (!spec.tied_head) add("head.weight");
  return names;
}

}  // namespace

void Rwkv::check_names(const RwkvSpec& spec, const formats::TensorSource& source) {
  nn::check_names(source, expected_names(spec), [&](const std::string& name) {
    return spec.tied_head && name == "head.weight";  // a copy of the embedding
  });
}

Rwkv::Rwkv(RwkvSpec spec, const formats::TensorSource& source, const nn::LoadOptions& options)
    : spec_(spec) {
  check_names(spec_, source);
  nn::WeightLoader loader(source, options);
  load(loader, options.trainable);
  parameters_ = loader.parameters();
  weight_bytes_ = loader.memory_bytes();
  if (options.progress) options.progress(1.0);
}

void Rwkv::load(nn::WeightLoader& loader, bool trainable) {
  // Halving the hidden state before a norm is the same as four times its epsilon. transformers does
  // it for inference alone.
  const auto eps_after = [&](int64_t layers, float eps) {
    if (trainable || spec_.rescale_every == 0) return eps;
    return static_cast<float>(eps * std::pow(4.0, layers / spec_.rescale_every));
  };
  const auto norm = [&](const std::string& name, float eps) {
    return loader.norm(named(spec_, name), nn::NormKind::layer, spec_.hidden_size, true, eps);
  };
  embedding_ =
      loader.embedding(named(spec_, "rwkv.embeddings"), spec_.vocab_size, spec_.hidden_size);
  embedding_norm_ = norm(block(0, "pre_ln"), spec_.norm_eps);
  for (int64_t i = 0; i < spec_.num_layers; ++i)
    layers_.push_back(load_layer(loader, i, eps_after(i, spec_.norm_eps)));
  final_norm_ = norm("rwkv.ln_out", eps_after(spec_.num_layers, 1e-5f));
  head_ = spec_.tied_head ? loader.tied(named(spec_, "rwkv.embeddings"), embedding_)
                          : loader.linear({named(spec_, "head")}, {spec_.vocab_size},
                                          spec_.hidden_size, false);
}

Rwkv::Layer Rwkv::load_layer(nn::WeightLoader& loader, int64_t index, float eps) {
  const int64_t c = spec_.hidden_size, a = spec_.attention_size, f = spec_.intermediate_size;
  const auto norm = [&](const char* name) {
    return loader.norm(named(spec_, block(index, name)), nn::NormKind::layer, c, true, eps);
  };
  const auto linear = [&](const std::string& name, int64_t n, int64_t k) {
    return loader.linear({named(spec_, block(index, name.c_str()))}, {n}, k, false);
  };
  const auto vector = [&](const char* name, const Shape& shape) {
    vectors_.push_back(loader.values(named(spec_, block(index, name)), shape));
    return vectors_.back();
  };
  // In the order in which a token reads them.
  Layer layer;
  TimeMixing& time = layer.time;
  time.norm = norm("ln1");
  time.mix_key = vector("attention.time_mix_key", {1, 1, c});
  time.mix_value = vector("attention.time_mix_value", {1, 1, c});
  time.mix_receptance = vector("attention.time_mix_receptance", {1, 1, c});
  time.decay = vector("attention.time_decay", {a});
  time.first = vector("attention.time_first", {a});
  time.key = linear("attention.key", a, c);
  time.value = linear("attention.value", a, c);
  time.receptance = linear("attention.receptance", a, c);
  time.output = linear("attention.output", c, a);
  ChannelMixing& channel = layer.channel;
  channel.norm = norm("ln2");
  channel.mix_key = vector("feed_forward.time_mix_key", {1, 1, c});
  channel.mix_receptance = vector("feed_forward.time_mix_receptance", {1, 1, c});
  channel.key = linear("feed_forward.key", f, c);
  channel.receptance = linear("feed_forward.receptance", c, c);
  channel.value = linear("feed_forward.value", c, f);
  return layer;
}

}  // namespace sumi::models
