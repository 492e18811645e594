#include "models/language/weight_names.h"

#include "base/error.h"

namespace sumi::models {

namespace {

std::string with_layer(const char* pattern, int64_t layer) {
  std::string name = pattern;
  const size_t at = name.find("{}");
  if (at != std::string::npos) name.replace(at, 2, std::to_string(layer));
  return name;
}

// What the decoder asks of a slot: nothing, a weight, or a weight and a bias.
struct Needed {
  bool weight = false, bias = false;
};

Needed needed(const DecoderSpec& spec, Slot slot) {
  const bool on_input = spec.norm_place != NormPlace::output;
  const bool on_output = !on_input || spec.norm_place == NormPlace::around;
  switch (slot) {
    case Slot::token_embedding:
      return {true, false};
    case Slot::embedding_projection:
    case Slot::head_projection:
      return {spec.projects_embedding(), false};
    case Slot::position_embedding:
      return {spec.positions == Positions::learned, false};
    case Slot::token_type_embedding:
      return {spec.token_types > 0, false};
    case Slot::embedding_norm:
      return {spec.embedding_norm && spec.norm_weight, spec.norm_bias};
    case Slot::attention_norm:
      return {on_input && spec.norm_weight, spec.norm_bias};
    case Slot::mlp_norm:
      return {on_input && !spec.one_norm && spec.norm_weight, spec.norm_bias};
    case Slot::attention_post_norm:
    case Slot::mlp_post_norm:
      return {on_output && spec.norm_weight, spec.norm_bias};
    case Slot::query:
    case Slot::key:
    case Slot::value:
    case Slot::key_value:
    case Slot::query_key_value:
      return {true, spec.qkv_bias};
    case Slot::query_norm:
    case Slot::key_norm:
      return {spec.query_key_norm != QueryKeyNorm::none,
              spec.query_key_norm == QueryKeyNorm::all && spec.norm_bias};
    case Slot::attention_output:
      return {true, spec.attention_output_bias};
    case Slot::gate:
      return {spec.gated_mlp, spec.mlp_bias};
    case Slot::gate_up:
      return {spec.gated_mlp, spec.mlp_bias};
    case Slot::up:
    case Slot::down:
      return {true, spec.mlp_bias};
    case Slot::final_norm:
      return {spec.final_norm && spec.norm_weight, spec.norm_bias};
    case Slot::head:
      return {spec.has_head && !spec.tied_head, spec.head_bias};
  }
  return {};
}

}  // namespace

WeightTable without(WeightTable table, Slot slot) {
  std::erase_if(table, [&](const WeightEntry& entry) { return entry.slot == slot; });
  return table;
}

WeightTable with_entry(WeightTable table, const WeightEntry& entry) {
  table = without(std::move(table), entry.slot);
  table.push_back(entry);
  return table;
}

bool per_layer(Slot slot) { return slot >= Slot::attention_norm && slot <= Slot::mlp_post_norm; }

WeightNames::WeightNames(const WeightTable& table, const DecoderSpec& spec,
                         const formats::TensorSource& source, bool gguf)
    : table_(table), spec_(spec), source_(source), gguf_(gguf) {
  if (gguf_) return;
  const std::string embedding = find(Slot::token_embedding)->hugging_face;
  const size_t dot = embedding.find('.');
  if (dot == std::string::npos || source.has(embedding + ".weight")) return;
  if (source.has(embedding.substr(dot + 1) + ".weight"))
    stripped_prefix_ = embedding.substr(0, dot + 1);
}

const WeightEntry* WeightNames::find(Slot slot) const {
  const WeightEntry* first = nullptr;
  for (const WeightEntry& entry : table_) {
    if (entry.slot != slot || (gguf_ ? entry.gguf : entry.hugging_face) == nullptr) continue;
    if (source_.has(file_name(entry, 0) + ".weight")) return &entry;
    if (first == nullptr) first = &entry;
  }
  return first;
}

bool WeightNames::has(Slot slot) const {
  const WeightEntry* entry = find(slot);
  // Some files keep together what others of the family keep apart.
  const bool apart = (slot == Slot::query_key_value && find(Slot::query) != nullptr) ||
                     (slot == Slot::gate_up && find(Slot::gate) != nullptr);
  return entry != nullptr && (!apart || source_.has(file_name(*entry, 0) + ".weight"));
}

// Whether the decoder reads the slot's weight from elsewhere.
bool WeightNames::replaced(Slot slot) const {
  const bool fused_qkv = find(Slot::query_key_value) != nullptr && has(Slot::query_key_value);
  const bool fused_up = find(Slot::gate_up) != nullptr && has(Slot::gate_up);
  switch (slot) {
    case Slot::query:
    case Slot::key:
    case Slot::value:
      return fused_qkv;
    case Slot::gate:
      return fused_up;
    case Slot::up:
      return fused_up && spec_.gated_mlp;
    case Slot::query_key_value:
    case Slot::gate_up:
      return !has(slot);
    default:
      return false;
  }
}

std::string WeightNames::prefix() const {
  const std::string embedding = file_name(*find(Slot::token_embedding), 0);
  const std::string whole = find(Slot::token_embedding)->hugging_face == nullptr
                                ? ""
                                : find(Slot::token_embedding)->hugging_face;
  return gguf_ || embedding != whole ? "" : whole.substr(0, whole.find('.') + 1);
}

std::string WeightNames::file_name(const WeightEntry& entry, int64_t layer) const {
  std::string name = with_layer(gguf_ ? entry.gguf : entry.hugging_face, layer);
  if (!stripped_prefix_.empty() && name.rfind(stripped_prefix_, 0) == 0)
    name.erase(0, stripped_prefix_.size());
  return name;
}

nn::WeightName WeightNames::get(Slot slot, int64_t layer) const {
  const WeightEntry* entry = find(slot);
  if (entry == nullptr)
    fail("the family's table of weight names has no entry for slot {}", static_cast<int>(slot));
  nn::WeightName name;
  const char* parameter = entry->hugging_face != nullptr ? entry->hugging_face : entry->gguf;
  name.parameter = with_layer(parameter, layer);
  name.file = file_name(*entry, layer);
  const Layout layout = gguf_ ? entry->gguf_layout : entry->hugging_face_layout;
  name.transposed = layout == Layout::transposed;
  name.unit_rows = slot == Slot::head && spec_.unit_head_rows;
  name.row_order = row_order(slot, layout);
  const Layout exported =
      entry->hugging_face != nullptr ? entry->hugging_face_layout : Layout::plain;
  name.exported = {exported == Layout::transposed, row_order(slot, exported)};
  return name;
}

std::vector<int64_t> WeightNames::row_order(Slot slot, Layout layout) const {
  std::vector<int64_t> order;
  const int64_t head_dim = spec_.head_dim;
  if (layout == Layout::rotary_neighbours) {
    const int64_t heads = slot == Slot::query ? spec_.num_heads : spec_.num_kv_heads;
    const int64_t half = head_dim / 2;
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t part = 0; part < 2; ++part)
        for (int64_t i = 0; i < half; ++i) order.push_back(h * head_dim + 2 * i + part);
  } else if (layout == Layout::codegen_blocks) {
    const int64_t block = spec_.num_heads * head_dim / 4;  // of one of query, value and key
    for (const int64_t part : {0, 2, 1})
      for (int64_t b = 0; b < 4; ++b)
        for (int64_t i = 0; i < block; ++i) order.push_back((b * 3 + part) * block + i);
  } else if (layout == Layout::heads_interleaved) {
    const int64_t per_group = spec_.num_heads / spec_.num_kv_heads;
    const auto push_head = [&](int64_t group, int64_t within) {
      for (int64_t i = 0; i < head_dim; ++i)
        order.push_back((group * (per_group + 2) + within) * head_dim + i);
    };
    for (int64_t h = 0; h < spec_.num_heads; ++h) push_head(h / per_group, h % per_group);
    for (int64_t part = 0; part < 2; ++part)
      for (int64_t g = 0; g < spec_.num_kv_heads; ++g) push_head(g, per_group + part);
  }
  return order;
}

std::vector<const WeightEntry*> WeightNames::used() const {
  std::vector<const WeightEntry*> entries;
  for (const WeightEntry& entry : table_)
    if (needed(spec_, entry.slot).weight && find(entry.slot) == &entry && !replaced(entry.slot))
      entries.push_back(&entry);
  return entries;
}

std::vector<std::string> WeightNames::expected() const {
  std::vector<std::string> names;
  for (const WeightEntry* entry : used()) {
    const Needed need = needed(spec_, entry->slot);
    const int64_t layers = per_layer(entry->slot) ? spec_.num_layers : 1;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const std::string file = file_name(*entry, layer);
      names.push_back(file + ".weight");
      if (need.bias) names.push_back(file + ".bias");
    }
  }
  return names;
}

}  // namespace sumi::models
