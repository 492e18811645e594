// The text's stage of a picture: prompts to what the network attends to.
#include <algorithm>

#include "base/error.h"
#include "diffusion/layout.h"
#include "diffusion/pipeline.h"
#include "tensor/autograd.h"

namespace sumi::diffusion {

namespace {

struct EncodedPrompts {
  Tensor text, negative;
  PromptTokens text_tokens, negative_tokens;
};

// Both prompts through one encoder, in equally many chunks.
EncodedPrompts encode(const text::Tokenizer& tokenizer, const models::TextEncoder& encoder,
                      const PictureRequest& request, const Concepts& concepts, bool guided,
                      bool penultimate) {
  const int64_t most = tokenizer.max_length;
  const int64_t length =
      most > 0 ? std::min(most, encoder.max_positions()) : encoder.max_positions();
  const auto tokens = [&](const std::string& prompt, int64_t chunks) {
    return tokenize_prompt(tokenizer, prompt, length, encoder.vocab_size(), chunks, concepts);
  };
  EncodedPrompts out;
  out.text_tokens = tokens(request.prompt, 1);
  if (guided) {
    out.negative_tokens = tokens(request.negative_prompt, out.text_tokens.chunks);
    if (out.negative_tokens.chunks > out.text_tokens.chunks)
      out.text_tokens = tokens(request.prompt, out.negative_tokens.chunks);
  }
  if (guided && request.clip_skip == 0) {
    const std::vector<Tensor> both = encode_prompts(encoder, {&out.text_tokens, &out.negative_tokens}, 0, penultimate);
    out.text = both[0];
    out.negative = both[1];
    return out;
  }
  out.text = encode_prompt(encoder, out.text_tokens, request.clip_skip, penultimate);
  if (guided) out.negative = encode_prompt(encoder, out.negative_tokens, 0, penultimate);
  return out;
}

// Stable Diffusion XL: the states of two encoders side by side, and the second one's whole text.
TextStates encode_with_two(PictureModel& model, const PictureRequest& request, bool guided) {
  if (!model.concepts().empty())
    fail("--embedding: not with a model that has two text encoders");
  const EncodedPrompts one =
      encode(model.tokenizer(), model.text_encoder(), request, {}, guided, true);
  const EncodedPrompts two =
      encode(model.tokenizer_2(), model.text_encoder_2(), request, {}, guided, true);
  if (one.text.size(1) != two.text.size(1))
    fail("prompt: {} tokens of one text encoder, {} of the other", one.text.size(1),
         two.text.size(1));
  TextStates states;
  states.text = concat_channels({one.text, two.text});
  states.pooled = pooled_prompt(model.text_encoder_2(), two.text_tokens);
  if (!guided) return states;
  if (request.negative_prompt.empty() && model.empty_is_zero()) {
    states.negative = Tensor::zeros(states.text.shape());
    states.negative_pooled = Tensor::zeros(states.pooled.shape());
  } else {
    states.negative = concat_channels({one.negative, two.negative});
    states.negative_pooled = pooled_prompt(model.text_encoder_2(), two.negative_tokens);
  }
  return states;
}

}  // namespace

TextStates encode_text(PictureModel& model, const PictureRequest& request) {
  const tensor::NoGrad no_grad;
  // A network that was taught guidance (LCM) is told the scale and computes no second half.
  const bool guided =
      request.guidance_scale > 1 && model.unet_config().time_condition_dim == 0;
  TextStates states;
  if (model.has_text_encoder_2()) {
    states = encode_with_two(model, request, guided);
  } else {
    const EncodedPrompts one = encode(model.tokenizer(), model.text_encoder(), request,
                                      model.concepts(), guided, false);
    states.text = one.text;
    states.negative = one.negative;
  }
  model.text_done();
  return states;
}

}  // namespace sumi::diffusion
