#include "formats/pickle.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "base/error.h"
#include "formats/bytes.h"

namespace sumi::formats {

namespace {

struct Opcode {
  unsigned char code;
  const char* name;
};

// Those that are refused, for the message.
constexpr Opcode kRefused[] = {
    {'P', "PERSID"},       {'I', "INT"},
    {'L', "LONG"},         {'F', "FLOAT"},
    {'S', "STRING"},       {'V', "UNICODE"},
    {'g', "GET"},          {'p', "PUT"},
    {'i', "INST"},         {'o', "OBJ"},
    {'2', "DUP"},          {0x81, "NEWOBJ"},
    {0x82, "EXT1"},        {0x83, "EXT2"},
    {0x84, "EXT4"},        {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},   {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"},
};

constexpr int kHighestProtocol = 5;

// Dictionaries by another name: items may be set on the result of calling them.
bool is_dictionary_class(std::string_view global) {
  return global == "collections.OrderedDict" || global == "collections.defaultdict";
}

}  // namespace

// The stack machine. The stack holds values' ids; marks_ holds stack heights.
class PickleReader {
 public:
  using Kind = Pickle::Kind;
  using Id = Pickle::Id;

  PickleReader(std::string_view data, std::span<const std::string_view> globals,
               const std::string& name, const PickleLimits& limits, Pickle* out)
      : name_(name),
        cursor_(reinterpret_cast<const std::byte*>(data.data()),
                std::min(data.size(), limits.bytes), name_),
        globals_(globals),
        limits_(limits),
        all_(out->values_),
        out_(out) {}

  void run() {
    none_ = add({});
    while (step()) {
    }
    refuse_cycles();
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail("{}: pickle: {} (at byte {})", name_, what, at_);
  }
  void within(size_t count, const char* what) const {
    if (count >= limits_.values)
      refuse(fmt::format("more than {} {} are not allowed", limits_.values, what));
  }

  Id add(Pickle::Value value) {
    within(all_.size(), "values");
    all_.push_back(std::move(value));
    return static_cast<Id>(all_.size() - 1);
  }
  void push(Id id) {
    within(stack_.size(), "values on the stack");
    stack_.push_back(id);
  }
  void push_new(Kind kind, std::string_view text = {}) {
    Pickle::Value value;
    value.kind = kind;
    value.text = text;
    push(add(std::move(value)));
  }
  void push_integer(int64_t integer, Kind kind = Kind::integer) {
    Pickle::Value value;
    value.kind = kind;
    value.integer = integer;
    push(add(std::move(value)));
  }
  // Values pushed since the last mark.
  size_t height() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  void need(size_t count, const char* opcode) const {
    if (height() < count)
      refuse(fmt::format("{} needs {} values, the stack has {}", opcode, count, height()));
  }
  Id pop(const char* opcode) {
    need(1, opcode);
    const Id id = stack_.back();
    stack_.pop_back();
    return id;
  }
  std::vector<Id> pop_many(size_t count, const char* opcode) {
    need(count, opcode);
    std::vector<Id> items(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  std::vector<Id> pop_to_mark(const char* opcode) {
    if (marks_.empty()) refuse(fmt::format("{} without a MARK", opcode));
    std::vector<Id> items(stack_.begin() + static_cast<ptrdiff_t>(marks_.back()), stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  void push_items(Kind kind, std::vector<Id> items) {
    Pickle::Value value;
    value.kind = kind;
    value.items = std::move(items);
    push(add(std::move(value)));
  }
  void push_pairs(std::vector<Id> items, const char* opcode) {
    check_pairs(items, opcode);
    push_items(Kind::dictionary, std::move(items));
  }
  void check_pairs(const std::vector<Id>& items, const char* opcode) const {
    if (items.size() % 2 != 0) refuse(fmt::format("{} with a key but no value", opcode));
  }
  void append(const std::vector<Id>& items, const char* opcode) {
    need(1, opcode);
    Pickle::Value& list = all_[stack_.back()];
    if (list.kind != Kind::list)
      refuse(fmt::format("{} on {}, expected a list", opcode, Pickle::kind_name(list.kind)));
    list.items.insert(list.items.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<Id>& items, const char* opcode) {
    check_pairs(items, opcode);
    need(1, opcode);
    Pickle::Value& value = all_[stack_.back()];
    const bool fits = value.kind == Kind::dictionary ||
                      (value.kind == Kind::call && is_dictionary_class(all_[value.target].text));
    if (!fits)
      refuse(fmt::format("{} on {}, expected a dictionary", opcode, Pickle::kind_name(value.kind)));
    value.items.insert(value.items.end(), items.begin(), items.end());
  }

  void push_text(uint64_t bytes, Kind kind, const char* field) {
    push_new(kind, cursor_.read_bytes(bytes, field));
  }
  template <class Length>
  Length length(const char* field) {
    return cursor_.read<Length>(field);
  }
  // Length bytes of a little-endian two's complement integer.
  void push_long(std::string_view bytes) {
    if (bytes.size() > 8) return push_new(Kind::big_integer, bytes);
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
      value |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    const unsigned unused = 64 - 8 * static_cast<unsigned>(bytes.size());
    push_integer(bytes.empty() ? 0 : static_cast<int64_t>(value << unused) >> unused);
  }

  void push_global(const std::string& global) {
    const auto found = std::find(globals_.begin(), globals_.end(), global);
    if (found == globals_.end())
      refuse(fmt::format("the global {} is not allowed: it could run code", shown(global)));
    push_new(Kind::global, *found);
  }
  std::string_view read_line(const char* field) {
    const std::string_view rest = cursor_.rest();
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) refuse(fmt::format("{} does not end", field));
    const std::string_view line = cursor_.read_bytes(end, field);
    cursor_.read_bytes(1, field);
    return line;
  }
  void stack_global() {
    const std::vector<Id> names = pop_many(2, "STACK_GLOBAL");
    for (const Id id : names)
      if (all_[id].kind != Kind::text)
        refuse(fmt::format("STACK_GLOBAL of {}, expected text", Pickle::kind_name(all_[id].kind)));
    push_global(std::string(all_[names[0]].text) + "." + std::string(all_[names[1]].text));
  }

  void reduce() {
    Pickle::Value call;
    call.kind = Kind::call;
    call.arguments = pop("REDUCE");
    call.target = pop("REDUCE");
    if (all_[call.target].kind != Kind::global)
      refuse(fmt::format("REDUCE calls {}, expected a global",
                         Pickle::kind_name(all_[call.target].kind)));
    if (all_[call.arguments].kind != Kind::tuple)
      refuse(fmt::format("REDUCE of {} with {}, expected a tuple", all_[call.target].text,
                         Pickle::kind_name(all_[call.arguments].kind)));
    push(add(std::move(call)));
  }
  // Attributes of an object: OrderedDict's _metadata and the like. They are read and forgotten.
  void build() {
    pop("BUILD");
    need(1, "BUILD");
    const Pickle::Value& object = all_[stack_.back()];
    if (object.kind != Kind::call)
      refuse(fmt::format("BUILD on {}, expected an object", Pickle::kind_name(object.kind)));
  }
  void persistent() {
    Pickle::Value value;
    value.kind = Kind::persistent;
    value.arguments = pop("BINPERSID");
    push(add(std::move(value)));
  }

  void memoize(uint64_t index, const char* opcode) {
    need(1, opcode);
    if (index >= limits_.values)
      refuse(
          fmt::format("{}: memo entry {}, at most {} are allowed", opcode, index, limits_.values));
    memo_[static_cast<uint32_t>(index)] = stack_.back();
  }
  void recall(uint32_t index, const char* opcode) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) refuse(fmt::format("{}: there is no memo entry {}", opcode, index));
    push(found->second);
  }

  // One opcode; false after STOP.
  bool step() {
    at_ = cursor_.position();
    if (cursor_.remaining() == 0) refuse("it ends without STOP, or is larger than allowed");
    const auto code = cursor_.read<unsigned char>("opcode");
    switch (code) {
      case 0x80: {  // PROTO
        const auto protocol = cursor_.read<uint8_t>("protocol");
        if (protocol > kHighestProtocol) refuse(fmt::format("protocol {} is not known", protocol));
        return true;
      }
      case 0x95:  // FRAME: a hint for reading ahead
        cursor_.read<uint64_t>("FRAME");
        return true;
      case '.':
        out_->root_ = pop("STOP");
        out_->size_ = cursor_.position();
        return false;
      case '(':
        within(marks_.size(), "marks");
        marks_.push_back(stack_.size());
        return true;
      case '0':
        pop("POP");
        return true;
      case '1':
        pop_to_mark("POP_MARK");
        return true;
      case 'N':
        push(none_);
        return true;
      case 0x88:
        push_integer(1, Kind::boolean);
        return true;
      case 0x89:
        push_integer(0, Kind::boolean);
        return true;
      default:
        break;
    }
    if (step_scalar(code) || step_container(code) || step_object(code)) return true;
    for (const Opcode& refused : kRefused)
      if (refused.code == code) refuse(fmt::format("the opcode {} is not allowed", refused.name));
    refuse(fmt::format("the opcode 0x{:02x} is not known", code));
  }

  bool step_scalar(unsigned char code) {
    switch (code) {
      case 'J':
        push_integer(cursor_.read<int32_t>("BININT"));
        return true;
      case 'K':
        push_integer(cursor_.read<uint8_t>("BININT1"));
        return true;
      case 'M':
        push_integer(cursor_.read<uint16_t>("BININT2"));
        return true;
      case 0x8a:
        push_long(cursor_.read_bytes(length<uint8_t>("LONG1"), "LONG1"));
        return true;
      case 0x8b:  // its length is signed; a negative one becomes too large
        push_long(cursor_.read_bytes(length<uint32_t>("LONG4"), "LONG4"));
        return true;
      case 'G': {
        Pickle::Value value;
        value.kind = Kind::real;
        const auto bits = cursor_.read<uint64_t>("BINFLOAT");  // big-endian
        value.real = std::bit_cast<double>(__builtin_bswap64(bits));
        push(add(std::move(value)));
        return true;
      }
      case 'U':  // Python 2's str: text in the files of its time
        push_text(length<uint8_t>("SHORT_BINSTRING"), Kind::text, "SHORT_BINSTRING");
        return true;
      case 'T':
        push_text(length<uint32_t>("BINSTRING"), Kind::text, "BINSTRING");
        return true;
      case 0x8c:
        push_text(length<uint8_t>("SHORT_BINUNICODE"), Kind::text, "SHORT_BINUNICODE");
        return true;
      case 'X':
        push_text(length<uint32_t>("BINUNICODE"), Kind::text, "BINUNICODE");
        return true;
      case 0x8d:
        push_text(length<uint64_t>("BINUNICODE8"), Kind::text, "BINUNICODE8");
        return true;
      case 'C':
        push_text(length<uint8_t>("SHORT_BINBYTES"), Kind::bytes, "SHORT_BINBYTES");
        return true;
      case 'B':
        push_text(length<uint32_t>("BINBYTES"), Kind::bytes, "BINBYTES");
        return true;
      case 0x8e:
        push_text(length<uint64_t>("BINBYTES8"), Kind::bytes, "BINBYTES8");
        return true;
      default:
        return false;
    }
  }

  bool step_container(unsigned char code) {
    switch (code) {
      case ')':
        push_new(Kind::tuple);
        return true;
      case 't':
        push_items(Kind::tuple, pop_to_mark("TUPLE"));
        return true;
      case 0x85:
        push_items(Kind::tuple, pop_many(1, "TUPLE1"));
        return true;
      case 0x86:
        push_items(Kind::tuple, pop_many(2, "TUPLE2"));
        return true;
      case 0x87:
        push_items(Kind::tuple, pop_many(3, "TUPLE3"));
        return true;
      case ']':
        push_new(Kind::list);
        return true;
      case 'l':
        push_items(Kind::list, pop_to_mark("LIST"));
        return true;
      case 'a':
        append(pop_many(1, "APPEND"), "APPEND");
        return true;
      case 'e':
        append(pop_to_mark("APPENDS"), "APPENDS");
        return true;
      case '}':
        push_new(Kind::dictionary);
        return true;
      case 'd':
        push_pairs(pop_to_mark("DICT"), "DICT");
        return true;
      case 's':
        set_items(pop_many(2, "SETITEM"), "SETITEM");
        return true;
      case 'u':
        set_items(pop_to_mark("SETITEMS"), "SETITEMS");
        return true;
      default:
        return false;
    }
  }

  bool step_object(unsigned char code) {
    switch (code) {
      case 'c': {
        const std::string module(read_line("GLOBAL"));
        push_global(module + "." + std::string(read_line("GLOBAL")));
        return true;
      }
      case 0x93:
        stack_global();
        return true;
      case 'R':
        reduce();
        return true;
      case 'b':
        build();
        return true;
      case 'Q':
        persistent();
        return true;
      case 'q':
        memoize(cursor_.read<uint8_t>("BINPUT"), "BINPUT");
        return true;
      case 'r':
        memoize(cursor_.read<uint32_t>("LONG_BINPUT"), "LONG_BINPUT");
        return true;
      case 0x94:
        memoize(memo_.size(), "MEMOIZE");
        return true;
      case 'h':
        recall(cursor_.read<uint8_t>("BINGET"), "BINGET");
        return true;
      case 'j':
        recall(cursor_.read<uint32_t>("LONG_BINGET"), "LONG_BINGET");
        return true;
      default:
        return false;
    }
  }

  // Depth-first without recursion: a value met again while its own parts are being visited contains
  // itself.
  void refuse_cycles() const {
    enum class Mark : uint8_t { unseen, open, done };
    std::vector<Mark> marks(all_.size(), Mark::unseen);
    struct Visit {
      Id id;
      size_t next;
    };
    std::vector<Visit> path{{out_->root_, 0}};
    marks[out_->root_] = Mark::open;
    while (!path.empty()) {
      Visit& visit = path.back();
      const Pickle::Value& value = all_[visit.id];
      const bool refers = value.kind == Kind::call || value.kind == Kind::persistent;
      const size_t parts = value.items.size() + (refers ? 1 : 0);
      if (visit.next == parts) {
        marks[visit.id] = Mark::done;
        path.pop_back();
        continue;
      }
      const Id part = visit.next < value.items.size() ? value.items[visit.next] : value.arguments;
      ++visit.next;
      if (marks[part] == Mark::open)
        fail("{}: pickle: {} contains itself", name_, Pickle::kind_name(all_[part].kind));
      if (marks[part] == Mark::unseen) {
        marks[part] = Mark::open;
        path.push_back({part, 0});
      }
    }
  }

  const std::string& name_;
  ByteCursor cursor_;
  std::span<const std::string_view> globals_;
  const PickleLimits& limits_;
  std::vector<Pickle::Value>& all_;
  Pickle* out_;
  std::vector<Id> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, Id> memo_;
  Id none_ = 0;
  size_t at_ = 0;
};

Pickle::Pickle(std::string_view data, std::span<const std::string_view> globals, std::string name,
               const PickleLimits& limits) {
  PickleReader(data, globals, name, limits, this).run();
}

const char* Pickle::kind_name(Kind kind) {
  constexpr const char* kNames[] = {
      "None",     "a truth value", "an integer",     "a large integer", "a float",
      "text",     "bytes",         "a tuple",        "a list",          "a dictionary",
      "a global", "an object",     "a persistent id"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace sumi::formats
