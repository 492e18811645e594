// Where a decoder's weights lie in a checkpoint: a family's table of names, and how the elements
// are arranged.
#pragma once

#include <string>
#include <vector>

#include "formats/tensor_source.h"
#include "models/language/decoder_spec.h"
#include "nn/weight_loader.h"

namespace sumi::models {

// The places a decoder has for weights. Those from attention_norm to mlp_post_norm are in every
// layer.
enum class Slot {
  token_embedding,
  embedding_projection,
  position_embedding,
  token_type_embedding,
  embedding_norm,
  attention_norm,
  query,
  key,
  value,
  key_value,  // key over value, where files keep the query apart from both
  query_key_value,
  query_norm,
  key_norm,
  attention_output,
  attention_post_norm,  // NormPlace::around: on the branch's output
  mlp_norm,
  gate,
  up,
  gate_up,
  down,
  mlp_post_norm,
  final_norm,
  head_projection,
  head,
};

// How a file arranges the rows [N] of a weight [N, K] and its bias; the decoder wants heads in
// order, query over key over value, gate over up, pairs of RoPE as halves.
enum class Layout {
  plain,
  transposed,         // [K, N]
  rotary_neighbours,  // in each head, element i of the first half is followed by element i of the
                      // second
  heads_interleaved,  // fused: for each key/value head its query heads, its key, its value
                      // (GPT-NeoX, BLOOM, Falcon)
  codegen_blocks,  // fused: in each of four blocks its share of the query heads, the value heads,
                   // the key heads
};

// "{}" stands for the layer's index; ".weight" and ".bias" are added. A family has either the three
// separate entries or the fused one, for query/key/value and for gate/up. Where a slot has several
// entries, the first that the file has counts.
struct WeightEntry {
  Slot slot;
  const char* hugging_face;
  const char*
      gguf;  // null if GGUF files keep it elsewhere (then an entry with a null hugging_face has it)
  Layout hugging_face_layout = Layout::plain;
  Layout gguf_layout = Layout::plain;
};
using WeightTable = std::vector<WeightEntry>;

// The table with this entry in place of the slot's own.
WeightTable with_entry(WeightTable table, const WeightEntry& entry);
// Without the slot's.
WeightTable without(WeightTable table, Slot slot);
// Slots that are in every layer.
bool per_layer(Slot slot);

class WeightNames {
 public:
  // gguf: names as in GGUF files. Otherwise, if the file lacks the table's prefix ("transformer.",
  // as files saved from a base model do), names in the file are without it.
  WeightNames(const WeightTable& table, const DecoderSpec& spec,
              const formats::TensorSource& source, bool gguf);

  bool has(Slot slot) const;
  // Throws Error if the table has no such slot.
  nn::WeightName get(Slot slot, int64_t layer = 0) const;
  // What names in the file begin with, e.g. "bert.", or "" if the file's are without.
  std::string prefix() const;
  // The entries that name the file's tensors, in the table's order.
  std::vector<const WeightEntry*> used() const;
  // Row i of what the decoder wants is row order[i] of a file with this layout; empty: the same.
  std::vector<int64_t> row_order(Slot slot, Layout layout) const;
  // Every tensor of the checkpoint that the spec calls for, by its name in the file.
  std::vector<std::string> expected() const;

 private:
  const WeightEntry* find(Slot slot) const;
  bool replaced(Slot slot) const;
  std::string file_name(const WeightEntry& entry, int64_t layer) const;

  const WeightTable& table_;
  const DecoderSpec& spec_;
  const formats::TensorSource& source_;
  bool gguf_;
  std::string stripped_prefix_;
};

}  // namespace sumi::models
