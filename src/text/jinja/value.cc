#include "text/jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "text/jinja/unicode.h"

namespace sumi::text::jinja {

Sequence* Value::sequence() const {
  const auto* p = std::get_if<std::shared_ptr<Sequence>>(&data_);
  return p != nullptr ? p->get() : nullptr;
}
Dict* Value::dict() const {
  const auto* p = std::get_if<std::shared_ptr<Dict>>(&data_);
  return p != nullptr ? p->get() : nullptr;
}
Object* Value::object() const {
  const auto* p = std::get_if<std::shared_ptr<Object>>(&data_);
  return p != nullptr ? p->get() : nullptr;
}

Value Object::call(Interpreter&, Args) { fail("'{}' object is not callable", type_name()); }
bool Object::attribute(Interpreter&, std::string_view, Value&) { return false; }
void Object::repr(Budget&, std::string&) const {
  fail("a {} cannot be printed (its text would be a memory address)", type_name());
}

Value make_string(Budget& budget, std::string text, bool markup) {
  budget.check_size(text.size());
  budget.charge(text.size() + 48);
  auto str = std::make_shared<Str>();
  str->ascii = is_ascii(text);
  str->text = std::move(text);
  str->markup = markup;
  return Value(std::shared_ptr<const Str>(std::move(str)));
}

Value constant(std::string_view text) {
  auto str = std::make_shared<Str>();
  str->text = std::string(text);
  str->ascii = is_ascii(text);
  return Value(std::shared_ptr<const Str>(std::move(str)));
}

Value make_undefined(std::string message) {
  return Value(Undefined{std::make_shared<const std::string>(std::move(message))});
}

int depth_of(const Value& value) {
  if (const Sequence* s = value.sequence()) return s->depth;
  if (const Dict* d = value.dict()) return d->depth;
  if (const Object* o = value.object()) return o->depth;
  return 0;
}

Value make_sequence(Budget& budget, SequenceKind kind, std::vector<Value> items) {
  budget.charge(items.size() * sizeof(Value) + 64);
  auto sequence = std::make_shared<Sequence>();
  int depth = 0;
  for (const Value& item : items) depth = std::max(depth, depth_of(item));
  if (depth >= kMaxValueDepth) fail("values are nested more than {} deep", kMaxValueDepth);
  sequence->kind = kind;
  sequence->items = std::move(items);
  sequence->depth = depth + 1;
  return Value(std::move(sequence));
}

std::shared_ptr<Dict> make_dict() { return std::make_shared<Dict>(); }

const Value* Dict::find(Budget& budget, const Value& key) const {
  const auto found = index_.find(hash_key(budget, key));
  return found == index_.end() ? nullptr : &entries[found->second].second;
}

const Value* Dict::find(std::string_view key) const {
  if (entries.size() > 8) {
    const auto found = index_.find("s" + std::string(key));
    return found == index_.end() ? nullptr : &entries[found->second].second;
  }
  for (const auto& [name, value] : entries) {
    if (name.is_string() && name.text() == key) return &value;
  }
  return nullptr;
}

void Dict::set(Budget& budget, const Value& key, Value value) {
  std::string hash = hash_key(budget, key);
  const int nesting = std::max(depth_of(key), depth_of(value));
  if (nesting >= kMaxValueDepth) fail("values are nested more than {} deep", kMaxValueDepth);
  depth = std::max(depth, nesting + 1);
  budget.charge(hash.size() + 128);
  const auto [at, added] = index_.try_emplace(std::move(hash), entries.size());
  if (added) {
    entries.emplace_back(key, std::move(value));
  } else {
    entries[at->second].second = std::move(value);
  }
}

std::string type_name(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.is<bool>()) return "bool";
  if (value.is<int64_t>()) return "int";
  if (value.is<double>()) return "float";
  if (value.is_string()) return value.str().markup ? "Markup" : "str";
  if (const Sequence* s = value.sequence()) {
    switch (s->kind) {
      case SequenceKind::list:
        return "list";
      case SequenceKind::tuple:
        return "tuple";
      case SequenceKind::group:
        return "tuple";
      case SequenceKind::range:
        return "range";
      case SequenceKind::keys:
        return "dict_keys";
      case SequenceKind::values:
        return "dict_values";
      case SequenceKind::items:
        return "dict_items";
      case SequenceKind::generator:
        return "generator";
    }
  }
  if (value.dict() != nullptr) return "dict";
  return value.object()->type_name();
}

bool truthy(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_int()) return value.integer() != 0;
  if (value.is<double>()) return value.get<double>() != 0;
  if (value.is_string()) return !value.text().empty();
  if (const Sequence* s = value.sequence()) {
    return s->kind == SequenceKind::generator || !s->items.empty();
  }
  if (const Dict* d = value.dict()) return !d->entries.empty();
  return true;
}

namespace {

// Three-way for numbers; an int64 and a double compare exactly in long double where it has 64 bits.
int compare_numbers(const Value& a, const Value& b) {
  if (a.is_int() && b.is_int()) {
    return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
  }
  const auto wide = [](const Value& v) {
    return v.is_int() ? static_cast<long double>(v.integer())
                      : static_cast<long double>(v.get<double>());
  };
  const long double x = wide(a), y = wide(b);
  return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;  // 2: not a number
}

bool same_class(SequenceKind a, SequenceKind b) {
  const auto plain = [](SequenceKind k) {
    return k == SequenceKind::group ? SequenceKind::tuple : k;
  };
  return plain(a) == plain(b) && a != SequenceKind::generator && a != SequenceKind::values;
}

}  // namespace

bool equals(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == 0;
  if (a.is_string() && b.is_string()) {
    budget.charge(std::min(a.text().size(), b.text().size()));
    return a.text() == b.text();
  }
  if (a.is_undefined() || b.is_undefined()) return a.is_undefined() && b.is_undefined();
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  const Sequence *s = a.sequence(), *t = b.sequence();
  if (s != nullptr && t != nullptr) {
    if (s == t) return true;
    if (!same_class(s->kind, t->kind) || s->items.size() != t->items.size()) return false;
    for (size_t i = 0; i < s->items.size(); ++i) {
      if (!equals(budget, s->items[i], t->items[i])) return false;
    }
    return true;
  }
  const Dict *d = a.dict(), *e = b.dict();
  if (d != nullptr && e != nullptr) {
    if (d == e) return true;
    if (d->entries.size() != e->entries.size()) return false;
    for (const auto& [key, value] : d->entries) {
      const Value* other = e->find(budget, key);
      if (other == nullptr || !equals(budget, value, *other)) return false;
    }
    return true;
  }
  return a.object() != nullptr && a.object() == b.object();
}

bool less(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (a.is_number() && b.is_number()) return compare_numbers(a, b) == -1;
  if (a.is_string() && b.is_string()) {
    budget.charge(std::min(a.text().size(), b.text().size()));
    return a.text() < b.text();  // UTF-8 sorts as code points do
  }
  const Sequence *s = a.sequence(), *t = b.sequence();
  if (s != nullptr && t != nullptr && same_class(s->kind, t->kind) && s->indexable() &&
      s->kind != SequenceKind::range) {
    const size_t shared = std::min(s->items.size(), t->items.size());
    for (size_t i = 0; i < shared; ++i) {
      if (!equals(budget, s->items[i], t->items[i])) {
        return less(budget, s->items[i], t->items[i]);
      }
    }
    return s->items.size() < t->items.size();
  }
  fail("'<' is not defined between '{}' and '{}'", type_name(a), type_name(b));
}

bool identical(const Value& a, const Value& b) {
  if (a.is_none() || b.is_none()) return a.is_none() && b.is_none();
  if (a.is<bool>() || b.is<bool>()) {
    return a.is<bool>() && b.is<bool>() && a.get<bool>() == b.get<bool>();
  }
  if (a.is<int64_t>() && b.is<int64_t>()) return a.integer() == b.integer();
  if (a.is_string() && b.is_string()) return a.text() == b.text();
  if (a.sequence() != nullptr) return a.sequence() == b.sequence();
  if (a.dict() != nullptr) return a.dict() == b.dict();
  return a.object() != nullptr && a.object() == b.object();
}

std::string hash_key(Budget& budget, const Value& value) {
  budget.step();
  if (value.is_string()) {
    budget.charge(value.text().size());
    return "s" + value.text();
  }
  if (value.is_none()) return "0";
  if (value.is_undefined()) return "u";
  if (value.is_int()) return "n" + std::to_string(value.integer());
  if (value.is<double>()) {
    const double d = value.get<double>();
    if (d == std::floor(d) && std::abs(d) < 0x1p62) {
      return "n" + std::to_string(static_cast<int64_t>(d));
    }
    return "n" + float_repr(d);
  }
  const Sequence* s = value.sequence();
  if (s != nullptr && (s->kind == SequenceKind::tuple || s->kind == SequenceKind::group)) {
    std::string key = "(";
    for (const Value& item : s->items) {
      const std::string part = hash_key(budget, item);
      key += std::to_string(part.size()) + ":" + part;
      budget.check_size(key.size());
    }
    return key;
  }
  if (value.object() != nullptr) {
    return "o" + std::to_string(reinterpret_cast<uintptr_t>(value.object()));
  }
  fail("unhashable type: '{}'", type_name(value));
}

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // Shortest digits that read back, then Python's choice of notation: exponent below -4 or from 16
  // on.
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));
  const size_t e = text.find('e');
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  if (exponent < -4 || exponent >= 16) return std::string(text);
  std::string digits, sign = value < 0 || std::signbit(value) ? "-" : "";
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

namespace {

void append_string_repr(Budget& budget, const std::string& text, std::string& out) {
  const bool single = text.find('\'') != std::string::npos;
  const char quote = single && text.find('"') == std::string::npos ? '"' : '\'';
  out += quote;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      append_code_point(out, c);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(c));
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<unsigned>(c));
    }
    if ((i & 1023) == 0) budget.check_size(out.size());
  }
  out += quote;
}

void append_items(Budget& budget, const std::vector<Value>& items, std::string& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(budget, items[i], out);
  }
}

void append_sequence_repr(Budget& budget, const Sequence& s, std::string& out) {
  switch (s.kind) {
    case SequenceKind::generator:
      fail("a generator cannot be printed (its text would be a memory address)");
    case SequenceKind::range:
      out += s.step == 1 ? fmt::format("range({}, {})", s.start, s.stop)
                         : fmt::format("range({}, {}, {})", s.start, s.stop, s.step);
      return;
    case SequenceKind::tuple:
    case SequenceKind::group:
      out += '(';
      append_items(budget, s.items, out);
      out += s.items.size() == 1 ? ",)" : ")";
      return;
    case SequenceKind::list:
      out += '[';
      break;
    case SequenceKind::keys:
      out += "dict_keys([";
      break;
    case SequenceKind::values:
      out += "dict_values([";
      break;
    case SequenceKind::items:
      out += "dict_items([";
      break;
  }
  append_items(budget, s.items, out);
  out += s.kind == SequenceKind::list ? "]" : "])";
}

}  // namespace

void append_repr(Budget& budget, const Value& value, std::string& out) {
  budget.step();
  budget.check_size(out.size());
  if (value.is_undefined()) {
    out += "Undefined";
  } else if (value.is_none()) {
    out += "None";
  } else if (value.is<bool>()) {
    out += value.get<bool>() ? "True" : "False";
  } else if (value.is<int64_t>()) {
    out += std::to_string(value.get<int64_t>());
  } else if (value.is<double>()) {
    out += float_repr(value.get<double>());
  } else if (value.is_string()) {
    budget.charge(value.text().size());
    if (value.str().markup) out += "Markup(";
    append_string_repr(budget, value.text(), out);
    if (value.str().markup) out += ")";
  } else if (const Sequence* s = value.sequence()) {
    append_sequence_repr(budget, *s, out);
  } else if (const Dict* d = value.dict()) {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : d->entries) {
      if (!first) out += ", ";
      first = false;
      append_repr(budget, key, out);
      out += ": ";
      append_repr(budget, item, out);
    }
    out += '}';
  } else {
    value.object()->repr(budget, out);
  }
}

std::string to_text(Budget& budget, const Value& value) {
  if (value.is_undefined()) return {};
  if (value.is_string()) {
    budget.charge(value.text().size());
    return value.text();
  }
  std::string out;
  append_repr(budget, value, out);
  budget.check_size(out.size());
  budget.charge(out.size());
  return out;
}

bool iterable(const Value& value) {
  if (const Object* o = value.object()) return std::strcmp(o->type_name(), "LoopContext") == 0;
  return value.is_undefined() || value.is_string() || value.sequence() || value.dict();
}

std::vector<Value> elements(Budget& budget, const Value& value) {
  std::vector<Value> out;
  if (value.is_undefined()) return out;
  if (value.is_string()) {
    const std::string& text = value.text();
    const bool markup = value.str().markup;
    for (size_t i = 0; i < text.size();) {
      const size_t begin = i;
      next_code_point(text, i);
      budget.step();
      out.push_back(make_string(budget, text.substr(begin, i - begin), markup));
    }
    return out;
  }
  if (Sequence* s = value.sequence()) {
    if (s->kind == SequenceKind::generator) {
      out.assign(s->items.begin() + static_cast<ptrdiff_t>(s->next), s->items.end());
      s->next = s->items.size();
    } else {
      out = s->items;
    }
    budget.step(static_cast<int64_t>(out.size() / 8));
    budget.charge(out.size() * sizeof(Value));
    return out;
  }
  if (const Dict* d = value.dict()) {
    budget.step(static_cast<int64_t>(d->entries.size() / 8));
    budget.charge(d->entries.size() * sizeof(Value));
    for (const auto& entry : d->entries) out.push_back(entry.first);
    return out;
  }
  fail("'{}' object is not iterable", type_name(value));
}

int64_t length(Budget& budget, const Value& value) {
  if (value.is_undefined()) return 0;
  if (value.is_string()) {
    if (value.str().ascii) return static_cast<int64_t>(value.text().size());
    budget.charge(value.text().size());
    return static_cast<int64_t>(count_code_points(value.text()));
  }
  const Sequence* s = value.sequence();
  if (s != nullptr && s->kind != SequenceKind::generator) {
    return static_cast<int64_t>(s->items.size());
  }
  if (const Dict* d = value.dict()) return static_cast<int64_t>(d->entries.size());
  fail("object of type '{}' has no len()", type_name(value));
}

bool contains(Budget& budget, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (item.is_undefined() || !item.is_string()) {
      fail("'in <string>' requires string as left operand, not {}", type_name(item));
    }
    budget.charge(container.text().size());
    const std::string &a = container.text(), &b = item.text();
    return b.empty() || memmem(a.data(), a.size(), b.data(), b.size()) != nullptr;
  }
  if (const Dict* d = container.dict()) return d->find(budget, item) != nullptr;
  if (!iterable(container) || container.object() != nullptr) {
    fail("argument of type '{}' is not iterable", type_name(container));
  }
  if (const Sequence* s = container.sequence(); s && s->kind != SequenceKind::generator) {
    for (const Value& element : s->items) {
      if (equals(budget, element, item)) return true;
    }
    return false;
  }
  for (const Value& element : elements(budget, container)) {
    if (equals(budget, element, item)) return true;
  }
  return false;
}

void fail_undefined(const Value& value) { fail("{}", *value.get<Undefined>().message); }

}  // namespace sumi::text::jinja
