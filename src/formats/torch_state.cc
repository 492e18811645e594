#include "formats/torch_state.h"

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "formats/bytes.h"

namespace sumi::formats {

namespace {

using Kind = Pickle::Kind;
using Value = Pickle::Value;

constexpr std::pair<std::string_view, DType> kStorages[] = {
    {"torch.DoubleStorage", DType::f64}, {"torch.FloatStorage", DType::f32},
    {"torch.HalfStorage", DType::f16},   {"torch.BFloat16Storage", DType::bf16},
    {"torch.LongStorage", DType::i64},   {"torch.IntStorage", DType::i32},
    {"torch.ShortStorage", DType::i16},  {"torch.CharStorage", DType::i8},
    {"torch.ByteStorage", DType::u8},    {"torch.BoolStorage", DType::boolean},
};

// Beside the storages. The last ones occur among training state, which is read as data and not
// used.
constexpr std::string_view kGlobals[] = {
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "collections.OrderedDict",
    "collections.defaultdict",
    "torch.Size",
    "torch.device",
    "torch.float64",
    "torch.float32",
    "torch.float16",
    "torch.bfloat16",
    "torch.int64",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",  // Stable Diffusion 1's .ckpt
};

constexpr size_t kMaxDims = 64;                             // as many as torch allows
constexpr int kMaxNesting = 4;                              // "model" in "state_dict" in ...
constexpr uint64_t kMaxExpandedBytes = uint64_t{64} << 20;  // of a tensor that repeats elements
// The last: embeddings of the AUTOMATIC1111 interface.
constexpr std::array kWrappers = {"state_dict", "model_state_dict", "model", "module",
                                  "string_to_param"};

class StateReader {
 public:
  StateReader(const Pickle& pickle, const std::string& path) : pickle_(pickle), path_(path) {}

  std::map<std::string, int64_t> element_bytes() const {
    std::map<std::string, int64_t> bytes;
    for (const Value& value : pickle_.values()) {
      if (value.kind != Kind::persistent) continue;
      StoredTensor tensor;
      read_storage(value, path_, &tensor);
      const int64_t size = dtype_block_bytes(tensor.dtype);
      if (bytes.emplace(tensor.storage, size).first->second != size)
        fail("{}: storage {} is used with elements of different sizes", path_,
             shown(tensor.storage));
    }
    return bytes;
  }

  std::vector<StoredTensor> read() {
    const Value* state = &pickle_.root();
    std::string place;  // "state_dict.model"
    for (int depth = 0; depth < kMaxNesting; ++depth) {
      const auto entries = entries_of(*state);
      if (!entries)
        fail("{}: expected a dictionary of tensors{}, found {}", path_,
             place.empty() ? "" : " in " + shown(place), Pickle::kind_name(state->kind));
      const Value* inner = nullptr;
      for (const char* wrapper : kWrappers) {
        inner = find_dictionary(*entries, wrapper);
        if (!inner) continue;
        place += (place.empty() ? "" : ".") + std::string(wrapper);
        break;
      }
      if (!inner) return read_tensors(*entries);
      state = inner;
    }
    fail("{}: dictionaries nest too deep: {}", path_, shown(place));
  }

 private:
  using Entries = std::vector<std::pair<const Value*, const Value*>>;

  const Value& at(Pickle::Id id) const { return pickle_[id]; }
  bool calls(const Value& value, std::string_view global) const {
    return value.kind == Kind::call && at(value.target).text == global;
  }
  const Value& target(const Value& call) const { return at(call.target); }
  const Value& arguments(const Value& call) const { return at(call.arguments); }

  bool is_parameter(const Value& value) const {
    return calls(value, "torch._utils._rebuild_parameter") ||
           calls(value, "torch._utils._rebuild_parameter_with_state");
  }
  bool is_tensor(const Value& value) const {
    return is_parameter(value) || calls(value, "torch._utils._rebuild_tensor") ||
           calls(value, "torch._utils._rebuild_tensor_v2");
  }

  // Keys and values of a dictionary or OrderedDict; nothing if the value is neither.
  std::optional<Entries> entries_of(const Value& value) const {
    const bool ordered =
        calls(value, "collections.OrderedDict") || calls(value, "collections.defaultdict");
    if (value.kind != Kind::dictionary && !ordered) return std::nullopt;
    Entries entries;
    // Python 2 writes OrderedDict([[key, value], ...]).
    if (calls(value, "collections.OrderedDict") && arguments(value).items.size() == 1)
      for (const Pickle::Id id : at(arguments(value).items[0]).items) {
        const Value& pair = at(id);
        if ((pair.kind != Kind::list && pair.kind != Kind::tuple) || pair.items.size() != 2)
          fail("{}: OrderedDict of {}, expected pairs", path_, Pickle::kind_name(pair.kind));
        entries.emplace_back(&at(pair.items[0]), &at(pair.items[1]));
      }
    for (size_t i = 0; i + 1 < value.items.size(); i += 2)
      entries.emplace_back(&at(value.items[i]), &at(value.items[i + 1]));
    return entries;
  }

  const Value* find_dictionary(const Entries& entries, std::string_view key) const {
    for (const auto& [name, value] : entries)
      if (name->kind == Kind::text && name->text == key && entries_of(*value)) return value;
    return nullptr;
  }

  bool holds_tensors(const Value& value) const {
    for (const Pickle::Id id : value.items)
      if (is_tensor(at(id))) return true;
    return false;
  }

  std::vector<StoredTensor> read_tensors(const Entries& entries) {
    std::vector<StoredTensor> tensors;
    std::unordered_set<std::string_view> names;
    std::string others;
    for (const auto& [key, value] : entries) {
      if (key->kind != Kind::text) {
        if (!is_tensor(*value)) continue;
        fail("{}: the name of a tensor: expected text, found {}", path_,
             Pickle::kind_name(key->kind));
      }
      const std::string where = fmt::format("{}: tensor {}", path_, shown(key->text));
      if (is_tensor(*value)) {
        check_name(key->text, where);
        if (!names.insert(key->text).second) fail("{} is there twice", where);
        tensors.push_back(read_tensor(*value, where));
        tensors.back().name = key->text;
      } else if (holds_tensors(*value)) {
        fail("{}: expected a tensor, found {} of tensors", where, Pickle::kind_name(value->kind));
      } else if (others.size() < 200) {
        others += (others.empty() ? "" : ", ") + shown(key->text);
      }
    }
    if (tensors.empty())
      fail("{}: no tensors in the dictionary; it has {}", path_,
           others.empty() ? "no entries" : others);
    return tensors;
  }

  void check_name(std::string_view name, const std::string& where) const {
    for (const char c : name)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
        fail("{}: a control character in its name", where);
    try {
      nlohmann::json(name).dump();
    } catch (const nlohmann::json::exception&) {
      fail("{}: its name is not valid UTF-8", where);
    }
  }

  StoredTensor read_tensor(const Value& value, const std::string& where) const {
    const Value* call = &value;
    if (is_parameter(value)) {
      if (arguments(value).items.empty()) fail("{}: a parameter without its tensor", where);
      call = &at(arguments(value).items[0]);
      if (is_parameter(*call) || !is_tensor(*call))
        fail("{}: a parameter of {}", where, Pickle::kind_name(call->kind));
    }
    // (storage, storage_offset, size, stride), then what has no bearing on values.
    const std::vector<Pickle::Id>& items = arguments(*call).items;
    if (items.size() < 4) fail("{}: {} arguments, expected at least 4", where, items.size());
    StoredTensor tensor;
    read_storage(at(items[0]), where, &tensor);
    tensor.offset = count(at(items[1]), where + ": storage_offset");
    tensor.shape = counts(at(items[2]), where + ": size");
    tensor.strides = counts(at(items[3]), where + ": stride");
    check_extent(tensor, where);
    return tensor;
  }

  // ("storage", type, key, device, elements), and in older files a sixth item for views.
  void read_storage(const Value& value, const std::string& where, StoredTensor* tensor) const {
    if (value.kind != Kind::persistent || at(value.arguments).kind != Kind::tuple)
      fail("{}: storage: expected a persistent id, found {}", where, Pickle::kind_name(value.kind));
    const std::vector<Pickle::Id>& items = at(value.arguments).items;
    if (items.size() < 5 || at(items[0]).kind != Kind::text || at(items[0]).text != "storage")
      fail("{}: storage: expected (\"storage\", type, key, device, elements)", where);
    const Value& type = at(items[1]);
    bool known = false;
    for (const auto& [name, dtype] : kStorages)
      if (type.kind == Kind::global && type.text == name) {
        tensor->dtype = dtype;
        known = true;
      }
    if (!known)
      fail("{}: storage: expected a storage type, found {}", where,
           type.kind == Kind::global ? std::string(type.text) : Pickle::kind_name(type.kind));
    if (at(items[2]).kind != Kind::text)
      fail("{}: storage: the key: expected text, found {}", where,
           Pickle::kind_name(at(items[2]).kind));
    tensor->storage = at(items[2]).text;
    tensor->storage_elements = count(at(items[4]), where + ": storage: elements");
    if (items.size() > 5 && at(items[5]).kind != Kind::none)
      fail("{}: a view of a storage, as PyTorch wrote before 0.4, is not known", where);
  }

  uint64_t count(const Value& value, const std::string& where) const {
    if (value.kind != Kind::integer)
      fail("{}: expected an integer, found {}", where, Pickle::kind_name(value.kind));
    if (value.integer < 0) fail("{}: {} is negative", where, value.integer);
    return static_cast<uint64_t>(value.integer);
  }
  std::vector<int64_t> counts(const Value& value, const std::string& where) const {
    const Value* tuple = &value;
    if (calls(value, "torch.Size") && arguments(value).items.size() == 1)
      tuple = &at(arguments(value).items[0]);
    if (tuple->kind != Kind::tuple)
      fail("{}: expected a tuple, found {}", where, Pickle::kind_name(tuple->kind));
    if (tuple->items.size() > kMaxDims)
      fail("{}: {} dimensions, at most {} are allowed", where, tuple->items.size(), kMaxDims);
    std::vector<int64_t> values;
    for (const Pickle::Id id : tuple->items)
      values.push_back(static_cast<int64_t>(count(at(id), where)));
    return values;
  }

  void check_extent(const StoredTensor& tensor, const std::string& where) const {
    const std::string shape = tensor::shape_string(tensor.shape);
    if (tensor.shape.size() != tensor.strides.size())
      fail("{}: size {} but {} strides", where, shape, tensor.strides.size());
    const auto bytes = checked_byte_count(tensor.shape, tensor.dtype);
    const auto held =
        checked_byte_count({static_cast<int64_t>(tensor.storage_elements)}, tensor.dtype);
    if (!bytes) fail("{}: size {} is out of range", where, shape);
    if (!held) fail("{}: a storage of {} elements is out of range", where, tensor.storage_elements);
    uint64_t last = tensor.offset;  // the highest element that is used
    bool overflow = false;
    for (size_t i = 0; i < tensor.shape.size() && *bytes > 0; ++i) {
      uint64_t reach;
      overflow |= __builtin_mul_overflow(static_cast<uint64_t>(tensor.shape[i] - 1),
                                         static_cast<uint64_t>(tensor.strides[i]), &reach);
      overflow |= __builtin_add_overflow(last, reach, &last);
    }
    if (overflow || (*bytes > 0 ? last >= tensor.storage_elements : last > tensor.storage_elements))
      fail("{}: size {} from element {} reaches beyond its storage of {} elements", where, shape,
           tensor.offset, tensor.storage_elements);
    if (*bytes > *held && *bytes > kMaxExpandedBytes)
      fail("{}: size {} repeats the elements of a storage of {}: {} bytes, at most {} are allowed",
           where, shape, tensor.storage_elements, *bytes, kMaxExpandedBytes);
  }

  const Pickle& pickle_;
  const std::string& path_;
};

}  // namespace

std::span<const std::string_view> torch_globals() { return kGlobals; }

std::vector<StoredTensor> read_state_dictionary(const Pickle& pickle, const std::string& path) {
  return StateReader(pickle, path).read();
}

std::map<std::string, int64_t> storage_element_bytes(const Pickle& pickle,
                                                     const std::string& path) {
  return StateReader(pickle, path).element_bytes();
}

}  // namespace sumi::formats
