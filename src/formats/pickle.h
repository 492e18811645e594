// Python pickles read as data: numbers, strings, tuples, lists and dictionaries become values, and
// a call is written down, not made. Nothing in a pickle can run.
//
// Opcodes: protocols 2 to 5 without those that only other objects need (Lib/pickletools.py of
// CPython describes them all). A global outside the caller's list, or any other opcode, is an Error
// that names it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sumi::formats {

struct PickleLimits {
  size_t bytes = size_t{64} << 20;
  size_t values = size_t{4} << 20;  // made, on the stack, and memo entries: each at most this many
};

class Pickle {
 public:
  using Id = uint32_t;  // a value

  enum class Kind : uint8_t {
    none,
    boolean,
    integer,
    big_integer,  // beyond int64: its little-endian two's complement is in `text`
    real,
    text,
    bytes,
    tuple,
    list,
    dictionary,  // items are key, value, key, value ...
    global,      // `text` is "module.name"
    call,  // of the global `target` with the tuple `arguments`; later items as of a dictionary
    persistent,  // an object kept outside the pickle; `arguments` says which
  };
  struct Value {
    Kind kind = Kind::none;
    int64_t integer = 0;  // boolean, integer
    double real = 0;
    std::string_view text;  // points into the pickle, or to the caller's list of globals
    Id target = 0, arguments = 0;
    std::vector<Id> items;
  };

  // `data` must outlive the object; what follows the pickle's end is left alone. `globals` lists
  // what may be named ("collections.OrderedDict"); `name` is for messages. A value that contains
  // itself is refused.
  Pickle(std::string_view data, std::span<const std::string_view> globals, std::string name,
         const PickleLimits& limits = {});

  const Value& root() const { return values_[root_]; }
  const Value& operator[](Id id) const { return values_[id]; }
  const std::vector<Value>& values() const { return values_; }
  size_t size() const { return size_; }  // bytes up to the end of the pickle

  static const char* kind_name(Kind kind);  // "a list"

 private:
  friend class PickleReader;
  std::vector<Value> values_;
  Id root_ = 0;
  size_t size_ = 0;
};

}  // namespace sumi::formats
