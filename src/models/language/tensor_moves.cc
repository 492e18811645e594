#include "models/language/tensor_moves.h"

#include <cstring>
#include <unordered_set>

#include "base/error.h"
#include "nn/float_rows.h"

namespace sumi::models {

namespace {

Tensor transposed(const Tensor& x) {
  const int64_t n = x.size(1), k = x.size(0), bytes = x.nbytes() / x.numel();
  Tensor y = Tensor::empty({n, k}, x.dtype());
  for (int64_t r = 0; r < n; ++r)
    for (int64_t c = 0; c < k; ++c)
      std::memcpy(y.bytes() + (r * k + c) * bytes, x.bytes() + (c * n + r) * bytes,
                  static_cast<size_t>(bytes));
  return y;
}

Tensor transposed_floats(const Tensor& x) {
  return transposed(is_quantized(x.dtype()) ? nn::dequantize(x) : x);
}

std::string with_layer(const char* pattern, int64_t layer) {
  std::string name = pattern;
  const size_t at = name.find("{}");
  if (at != std::string::npos) name.replace(at, 2, std::to_string(layer));
  return name;
}

// Shape of `rows` rows of `x`, a matrix or a vector.
Shape with_rows(Shape shape, int64_t rows) {
  shape[0] = rows;
  return shape;
}

int64_t row_bytes(const Tensor& x) { return x.nbytes() / x.size(0); }

// Finds entries of the target's table.
class Target {
 public:
  Target(const WeightTable& table, bool gguf) : table_(table), gguf_(gguf) {}

  const char* pattern(const WeightEntry& entry) const {
    return gguf_ ? entry.gguf : entry.hugging_face;
  }
  Layout layout(const WeightEntry& entry) const {
    return gguf_ ? entry.gguf_layout : entry.hugging_face_layout;
  }
  // The entry itself if the table has it with a name, else the slot's first that has one, or null.
  const WeightEntry* find(const WeightEntry& source) const {
    for (const WeightEntry& entry : table_)
      if (&entry == &source && pattern(entry)) return &entry;
    return find(source.slot);
  }
  const WeightEntry* find(Slot slot) const {
    for (const WeightEntry& entry : table_)
      if (entry.slot == slot && pattern(entry)) return &entry;
    return nullptr;
  }

 private:
  const WeightTable& table_;
  bool gguf_;
};

constexpr Slot kQueryKeyValue[] = {Slot::query, Slot::key, Slot::value};

}  // namespace

TensorMove::TensorMove(std::string name, const WeightEntry* target, Layout layout,
                       std::vector<Part> parts, const WeightNames& names,
                       const formats::TensorSource& source, bool from_gguf)
    : name_(std::move(name)),
      target_(target),
      layout_(layout),
      parts_(std::move(parts)),
      names_(names),
      source_(source),
      from_gguf_(from_gguf) {
  int64_t rows = 0;
  for (const Part& part : parts_) rows += part.rows;
  shape_ = source_.get(parts_[0].name).shape();
  const bool matrix = shape_.size() == 2;
  const Layout from =
      from_gguf ? parts_[0].entry->gguf_layout : parts_[0].entry->hugging_face_layout;
  if (matrix && from == Layout::transposed) std::swap(shape_[0], shape_[1]);
  shape_ = with_rows(shape_, rows);
  if (matrix && layout_ == Layout::transposed) std::swap(shape_[0], shape_[1]);
}

DType TensorMove::stored() const { return source_.get(parts_[0].name).dtype(); }

Tensor TensorMove::part(const Part& part) const {
  Tensor x = source_.get(part.name);
  const Layout layout =
      from_gguf_ ? part.entry->gguf_layout : part.entry->hugging_face_layout;
  if (x.dim() == 2 && layout == Layout::transposed) x = transposed_floats(x);
  const std::vector<int64_t> order = names_.row_order(part.entry->slot, layout);
  if (part.begin + part.rows > x.size(0) ||
      (!order.empty() && static_cast<int64_t>(order.size()) != x.size(0)))
    fail("{}: tensor {}: shape {}: expected {} rows", source_.describe(), part.name,
         tensor::shape_string(x.shape()),
         order.empty() ? part.begin + part.rows : static_cast<int64_t>(order.size()));
  if (order.empty() && part.rows == x.size(0)) return x;
  Tensor y = Tensor::empty(with_rows(x.shape(), part.rows), x.dtype());
  const int64_t bytes = row_bytes(x);
  for (int64_t i = 0; i < part.rows; ++i) {
    const int64_t row = part.begin + i;
    const int64_t from = order.empty() ? row : order[static_cast<size_t>(row)];
    std::memcpy(y.bytes() + i * bytes, x.bytes() + from * bytes, static_cast<size_t>(bytes));
  }
  return y;
}

Tensor TensorMove::make() const {
  std::vector<Tensor> parts;
  bool same = true;
  int64_t rows = 0;
  for (const Part& each : parts_) {
    parts.push_back(part(each));
    same = same && parts.back().dtype() == parts[0].dtype();
    rows += parts.back().size(0);
  }
  if (!same)
    for (Tensor& x : parts) x = nn::dequantize(x);
  Tensor x = parts[0];
  const std::vector<int64_t> order = names_.row_order(target_->slot, layout_);
  if (parts.size() > 1 || !order.empty()) {
    Tensor y = Tensor::empty(with_rows(x.shape(), rows), x.dtype());
    int64_t row = 0;
    for (const Tensor& each : parts) {
      const int64_t bytes = row_bytes(each);
      for (int64_t i = 0; i < each.size(0); ++i, ++row) {
        const int64_t to = order.empty() ? row : order[static_cast<size_t>(row)];
        std::memcpy(y.bytes() + to * bytes, each.bytes() + i * bytes, static_cast<size_t>(bytes));
      }
    }
    x = y;
  }
  return x.dim() == 2 && layout_ == Layout::transposed ? transposed_floats(x) : x;
}

std::vector<TensorMove> tensor_moves(const WeightNames& names, const DecoderSpec& spec,
                                     const formats::TensorSource& source, bool from_gguf,
                                     const WeightTable& table) {
  const Target target(table, !from_gguf);
  std::vector<TensorMove> moves;
  std::unordered_set<std::string> taken;
  const auto head_rows = [&](Slot slot) {
    return (slot == Slot::query ? spec.num_heads : spec.num_kv_heads) * spec.head_dim;
  };
  // All layers of one slot of the target, from one or several of the source.
  struct Piece {
    const WeightEntry* entry;
    int64_t begin, rows;  // rows 0: all
  };
  const auto add = [&](const WeightEntry* to, const std::vector<Piece>& pieces) {
    const int64_t layers = per_layer(to->slot) ? spec.num_layers : 1;
    for (int64_t layer = 0; layer < layers; ++layer) {
      const std::string name = with_layer(target.pattern(*to), layer);
      if (!taken.insert(name).second)
        fail("{}: the other format has one name, {}, for two of its tensors", source.describe(),
             name);
      for (const char* suffix : {".weight", ".bias"}) {
        std::vector<TensorMove::Part> parts;
        for (const Piece& piece : pieces) {
          const std::string file = names.get(piece.entry->slot, layer).file + suffix;
          if (!source.has(file)) break;
          const Shape shape = source.get(file).shape();
          const Layout layout =
              from_gguf ? piece.entry->gguf_layout : piece.entry->hugging_face_layout;
          const bool turned = shape.size() == 2 && layout == Layout::transposed;
          parts.push_back({piece.entry, file, piece.begin,
                           piece.rows > 0 ? piece.rows : shape[turned ? 1 : 0]});
        }
        if (parts.size() == pieces.size())
          moves.emplace_back(name + suffix, to, target.layout(*to), std::move(parts), names,
                             source, from_gguf);
      }
    }
  };
  const auto entry_of = [&](Slot slot) -> const WeightEntry* {
    for (const WeightEntry* entry : names.used())
      if (entry->slot == slot) return entry;
    return nullptr;
  };
  for (const WeightEntry* entry : names.used()) {
    if (const WeightEntry* to = target.find(*entry)) {
      add(to, {{entry, 0, 0}});
    } else if (entry->slot == Slot::query_key_value && target.find(Slot::query)) {
      int64_t begin = 0;
      for (const Slot slot : kQueryKeyValue) {
        add(target.find(slot), {{entry, begin, head_rows(slot)}});
        begin += head_rows(slot);
      }
    } else if (entry->slot == Slot::query && target.find(Slot::query_key_value)) {
      std::vector<Piece> pieces;
      for (const Slot slot : {Slot::query, Slot::key, Slot::value, Slot::key_value})
        if (const WeightEntry* part = entry_of(slot)) pieces.push_back({part, 0, 0});
      add(target.find(Slot::query_key_value), pieces);
    } else if (!((entry->slot == Slot::key || entry->slot == Slot::value ||
                  entry->slot == Slot::key_value) &&
                 target.find(Slot::query_key_value))) {
      fail("{}: the other format has no name for the tensors {}", source.describe(),
           from_gguf ? entry->gguf : entry->hugging_face);
    }
  }
  return moves;
}

}  // namespace sumi::models
