// RWKV-4 (arXiv:2305.13048; transformers' modeling_rwkv.py is the numerical reference): a recurrent
// network that is trained like a transformer. Each layer has a time mixing, where a weighted,
// fading average over the past (ops/wkv.h) stands in attention's place, and a channel mixing. All
// it keeps of a text are five vectors per layer, however long the text.
#pragma once

#include <limits>
#include <vector>

#include "models/language/language_model.h"
#include "models/language/rwkv/rwkv_spec.h"
#include "nn/weight_loader.h"
#include "ops/wkv.h"

namespace sumi::models {

class RwkvState : public DecodeState {
 public:
  explicit RwkvState(const RwkvSpec& spec);

  int64_t length() const override { return length_; }
  void truncate(int64_t length) override;
  bool can_truncate() const override { return false; }
  size_t bytes() const override;
  std::unique_ptr<DecodeState> clone() const override;

 private:
  friend class Rwkv;
  struct Layer {
    // The last input of each mixing: [1, C].
    Tensor attention_previous, feed_forward_previous;
    ops::WkvState wkv;  // [A]
  };
  // All tensors of a state, per layer, under the names they have in files.
  std::vector<std::pair<const char*, Tensor>> tensors(size_t layer) const;

  std::vector<Layer> layers_;
  int64_t length_ = 0;
  bool complete_ = true;  // false: a call failed half-way
};

class Rwkv : public LanguageModel {
 public:
  // Checks every name and shape, then loads.
  Rwkv(RwkvSpec spec, const formats::TensorSource& source, const nn::LoadOptions& options);

  static void check_names(const RwkvSpec& spec, const formats::TensorSource& source);

  static constexpr int64_t kMaxPositions = std::numeric_limits<int32_t>::max();

  const RwkvSpec& spec() const { return spec_; }

  std::unique_ptr<DecodeState> new_state() const override;
  Tensor forward(std::span<const int32_t> ids, DecodeState& state, LogitsFor logits) const override;
  Tensor forward(const Tensor& ids) const override;
  Tensor hidden_states(const Tensor& ids) const override;

  std::vector<std::pair<std::string, Tensor>> state_tensors(
      const DecodeState& state) const override;
  std::unique_ptr<DecodeState> state_from(const formats::TensorSource& tensors,
                                          int64_t length) const override;
  std::string model_identity() const override;

  std::vector<std::pair<std::string, Tensor>> parameters() const override {
    return parameters_.all();
  }
  int64_t vocab_size() const override { return spec_.vocab_size; }
  int64_t max_positions() const override { return kMaxPositions; }  // no end to what it can read
  size_t weight_bytes() const override { return weight_bytes_; }
  size_t bytes_read_per_token() const override { return weight_bytes_; }

 private:
  struct TimeMixing {
    nn::Norm norm;
    Tensor mix_key, mix_value, mix_receptance;  // [1, 1, C]: the share of the present step
    Tensor decay, first;                        // [A]
    nn::Linear key, value, receptance;          // [C] -> [A]
    nn::Linear output;                          // [A] -> [C]
  };
  struct ChannelMixing {
    nn::Norm norm;
    Tensor mix_key, mix_receptance;
    nn::Linear key;         // [C] -> [F]
    nn::Linear receptance;  // [C] -> [C]
    nn::Linear value;       // [F] -> [C]
  };
  struct Layer {
    TimeMixing time;
    ChannelMixing channel;
  };

  void load(nn::WeightLoader& loader, bool trainable);
  Layer load_layer(nn::WeightLoader& loader, int64_t index, float eps);

  // x [B, T, C] -> [B, T, C]; a state (of one sequence) goes on from where it was.
  Tensor time_mixing(const TimeMixing& layer, const Tensor& x, RwkvState::Layer* state) const;
  Tensor channel_mixing(const ChannelMixing& layer, const Tensor& x, RwkvState::Layer* state) const;
  Tensor hidden(const Tensor& ids, RwkvState* state) const;  // after the last layer
  void check_ids(std::span<const int32_t> ids) const;
  void check_batch(const Tensor& ids) const;

  RwkvSpec spec_;
  nn::Embedding embedding_;
  nn::Norm embedding_norm_, final_norm_;
  std::vector<Layer> layers_;
  nn::Linear head_;
  nn::Parameters parameters_;
  std::vector<Tensor> vectors_;  // mixes and decays: what model_identity() reads
  size_t weight_bytes_ = 0;
};

}  // namespace sumi::models
