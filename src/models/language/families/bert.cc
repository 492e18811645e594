// BERT (arXiv:1810.04805) and RoBERTa, XLM-R (arXiv:1911.02116) as encoders: norms after each
// branch, learned positions, every token sees all others. RoBERTa counts positions from its padding
// id on.
#include "models/language/families/families.h"

namespace sumi::models {

namespace {

DecoderSpec encoder_from_config(const Config& config) {
  DecoderSpec spec = common_spec(config);
  use_layer_norms(spec);
  spec.causal = spec.has_head = spec.final_norm = spec.tied_head = false;
  spec.norm_place = NormPlace::after;
  spec.embedding_norm = true;
  spec.norm_eps = static_cast<float>(config.get_float("layer_norm_eps", 1e-12));
  spec.activation = config.get_activation("hidden_act", "gelu");
  spec.positions = Positions::learned;
  if (config.get_string("position_embedding_type", "absolute") != "absolute")
    fail("{}: position_embedding_type: expected absolute", config.file());
  spec.token_types = config.get_int("type_vocab_size", 2);
  spec.qkv_bias = spec.attention_output_bias = spec.mlp_bias = true;
  spec.unused_weights = {"pooler.", "cls.", "lm_head.", "embeddings.position_ids", "classifier."};
  return spec;
}

DecoderSpec roberta_from_config(const Config& config) {
  DecoderSpec spec = encoder_from_config(config);
  spec.position_offset = config.get_int("pad_token_id", 1) + 1;
  if (spec.position_offset < 0 || spec.position_offset >= spec.max_positions)
    fail("{}: pad_token_id: expected 0 to {}, found {}", config.file(), spec.max_positions - 2,
         spec.position_offset - 1);
  spec.max_positions -= spec.position_offset;
  return spec;
}

WeightTable bert_weights() {
  return {
      {Slot::token_embedding, "bert.embeddings.word_embeddings", nullptr},
      {Slot::position_embedding, "bert.embeddings.position_embeddings", nullptr},
      {Slot::token_type_embedding, "bert.embeddings.token_type_embeddings", nullptr},
      {Slot::embedding_norm, "bert.embeddings.LayerNorm", nullptr},
      {Slot::query, "bert.encoder.layer.{}.attention.self.query", nullptr},
      {Slot::key, "bert.encoder.layer.{}.attention.self.key", nullptr},
      {Slot::value, "bert.encoder.layer.{}.attention.self.value", nullptr},
      {Slot::attention_output, "bert.encoder.layer.{}.attention.output.dense", nullptr},
      {Slot::attention_norm, "bert.encoder.layer.{}.attention.output.LayerNorm", nullptr},
      {Slot::up, "bert.encoder.layer.{}.intermediate.dense", nullptr},
      {Slot::down, "bert.encoder.layer.{}.output.dense", nullptr},
      {Slot::mlp_norm, "bert.encoder.layer.{}.output.LayerNorm", nullptr},
  };
}

WeightTable roberta_weights() {
  return {
      {Slot::token_embedding, "roberta.embeddings.word_embeddings", nullptr},
      {Slot::position_embedding, "roberta.embeddings.position_embeddings", nullptr},
      {Slot::token_type_embedding, "roberta.embeddings.token_type_embeddings", nullptr},
      {Slot::embedding_norm, "roberta.embeddings.LayerNorm", nullptr},
      {Slot::query, "roberta.encoder.layer.{}.attention.self.query", nullptr},
      {Slot::key, "roberta.encoder.layer.{}.attention.self.key", nullptr},
      {Slot::value, "roberta.encoder.layer.{}.attention.self.value", nullptr},
      {Slot::attention_output, "roberta.encoder.layer.{}.attention.output.dense", nullptr},
      {Slot::attention_norm, "roberta.encoder.layer.{}.attention.output.LayerNorm", nullptr},
      {Slot::up, "roberta.encoder.layer.{}.intermediate.dense", nullptr},
      {Slot::down, "roberta.encoder.layer.{}.output.dense", nullptr},
      {Slot::mlp_norm, "roberta.encoder.layer.{}.output.LayerNorm", nullptr},
  };
}

}  // namespace

Family bert_family() {
  return {
      "bert", {"BertModel", "BertForMaskedLM"}, {"bert"}, {}, bert_weights(), encoder_from_config,
      nullptr};
}

Family roberta_family() {
  return {"roberta",
          {"RobertaModel", "RobertaForMaskedLM", "XLMRobertaModel", "XLMRobertaForMaskedLM",
           "CamembertModel"},
          {"roberta", "xlm-roberta", "camembert"},
          {},
          roberta_weights(),
          roberta_from_config,
          nullptr};
}

}  // namespace sumi::models
