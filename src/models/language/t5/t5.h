// T5: an encoder that reads a text at once, and a decoder that writes another, attending to the
// first (arXiv:1910.10683; transformers' modeling_t5.py is the numerical reference). Pre-norm
// blocks with RMS norms, no biases, no scaling of scores; positions enter by biases of the scores,
// one per head and bucket of distances.
#pragma once

#include <vector>

#include "models/language/language_model.h"
#include "models/language/t5/t5_spec.h"
#include "nn/embedding.h"
#include "nn/weight_loader.h"
#include "ops/cached_attention.h"

namespace sumi::models {

// What the decoder remembers: keys and values of the text read, and of the text written so far.
class T5State : public DecodeState {
 public:
  T5State(const T5Spec& spec, DType dtype);  // of the elements

  int64_t length() const override { return length_; }
  void truncate(int64_t length) override;  // of the text written
  size_t bytes() const override;
  std::unique_ptr<DecodeState> clone() const override { return std::make_unique<T5State>(*this); }

 private:
  friend class T5;
  std::vector<ops::KvCache> read_, written_;  // per decoder layer
  std::vector<Tensor> biases_;  // [H, 2R - 1] per layer that has its own; made again when outgrown
  int64_t length_ = 0;
};

class T5 : public LanguageModel {
 public:
  // Checks every name and shape, then loads. `gguf`: names as in GGUF files.
  T5(T5Spec spec, const formats::TensorSource& source, bool gguf, const nn::LoadOptions& options);

  // Throws Error naming the tensors that a checkpoint lacks, or has beyond what the spec calls for.
  static void check_names(const T5Spec& spec, const formats::TensorSource& source, bool gguf);

  // Biases by distance have no end; this bounds memory.
  static constexpr int64_t kMaxPositions = int64_t{1} << 17;

  const T5Spec& spec() const { return spec_; }

  // ids [B, S] i32 -> [B, S, C], the encoder's output. Differentiable.
  Tensor encoded(const Tensor& ids) const;
  // source [B, S], target [B, T] i32 (which begins with start_id) -> logits [B, T, V].
  // Differentiable.
  Tensor forward(const Tensor& source, const Tensor& target) const;

  Tensor hidden_states(const Tensor& ids) const override { return encoded(ids); }
  bool continues_text() const override { return spec_.decoder_layers > 0; }
  bool has_encoder() const override { return true; }
  std::unique_ptr<DecodeState> encode(std::span<const int32_t> ids) const override;
  std::vector<int32_t> decoder_start() const override { return {spec_.start_id}; }

  // A state without a text read: forward() refuses it.
  std::unique_ptr<DecodeState> new_state() const override;
  Tensor forward(std::span<const int32_t> ids, DecodeState& state, LogitsFor logits) const override;
  Tensor forward(const Tensor& ids) const override;  // throws Error: two texts are needed

  std::vector<std::pair<std::string, Tensor>> parameters() const override {
    return parameters_.all();
  }
  int64_t vocab_size() const override { return spec_.vocab_size; }
  int64_t max_positions() const override { return kMaxPositions; }
  size_t weight_bytes() const override { return weight_bytes_; }
  size_t bytes_read_per_token() const override { return decoder_bytes_; }

 private:
  struct Mlp {
    nn::Norm norm;
    nn::Linear up, down;  // up: gate and up side by side if gated
  };
  struct SelfAttention {
    nn::Norm norm;
    nn::Linear query_key_value, output;
    nn::Embedding bias;  // [buckets, H]; undefined: the first layer's
  };
  struct CrossAttention {
    nn::Norm norm;
    nn::Linear query, key_value, output;
  };
  struct EncoderLayer {
    SelfAttention self;
    Mlp mlp;
  };
  struct DecoderLayer {
    SelfAttention self;
    CrossAttention cross;
    Mlp mlp;
  };

  // One head of `joined` [B, T, n H D]: heads [first, first + H) -> [B, T, H, D].
  Tensor heads(const Tensor& joined, int64_t index) const;
  Tensor joined(const Tensor& heads) const;
  DType cache_dtype() const;  // as a decoder's (language/decoder.h)
  Tensor self_attention(const SelfAttention& layer, const Tensor& x, const Tensor& bias,
                        bool causal) const;
  Tensor mlp(const Mlp& layer, const Tensor& x) const;
  Tensor logits_of(const Tensor& x) const;
  void check_ids(std::span<const int32_t> ids) const;

  nn::WeightName named(const std::string& name) const;  // by its name in Hugging Face's checkpoints
  SelfAttention load_self(nn::WeightLoader& loader, const std::string& block, bool bias) const;
  Mlp load_mlp(nn::WeightLoader& loader, const std::string& name) const;
  void load(nn::WeightLoader& loader, bool separate_head);

  T5Spec spec_;
  bool gguf_ = false;
  nn::Embedding embedding_;
  std::vector<EncoderLayer> encoder_;
  std::vector<DecoderLayer> decoder_;
  nn::Norm encoder_norm_, decoder_norm_;
  nn::Linear head_;
  nn::Parameters parameters_;
  size_t weight_bytes_ = 0, decoder_bytes_ = 0;
};

}  // namespace sumi::models
