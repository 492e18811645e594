// The text encoders of picture models: CLIP, BERT (Taiyi), RoBERTa and XLM-R with or without what
// AltDiffusion adds to it.
#pragma once

#include <memory>

#include "models/language/config.h"
#include "nn/weight_loader.h"

namespace sumi::models {

class TextEncoder {
 public:
  virtual ~TextEncoder() = default;

  virtual int64_t hidden_size() const = 0;  // of tokens' embeddings
  virtual int64_t output_size() const = 0;  // of what pictures are made after
  virtual int64_t num_layers() const = 0;
  virtual int64_t max_positions() const = 0;
  virtual int64_t vocab_size() const = 0;

  // ids [B, T] i32 -> [B, T, hidden_size], which textual inversion changes.
  virtual Tensor token_embeddings(const Tensor& ids) const = 0;
  // Of such embeddings of texts whose first `text_length` tokens are not padding:
  // [B, T, output_size]. clip_skip leaves out the last layers (diffusers' option for CLIP). Throws Error if the encoder
  // has no such number of layers to leave out.
  virtual Tensor states(const Tensor& embeddings, int64_t text_length, int64_t clip_skip) const = 0;
  // Whether text_length makes a difference.
  virtual bool masks_padding() const = 0;

  // What Stable Diffusion XL sees: the states before the last layer, without the final norm; and
  // the whole text as one vector [B, P], projected. CLIP alone has them (Error).
  virtual Tensor penultimate_states(const Tensor& embeddings, int64_t clip_skip) const;
  virtual Tensor pooled(const Tensor& ids, const Tensor& embeddings) const;
};

// By config.json's "architectures". Throws Error naming file and field or tensor.
std::unique_ptr<TextEncoder> make_text_encoder(const Config& config,
                                               const formats::TensorSource& source,
                                               const nn::LoadOptions& options);
// Throws Error naming file and field if Sumi cannot run the encoder.
void check_text_encoder(const Config& config);

}  // namespace sumi::models
