#include "formats/torch_file.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/zip_directory.h"

namespace sumi::formats {

namespace {

// What a file of the older container starts with, pickled: 0x1950a86a20f9469cfc6c, the low byte
// first.
constexpr std::string_view kLegacyMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);
constexpr int64_t kLegacyProtocol = 1001;

std::string_view view_of(const base::MappedFile& file) {
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool is_row_major(const StoredTensor& tensor) {
  if (std::count(tensor.shape.begin(), tensor.shape.end(), 0) > 0) return true;
  int64_t expected = 1;
  for (size_t i = tensor.shape.size(); i-- > 0;) {
    if (tensor.shape[i] != 1 && tensor.strides[i] != expected) return false;
    expected *= tensor.shape[i];
  }
  return true;
}

// Elements of `size` bytes at `strides` (in elements) -> row-major.
void gather(const std::byte* from, const Shape& shape, const std::vector<int64_t>& strides,
            size_t size, std::byte* to, int64_t count) {
  std::vector<int64_t> index(shape.size(), 0);
  int64_t element = 0;
  for (int64_t done = 0; done < count; ++done, to += size) {
    std::memcpy(to, from + static_cast<size_t>(element) * size, size);
    for (size_t axis = shape.size(); axis-- > 0;) {
      element += strides[axis];
      if (++index[axis] < shape[axis]) break;
      element -= index[axis] * strides[axis];
      index[axis] = 0;
    }
  }
}

}  // namespace

TorchFile::TorchFile(const std::string& path)
    : path_(path), file_(std::make_shared<base::MappedFile>(path)) {
  const std::string_view all = view_of(*file_);
  if (is_zip(all)) {
    read_zip();
  } else if (all.substr(0, 1) == "\x80") {  // a pickle
    read_legacy();
  } else {
    fail_if_known_stranger(path_, all.substr(0, 64));
    fail("{}: this is not a PyTorch checkpoint: neither a zip archive nor its older container",
         path_);
  }
}

bool TorchFile::recognizes(const std::string& path) {
  const base::MappedFile file(path);
  const std::string_view start = view_of(file).substr(0, 4);
  return start == "PK\x03\x04" || start.substr(0, 1) == "\x80";
}

// <archive>/data.pkl, the storages <archive>/data/<key>, and <archive>/byteorder since 2.0.
void TorchFile::read_zip() {
  const std::string_view all = view_of(*file_);
  const std::vector<ZipEntry> entries = read_zip_directory(all, path_);
  const auto text_of = [&](const ZipEntry& entry) { return all.substr(entry.begin, entry.bytes); };
  const ZipEntry* main = nullptr;
  for (const ZipEntry& entry : entries) {
    if (!ends_with(entry.name, "/data.pkl")) continue;
    if (main) fail("{}: two pickles: {} and {}", path_, shown(main->name), shown(entry.name));
    main = &entry;
  }
  if (!main) fail("{}: a zip archive without data.pkl is not a PyTorch checkpoint", path_);
  const std::string archive = main->name.substr(0, main->name.size() - std::strlen("data.pkl"));
  for (const ZipEntry& entry : entries)
    if (entry.name == archive + "constants.pkl")
      fail("{}: this is a TorchScript program, not a checkpoint; save its state_dict()", path_);
  for (const ZipEntry& entry : entries) {
    if (entry.name.compare(0, archive.size(), archive) != 0) continue;
    const std::string name = entry.name.substr(archive.size());
    if (entry.method != 0)
      fail("{}: zip entry {}: compressed (method {}); PyTorch stores its entries as they are",
           path_, shown(entry.name), entry.method);
    if (name == "byteorder" && text_of(entry) != "little")
      fail("{}: byteorder: expected little, found {}", path_, shown(text_of(entry)));
    if (name.compare(0, 5, "data/") == 0)
      storages_.emplace(name.substr(5), Span{entry.begin, entry.bytes});
  }
  const PickleLimits limits;
  if (main->bytes > limits.bytes)
    fail("{}: data.pkl has {} bytes, at most {} are allowed", path_, main->bytes, limits.bytes);
  const Pickle pickle(text_of(*main), torch_globals(), path_ + ": data.pkl", limits);
  place_tensors(read_state_dictionary(pickle, path_));
}

// Pickles of the magic number, the version, facts about the system, the object and the storages'
// keys; then for each key the count of its elements and these.
void TorchFile::read_legacy() {
  const std::string_view all = view_of(*file_);
  size_t at = 0;
  const auto next = [&](const char* what) {
    Pickle pickle(all.substr(at), torch_globals(), path_ + ": " + what);
    at += pickle.size();
    return pickle;
  };
  const Pickle magic = next("magic number");
  if (magic.root().kind != Pickle::Kind::big_integer || magic.root().text != kLegacyMagic)
    fail("{}: this is a pickle, but not of PyTorch: it does not start with its magic number",
         path_);
  const Pickle protocol = next("protocol");
  if (protocol.root().kind != Pickle::Kind::integer || protocol.root().integer != kLegacyProtocol)
    fail("{}: protocol: expected {}", path_, kLegacyProtocol);
  const Pickle system = next("system");
  const std::vector<Pickle::Id>& facts = system.root().items;
  for (size_t i = 0; i + 1 < facts.size(); i += 2)
    if (system[facts[i]].text == "little_endian" && system[facts[i + 1]].integer != 1)
      fail("{}: little_endian: expected True", path_);
  const Pickle object = next("object");
  const std::vector<StoredTensor> stored = read_state_dictionary(object, path_);
  const std::map<std::string, int64_t> element_bytes = storage_element_bytes(object, path_);
  const Pickle keys = next("storage keys");
  if (keys.root().kind != Pickle::Kind::list) fail("{}: storage keys: expected a list", path_);
  for (const Pickle::Id id : keys.root().items) {
    const Pickle::Value& key = keys[id];
    const std::string where = fmt::format("{}: storage {}", path_, shown(key.text));
    if (key.kind != Pickle::Kind::text) fail("{}: storage keys: expected text", path_);
    const auto size = element_bytes.find(std::string(key.text));
    if (size == element_bytes.end()) fail("{}: no tensor has it, so its type is not known", where);
    uint64_t elements;
    if (all.size() - at < sizeof elements) fail("{}: truncated at byte {}", where, at);
    std::memcpy(&elements, all.data() + at, sizeof elements);
    at += sizeof elements;
    if (elements > (all.size() - at) / static_cast<uint64_t>(size->second))
      fail("{}: truncated: {} elements of {} bytes at {}, the file has {} bytes", where, elements,
           size->second, at, all.size());
    const uint64_t bytes = elements * static_cast<uint64_t>(size->second);
    if (!storages_.emplace(key.text, Span{at, bytes}).second) fail("{} is listed twice", where);
    at += bytes;
  }
  place_tensors(stored);
}

void TorchFile::place_tensors(std::vector<StoredTensor> stored) {
  for (StoredTensor& tensor : stored) {
    const std::string where = fmt::format("{}: tensor {}", path_, shown(tensor.name));
    const auto storage = storages_.find(tensor.storage);
    if (storage == storages_.end())
      fail("{}: its storage {} is missing", where, shown(tensor.storage));
    const auto size = static_cast<uint64_t>(dtype_block_bytes(tensor.dtype));
    if (tensor.storage_elements * size != storage->second.bytes)
      fail("{}: its storage {} should have {} elements of {} bytes, the file has {} bytes of it",
           where, shown(tensor.storage), tensor.storage_elements, size, storage->second.bytes);
    Place place{storage->second.begin + tensor.offset * size, 0, {}};
    if (!is_row_major(tensor)) place.strides = tensor.strides;
    if (tensor::element_count(tensor.shape) > 0) {
      uint64_t last = 0;
      for (size_t i = 0; i < tensor.shape.size(); ++i)
        last += static_cast<uint64_t>((tensor.shape[i] - 1) * tensor.strides[i]);
      place.extent = (last + 1) * size;
    }
    index_.emplace(tensor.name, tensors_.size());
    places_.push_back(std::move(place));
    tensors_.push_back({std::move(tensor.name), std::move(tensor.shape), tensor.dtype, path_});
  }
}

size_t TorchFile::index_of(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) fail("{}: no tensor named {}", path_, shown(name));
  return found->second;
}

Tensor TorchFile::get(const std::string& name) const {
  const size_t i = index_of(name);
  const TensorInfo& info = tensors_[i];
  const Place& place = places_[i];
  if (place.strides.empty()) return tensor_in_file(file_, place.begin, info.shape, info.dtype);
  Tensor copy = Tensor::empty(info.shape, info.dtype);
  gather(file_->data() + place.begin, info.shape, place.strides,
         static_cast<size_t>(dtype_block_bytes(info.dtype)), copy.bytes(), copy.numel());
  return copy;
}

void TorchFile::release(const std::string& name) const {
  const Place& place = places_[index_of(name)];
  file_->drop(place.begin, place.extent);
}

}  // namespace sumi::formats
