// Values of the template language, with the meaning Python gives them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/budget.h"

namespace sumi::text::jinja {

class Interpreter;
struct Sequence;
struct Dict;
struct Object;

inline constexpr int kMaxValueDepth =
    400;  // containers in containers; bounds every recursion over values

// Valid UTF-8. `markup`: made by escape or safe; joining it with plain text escapes that text.
struct Str {
  std::string text;
  bool ascii = true;
  bool markup = false;
};

// Jinja2's default Undefined: prints nothing, is false, and any use of it fails with `message`.
struct Undefined {
  std::shared_ptr<const std::string> message;
};
struct None {};

class Value {
 public:
  using Data =
      std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Str>,
                   std::shared_ptr<Sequence>, std::shared_ptr<Dict>, std::shared_ptr<Object>>;
  Value() : data_(None{}) {}
  template <class T>
  Value(T data) : data_(std::move(data)) {}  // NOLINT: a Value is any of its alternatives

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  template <class T>
  const T& get() const {
    return std::get<T>(data_);
  }

  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_string() const { return is<std::shared_ptr<const Str>>(); }
  // bool is a kind of int in Python.
  bool is_int() const { return is<int64_t>() || is<bool>(); }
  bool is_number() const { return is_int() || is<double>(); }

  const Str& str() const { return *get<std::shared_ptr<const Str>>(); }
  const std::string& text() const { return str().text; }
  int64_t integer() const { return is<bool>() ? int64_t{get<bool>()} : get<int64_t>(); }
  double number() const { return is<double>() ? get<double>() : static_cast<double>(integer()); }
  // nullptr if of another kind.
  Sequence* sequence() const;
  Dict* dict() const;
  Object* object() const;

 private:
  Data data_;
};

enum class SequenceKind { list, tuple, range, keys, values, items, generator, group };

struct Sequence {
  SequenceKind kind = SequenceKind::list;
  std::vector<Value> items;
  int64_t start = 0, stop = 0, step = 1;  // range
  size_t next = 0;                        // generator: items before it are consumed
  int depth = 1;

  bool indexable() const {
    return kind == SequenceKind::list || kind == SequenceKind::tuple ||
           kind == SequenceKind::range || kind == SequenceKind::group;
  }
};

// Keeps the order of insertion.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  int depth = 1;

  const Value* find(Budget& budget, const Value& key) const;
  const Value* find(std::string_view key) const;
  void set(Budget& budget, const Value& key, Value value);

 private:
  std::unordered_map<std::string, size_t> index_;  // hash_key -> entry
};

// Arguments of a call, filter or test.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// Values with behaviour: functions, macros, namespaces, loop.
struct Object : std::enable_shared_from_this<Object> {
  explicit Object(int nesting = 1) : depth(nesting) {}
  virtual ~Object() = default;
  virtual const char* type_name() const = 0;
  virtual bool callable() const { return false; }
  virtual Value call(Interpreter& interpreter, Args args);
  // False if there is no such attribute.
  virtual bool attribute(Interpreter& interpreter, std::string_view name, Value& result);
  // Throws if Python's text would hold a memory address.
  virtual void repr(Budget& budget, std::string& out) const;
  int depth;
  bool kept = false;  // by Interpreter::keep
};

Value make_string(Budget& budget, std::string text, bool markup = false);
// For literals of the program; nothing is charged.
Value constant(std::string_view text);
Value make_undefined(std::string message);
Value make_sequence(Budget& budget, SequenceKind kind, std::vector<Value> items);
std::shared_ptr<Dict> make_dict();
int depth_of(const Value& value);

// Python's type name: 'str', 'NoneType' ...
std::string type_name(const Value& value);
bool truthy(const Value& value);
bool equals(Budget& budget, const Value& a, const Value& b);
// a < b; throws for kinds that have no order.
bool less(Budget& budget, const Value& a, const Value& b);
bool identical(const Value& a, const Value& b);  // `is`
// The same text for keys that Python holds equal; throws for kinds without a hash.
std::string hash_key(Budget& budget, const Value& value);

// str(value) and repr(value).
std::string to_text(Budget& budget, const Value& value);
void append_repr(Budget& budget, const Value& value, std::string& out);
std::string float_repr(double value);

// The elements a `for` would see, a generator's being used up. Throws if not iterable.
std::vector<Value> elements(Budget& budget, const Value& value);
bool iterable(const Value& value);
int64_t length(Budget& budget, const Value& value);  // len(); throws if it has none
bool contains(Budget& budget, const Value& container, const Value& item);

[[noreturn]] void fail_undefined(const Value& value);

}  // namespace sumi::text::jinja
