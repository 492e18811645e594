// The tensors that a PyTorch checkpoint's pickle describes; their elements lie beside it.
// Layout: torch/serialization.py and torch/_utils.py.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/pickle.h"
#include "tensor/tensor.h"

namespace sumi::formats {

struct StoredTensor {
  std::string name;
  DType dtype = DType::f32;
  Shape shape;
  std::vector<int64_t> strides;   // in elements, none negative
  uint64_t offset = 0;            // of the first element in the storage, in elements
  std::string storage;            // several tensors may share one
  uint64_t storage_elements = 0;  // the elements above are within these
};

// What such a pickle may name; see class Pickle.
std::span<const std::string_view> torch_globals();

// The state dictionary of a checkpoint, in its order: the pickled dictionary itself, or the one it
// holds as "state_dict", "model_state_dict", "model" or "module". Entries that are numbers, text or
// None are skipped. Throws Error naming path, entry and fault; every size is checked.
std::vector<StoredTensor> read_state_dictionary(const Pickle& pickle, const std::string& path);

// Bytes of an element of each storage that the pickle mentions, by key.
std::map<std::string, int64_t> storage_element_bytes(const Pickle& pickle, const std::string& path);

}  // namespace sumi::formats
