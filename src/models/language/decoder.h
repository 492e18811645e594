// The decoder-only transformer, driven by a DecoderSpec: one definition for running and for
// training.
#pragma once

#include <vector>

#include "models/language/language_model.h"
#include "models/language/weight_names.h"
#include "nn/weight_loader.h"
#include "ops/cached_attention.h"

namespace sumi::models {

// The prompt's first part, of a model with DecoderSpec::has_prefix.
struct Prefix {
  int64_t length = 0;  // 0: none
  int64_t mask = 0;    // where mask_id stands in it
};

// Where padding begins in texts of equal length, of an encoder.
struct Padding {
  int64_t begin = 0;  // 0: there is none
  bool seen = true;   // tokens attend to it
};

// Keys and values of one sequence, one cache per layer, with elements of that type.
class DecoderState : public DecodeState {
 public:
  DecoderState(const DecoderSpec& spec, DType dtype);

  int64_t length() const override { return length_; }
  // The tokens of a prefix go together: all stay or none.
  void truncate(int64_t length) override;
  size_t bytes() const override;
  std::unique_ptr<DecodeState> clone() const override {
    return std::make_unique<DecoderState>(*this);
  }

 private:
  friend class Decoder;
  std::vector<ops::KvCache> caches_;
  int64_t length_ = 0;
  Prefix prefix_;
};

class Decoder : public LanguageModel {
 public:
  // Checks the spec and every name and shape, then loads. `gguf`: names as in GGUF files.
  Decoder(DecoderSpec spec, const WeightTable& table, const formats::TensorSource& source,
          bool gguf, const nn::LoadOptions& options);

  // Throws Error naming the tensors that a checkpoint lacks, or has beyond what the spec calls for.
  static void check_names(const DecoderSpec& spec, const WeightTable& table,
                          const formats::TensorSource& source, bool gguf);

  const DecoderSpec& spec() const { return spec_; }

  std::unique_ptr<DecodeState> new_state() const override;

  // A model with a prefix reads it at once, like an encoder's text: mask_id must be in it, start_id
  // may end it. Without encode(), the first ids that a state sees must hold both.
  bool has_encoder() const override { return spec_.has_prefix; }
  std::unique_ptr<DecodeState> encode(std::span<const int32_t> ids) const override;
  std::vector<int32_t> decoder_start() const override { return {spec_.start_id}; }

  // With dynamic and LongRoPE scaling alone the result does depend on the cuts once the sequence
  // outgrows the original context: the frequencies are those of the length that the call reaches,
  // and keys of earlier calls keep theirs. That is transformers' behaviour with a cache.
  Tensor forward(std::span<const int32_t> ids, DecodeState& state, LogitsFor logits) const override;
  Tensor forward(const Tensor& ids) const override;
  Tensor loss(const TextBatch& batch, bool checkpoint_blocks) const override;
  Tensor hidden_states(const Tensor& ids) const override;
  // ids [B, T] i32 -> [B, T, C], the embedding of the tokens alone.
  Tensor token_embeddings(const Tensor& ids) const;
  // Such embeddings [B, T, C] -> [B, T, C] after the first `layers` layers and the final norm.
  // Padding of a model that counts positions from its padding id on (RoBERTa) has that position.
  Tensor hidden_states_of(const Tensor& embeddings, int64_t layers,
                          const Padding& padding = {}) const;
  // The same before the final norm.
  Tensor layer_states(const Tensor& embeddings, int64_t layers, const Padding& padding = {}) const;
  bool continues_text() const override { return spec_.causal; }

  // A weight that the file keeps as [in, out] is here [out, in], and interleaved or permuted rows
  // are in the decoder's order.
  std::vector<std::pair<std::string, Tensor>> parameters() const override {
    return parameters_.all();
  }
  std::vector<std::pair<std::string, Tensor>> exported_parameters() const override {
    return parameters_.exported();
  }

  int64_t vocab_size() const override { return spec_.vocab_size; }
  int64_t max_positions() const override { return spec_.max_positions; }
  // Without the embedding's table, unless trainable: it stays in the mapped file.
  size_t weight_bytes() const override { return weight_bytes_; }
  size_t bytes_read_per_token() const override { return weight_bytes_; }

 private:
  struct Layer {
    nn::Norm attention_norm, attention_post_norm, query_norm, key_norm, mlp_norm, mlp_post_norm;
    nn::Linear query_key_value;   // [C] -> [(H + 2 Hkv) D]
    nn::Linear attention_output;  // [H D] -> [C]
    nn::Linear up;                // [C] -> [F], or gate and up side by side [2F]
    nn::Linear down;              // [F] -> [C]
    ops::AttentionOptions attention;
    bool rotates = false;  // queries and keys turn by their positions
  };
  // What one call means to every layer.
  struct Step {
    int64_t begin = 0;     // position of the first token
    Tensor positions;      // [T] i32, or [B, T]
    Tensor second_places;  // [T] i32: positions after the prefix, if there is one
    Prefix prefix;
    Tensor first_keys;     // [B, T] i32, or undefined (AttentionOptions)
    int64_t seen = 0;      // of an encoder: only keys before this one; 0: all
    bool checkpoint = false;  // blocks are computed again for the backward
    ops::RopeFrequencies frequencies,
        local_frequencies;          // of this call; local: of layers with a window, or empty
    DecoderState* state = nullptr;  // null: no cache, all positions at once
  };

  void load(const WeightNames& names, nn::WeightLoader& loader);
  Layer load_layer(const WeightNames& names, nn::WeightLoader& loader, int64_t index) const;
  nn::Norm load_norm(const WeightNames& names, nn::WeightLoader& loader, Slot slot,
                     int64_t layer = 0) const;

  Tensor hidden_of(const Tensor& ids) const;  // checks ids [B, T], no cache
  Tensor process(std::span<const int32_t> ids, DecoderState& state, LogitsFor logits) const;
  DType cache_dtype() const;  // bf16 where products round their operands anyhow and tiles multiply bf16
  Prefix prefix_of(std::span<const int32_t> ids) const;
  Prefix shared_prefix(const Tensor& ids) const;  // of all rows of ids [B, T]
  // Positions [begin, begin + count) of a sequence that this call makes `total` long.
  Step step_for(int64_t begin, int64_t count, int64_t total, const Prefix& prefix) const;
  // Embeddings of tokens [B, T, E] -> hidden states [B, T, C] after the first `layers` layers,
  // before the final norm.
  Tensor hidden(Tensor x, const Step& step, int64_t layers) const;
  Tensor block(size_t index, const Tensor& x, const Step& step) const;
  Tensor attention(size_t index, const Tensor& x, const Step& step) const;
  Tensor rotated(const Layer& layer, const Tensor& x, const Step& step) const;
  Tensor mlp(const Layer& layer, const Tensor& x) const;
  Tensor branch(const Tensor& x, const Tensor& output) const;  // x + residual_scale * output
  Tensor logits_of(const Tensor& hidden) const;                // [..., C] -> [..., V]
  Tensor head_input(const Tensor& hidden) const;  // final norm, projection
  Tensor logits_with(const nn::Linear& head, const Tensor& x) const;
  void check_ids(std::span<const int32_t> ids, int64_t length, const Prefix& prefix) const;

  DecoderSpec spec_;
  nn::Embedding embedding_, position_embedding_, token_type_embedding_;
  nn::Norm embedding_norm_, final_norm_;
  std::vector<Layer> layers_;
  nn::Linear embedding_projection_, head_projection_, head_;
  ops::RopeFrequencies frequencies_, local_frequencies_;  // unless they depend on the length
  nn::Parameters parameters_;
  size_t weight_bytes_ = 0;
};

}  // namespace sumi::models
