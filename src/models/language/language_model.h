// What every language model offers, whatever its architecture.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "formats/tensor_source.h"
#include "tensor/tensor.h"

namespace sumi::models {

// What a model remembers of one sequence: key/value pages, or a recurrent state.
class DecodeState {
 public:
  virtual ~DecodeState() = default;
  virtual int64_t length() const = 0;  // tokens processed
  // Forgets all but the first `length` tokens. Throws Error if the state cannot go back that far.
  virtual void truncate(int64_t length) = 0;
  // False for a recurrent state: truncate() then takes length() and 0 alone.
  virtual bool can_truncate() const { return true; }
  virtual size_t bytes() const = 0;
  // The same sequence, to be continued in another way. Cheap: what both hold is shared until one
  // writes to it.
  virtual std::unique_ptr<DecodeState> clone() const = 0;
};

// Texts to learn from, one after the other in rows.
struct TextBatch {
  Tensor ids;      // [B, T] i32
  Tensor targets;  // [B, T] i32: what each position must predict, or ops::kIgnoreIndex
  // Where a row holds several texts: each token's position in its own, and the row's index where
  // that begins, so that it sees no other. Undefined: a row is one text.
  Tensor positions = {}, first_keys = {};  // [B, T] i32
};

enum class LogitsFor { last, all, none };

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;

  virtual std::unique_ptr<DecodeState> new_state() const = 0;

  virtual bool continues_text() const { return true; }  // false: an encoder alone

  // Models with an encoder read a prompt at once; what they write begins with decoder_start() and
  // attends to it.
  virtual bool has_encoder() const { return false; }
  virtual std::unique_ptr<DecodeState> encode(
      std::span<const int32_t> ids) const;  // Error without an encoder
  virtual std::vector<int32_t> decoder_start() const { return {}; }

  // Appends ids (at least one) to the state: logits [1, V] of the last position, [n, V] of all, or
  // an undefined tensor. Bit-identical however the ids are cut into calls and whatever the number
  // of threads. Throws Error on an id outside the vocabulary or a length beyond max_positions().
  virtual Tensor forward(std::span<const int32_t> ids, DecodeState& state,
                         LogitsFor logits) const = 0;

  // ids [B, T] i32 -> logits [B, T, V], differentiable with respect to parameters().
  virtual Tensor forward(const Tensor& ids) const = 0;

  // Mean cross entropy over the targets that count -> [1], differentiable. With checkpoint_blocks
  // only what goes from layer to layer is kept; the rest is computed again for the backward. Throws
  // Error where an architecture cannot have several texts in a row, or checkpoints.
  virtual Tensor loss(const TextBatch& batch, bool checkpoint_blocks) const;

  // ids [B, T] i32 -> [B, T, C]: what the last layer (and its norm) gives; of an encoder-decoder
  // model, the encoder's.
  virtual Tensor hidden_states(const Tensor& ids) const;  // Error if the model has none to show

  // A state as named tensors and back, to be kept in a file. Error if the model's states cannot be,
  // or, naming the tensor, if `tensors` are not of such a state. model_identity() is the same for
  // models of the same weights, whatever they are stored as.
  virtual std::vector<std::pair<std::string, Tensor>> state_tensors(const DecodeState& state) const;
  virtual std::unique_ptr<DecodeState> state_from(const formats::TensorSource& tensors,
                                                  int64_t length) const;
  virtual std::string model_identity() const;

  // Dotted names as in Hugging Face checkpoints. Empty when the model was packed for inference.
  virtual std::vector<std::pair<std::string, Tensor>> parameters() const = 0;
  // The same, elements arranged as in those checkpoints.
  virtual std::vector<std::pair<std::string, Tensor>> exported_parameters() const {
    return parameters();
  }

  virtual int64_t vocab_size() const = 0;
  virtual int64_t max_positions() const = 0;        // the context the model was made for
  virtual size_t weight_bytes() const = 0;          // in memory, packed
  virtual size_t bytes_read_per_token() const = 0;  // weights that decoding one token reads
};

// A state that holds the prompt but for its last tokens, and these: what forward() needs for the
// first logits.
struct PromptState {
  std::unique_ptr<DecodeState> state;
  std::vector<int32_t> rest;
};
PromptState read_prompt(const LanguageModel& model, std::span<const int32_t> prompt_ids);

}  // namespace sumi::models
