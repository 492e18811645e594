// OPT (arXiv:2205.01068) and Galactica (arXiv:2211.09085): GPT-3 with ReLU. The 350M alone norms
// after each branch and has an embedding narrower than its layers; Galactica has neither biases nor
// norms' weights.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

constexpr int64_t kPositionOffset = 2;  // the table begins with rows of padding ids of fairseq

DecoderSpec from_config(const Config& config) {
  DecoderSpec spec;
  spec.vocab_size = config.get_int("vocab_size");
  spec.hidden_size = config.get_int("hidden_size");
  spec.embedding_size = config.get_int("word_embed_proj_dim", spec.hidden_size);
  spec.intermediate_size = config.get_int("ffn_dim");
  spec.num_layers = config.get_int("num_hidden_layers");
  spec.num_heads = spec.num_kv_heads = config.get_int("num_attention_heads");
  spec.head_dim = default_head_dim(spec, config.file());
  spec.max_positions = config.get_int("max_position_embeddings", 2048);
  spec.positions = Positions::learned;
  spec.position_offset = kPositionOffset;
  use_layer_norms(spec);
  const bool norm_before = config.get_bool("do_layer_norm_before", true);
  spec.norm_place = norm_before ? NormPlace::before : NormPlace::after;
  spec.final_norm = norm_before && !config.get_bool("_remove_final_layer_norm", false);
  spec.norm_weight = spec.norm_bias = config.get_bool("layer_norm_elementwise_affine", true);
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = config.get_bool("enable_bias", true);
  spec.activation = config.get_activation("activation_function", "relu");
  spec.tied_head = config.get_bool("tie_word_embeddings", true);
  return spec;
}

}  // namespace

Family opt_family() {
  const WeightTable weights = {
      {Slot::token_embedding, "model.decoder.embed_tokens", nullptr},
      {Slot::embedding_projection, "model.decoder.project_in", nullptr},
      {Slot::position_embedding, "model.decoder.embed_positions", nullptr},
      {Slot::attention_norm, "model.decoder.layers.{}.self_attn_layer_norm", nullptr},
      {Slot::query, "model.decoder.layers.{}.self_attn.q_proj", nullptr},
      {Slot::key, "model.decoder.layers.{}.self_attn.k_proj", nullptr},
      {Slot::value, "model.decoder.layers.{}.self_attn.v_proj", nullptr},
      {Slot::attention_output, "model.decoder.layers.{}.self_attn.out_proj", nullptr},
      {Slot::mlp_norm, "model.decoder.layers.{}.final_layer_norm", nullptr},
      {Slot::up, "model.decoder.layers.{}.fc1", nullptr},
      {Slot::down, "model.decoder.layers.{}.fc2", nullptr},
      {Slot::final_norm, "model.decoder.final_layer_norm", nullptr},
      {Slot::head_projection, "model.decoder.project_out", nullptr},
      {Slot::head, "lm_head", nullptr},
  };
  return {"opt", {"OPTForCausalLM"}, {"opt"}, {}, weights, from_config, nullptr};
}

}  // namespace sumi::models
