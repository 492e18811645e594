// CLIP's text encoder (arXiv:2103.00020; transformers' modeling_clip.py is the numerical
// reference): a causal pre-norm transformer with learned positions, thus a Decoder without a head.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "models/language/config.h"
#include "models/language/decoder.h"

namespace sumi::models {

class ClipText {
 public:
  // Reads a folder with config.json and weights, as text_encoder/ of a diffusers folder is.
  // Architectures CLIPTextModel and CLIPTextModelWithProjection. Throws Error naming file and field
  // or tensor.
  static ClipText open(const std::string& folder, const nn::LoadOptions& options);

  // From tensors elsewhere, under the names of a Hugging Face file ("text_model." may be left out).
  ClipText(const Config& config, const formats::TensorSource& source,
           const nn::LoadOptions& options);

  // Throws Error naming file and field if Sumi cannot run the encoder.
  static void check(const Config& config);

  int64_t hidden_size() const { return decoder_->spec().hidden_size; }
  int64_t num_layers() const { return decoder_->spec().num_layers; }
  int64_t max_positions() const { return decoder_->spec().max_positions; }
  int64_t vocab_size() const { return decoder_->spec().vocab_size; }

  // ids [B, T] i32 -> [B, T, C]: the states after all layers but the last `clip_skip`, then the
  // final norm (diffusers' clip_skip; 0 is transformers' last_hidden_state). Differentiable.
  // Throws Error unless 0 <= clip_skip < num_layers.
  Tensor hidden_states(const Tensor& ids, int64_t clip_skip = 0) const;

  // The same from embeddings of tokens [B, T, C], which textual inversion changes.
  Tensor hidden_states_of(const Tensor& embeddings, int64_t clip_skip = 0) const;
  // Without the final norm: what Stable Diffusion XL sees, with one layer more left out.
  Tensor layer_states(const Tensor& embeddings, int64_t left_out) const;
  Tensor token_embeddings(const Tensor& ids) const { return decoder_->token_embeddings(ids); }

  // hidden_states() [B, T, C] -> [B, C]: the row of each text's end, or with a projection [B, P].
  Tensor pooled(const Tensor& ids, const Tensor& hidden_states) const;
  bool has_projection() const { return projection_.defined(); }

  std::vector<std::pair<std::string, Tensor>> parameters() const { return parameters_.all(); }
  size_t weight_bytes() const { return weight_bytes_; }

 private:
  void check_skip(int64_t clip_skip, int64_t most) const;

  std::unique_ptr<Decoder> decoder_;
  nn::Linear projection_;  // [C] -> [P], or undefined
  int64_t eos_id_ = 0;     // 2: the end is the largest id (files older than transformers 4.31)
  nn::Parameters parameters_;
  size_t weight_bytes_ = 0;
};

}  // namespace sumi::models
