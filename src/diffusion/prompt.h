// Prompts of picture models: weights, chunks of 77 tokens, embeddings learned by textual inversion.
//
// "(text:1.2)" weights a part; weights multiply when nested; "\(" and "\)" are plain parentheses.
// Anything else in a prompt is plain text, as in diffusers. A text of more than 75 tokens is cut
// into chunks of 75, each with a start and an end, which are encoded apart and laid one after the
// other. Weights multiply the encoder's output, which is then scaled so that its mean stays: the
// convention of the AUTOMATIC1111 web interface (its way of cutting before a comma left out).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "models/encoders/text_encoder.h"
#include "text/tokenizer.h"

namespace sumi::diffusion {

struct PromptPart {
  std::string text;
  float weight = 1;
};

// Throws Error on a weight outside [-16, 16].
std::vector<PromptPart> parse_weights(const std::string& prompt);

// Embeddings learned by textual inversion (arXiv:2208.01618) under the word that stands for them.
using Concepts = std::map<std::string, Tensor>;  // [vectors, C] f32

// Reads a .safetensors, .pt or .bin file: diffusers' {"<word>": vector} or the web interface's
// "emb_params", in .pt "*" (then, and only then, `word` must be given; otherwise it replaces the
// file's).
// Throws Error naming file and tensor.
void read_concept(const std::string& path, const std::string& word, int64_t hidden_size,
                  Concepts& concepts);

struct PromptTokens {
  int64_t chunks = 0;
  std::vector<int64_t> lengths;  // of each chunk, padding left out
  std::vector<int32_t> ids;    // [chunks * length]; -1 - i: vector i of `vectors`
  std::vector<float> weights;  // of each
  std::vector<Tensor> vectors;  // [C] each
  bool weighted = false;        // some weight is not 1
};

// At least `min_chunks` chunks of `length` tokens (77). Throws Error if the tokenizer lacks a start
// or end token, or an id is outside the encoder's vocabulary.
PromptTokens tokenize_prompt(const text::Tokenizer& tokenizer, const std::string& prompt,
                             int64_t length, int64_t vocab_size, int64_t min_chunks = 1,
                             const Concepts& concepts = {});

// A prompt as trainings take it: nothing in it is a weight, one chunk of `length` tokens, the rest of
// a longer text left out. Throws Error as tokenize_prompt().
PromptTokens plain_prompt(const text::Tokenizer& tokenizer, const std::string& prompt,
                          int64_t length, int64_t vocab_size);

// [1, chunks * length, the encoder's output_size].
// With `penultimate`, what Stable Diffusion XL sees.
Tensor encode_prompt(const models::TextEncoder& encoder, const PromptTokens& tokens,
                     int64_t clip_skip = 0, bool penultimate = false);
// The same of several prompts, in one batch where the encoder allows it: its weights are then read once.
std::vector<Tensor> encode_prompts(const models::TextEncoder& encoder, const std::vector<const PromptTokens*>& prompts,
                                   int64_t clip_skip = 0, bool penultimate = false);
// [1, P], of the first chunk.
Tensor pooled_prompt(const models::TextEncoder& encoder, const PromptTokens& tokens);

}  // namespace sumi::diffusion
