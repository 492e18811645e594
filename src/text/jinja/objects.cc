#include "text/jinja/objects.h"

#include <algorithm>
#include <ctime>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace sumi::text::jinja {

bool MacroObject::attribute(Interpreter& in, std::string_view attribute_name, Value& result) {
  if (attribute_name == "name") {
    result = make_string(in.budget, macro.name);
  } else if (attribute_name == "arguments") {
    std::vector<Value> names;
    for (const auto& parameter : macro.parameters) {
      names.push_back(make_string(in.budget, parameter));
    }
    result = make_sequence(in.budget, SequenceKind::tuple, std::move(names));
  } else if (attribute_name == "caller" || attribute_name == "catch_kwargs" ||
             attribute_name == "catch_varargs") {
    result = Value(attribute_name == "caller"         ? macro.uses_caller
                   : attribute_name == "catch_kwargs" ? macro.uses_kwargs
                                                      : macro.uses_varargs);
  } else {
    return false;
  }
  return true;
}

void MacroObject::repr(Budget&, std::string& out) const {
  out += macro.name == "caller" ? "<Macro anonymous>" : "<Macro '" + macro.name + "'>";
}

bool Namespace::attribute(Interpreter& in, std::string_view name, Value& result) {
  in.budget.step();
  const Value* value = attributes->find(name);
  if (value != nullptr) result = *value;
  return value != nullptr;
}

void Namespace::repr(Budget& budget, std::string& out) const {
  for (const auto& [key, value] : attributes->entries) {
    if (value.object() != nullptr || depth_of(value) > 1) {
      fail("a namespace that holds other containers cannot be printed");
    }
  }
  out += "<Namespace ";
  append_repr(budget, Value(attributes), out);
  out += '>';
}

std::optional<Value> Loop::pull() {
  while (position < source.size()) {
    const Value& value = source[position++];
    if (!accept || accept(value)) return value;
  }
  return std::nullopt;
}

bool Loop::peek() {
  if (!after) after = pull();
  return after.has_value();
}

bool Loop::advance() {
  std::optional<Value> next = std::move(after);
  after.reset();
  if (!next) next = pull();
  if (!next) return false;
  ++index0;
  before = std::move(current);
  current = std::move(next);
  return true;
}

int64_t Loop::length() {
  if (known_length >= 0) return known_length;
  if (!accept) return known_length = static_cast<int64_t>(source.size());
  // Filters the rest now, as Jinja2 does by making a list of its iterator.
  std::vector<Value> rest;
  while (std::optional<Value> value = pull()) rest.push_back(std::move(*value));
  known_length = static_cast<int64_t>(rest.size()) + index0 + 1 + (after ? 1 : 0);
  source = std::move(rest);
  position = 0;
  accept = nullptr;
  return known_length;
}

bool Loop::attribute(Interpreter& in, std::string_view name, Value& result) {
  in.budget.step();
  if (name == "index") {
    result = Value(index0 + 1);
  } else if (name == "index0") {
    result = Value(index0);
  } else if (name == "first") {
    result = Value(index0 == 0);
  } else if (name == "last") {
    result = Value(!peek());
  } else if (name == "length") {
    result = Value(length());
  } else if (name == "revindex") {
    result = Value(length() - index0);
  } else if (name == "revindex0") {
    result = Value(length() - index0 - 1);
  } else if (name == "depth" || name == "depth0") {
    result = Value(int64_t{name == "depth"});
  } else if (name == "previtem") {
    result = index0 > 0 && before ? *before : make_undefined("there is no previous item");
  } else if (name == "nextitem") {
    result = peek() ? *after : make_undefined("there is no next item");
  } else if (name == "cycle" || name == "changed") {
    // Holds the loop, which keep() holds until the render ends.
    struct LoopMethod : Object {
      LoopMethod(Loop* owner, bool is_cycle) : Object(owner->depth), loop(owner), cycle(is_cycle) {}
      const char* type_name() const override { return "method"; }
      bool callable() const override { return true; }
      Value call(Interpreter& in, Args args) override {
        if (!args.named.empty()) fail("loop methods take no keyword arguments");
        if (cycle) {
          if (args.positional.empty()) fail("no items for cycling given");
          const auto count = static_cast<int64_t>(args.positional.size());
          return args.positional[static_cast<size_t>(loop->index0 % count)];
        }
        Value value = make_sequence(in.budget, SequenceKind::tuple, std::move(args.positional));
        if (loop->last_changed && equals(in.budget, *loop->last_changed, value)) {
          return Value(false);
        }
        loop->last_changed = std::move(value);
        return Value(true);
      }
      Loop* loop;
      bool cycle;
    };
    in.keep(shared_from_this());
    result = Value(std::shared_ptr<Object>(std::make_shared<LoopMethod>(this, name == "cycle")));
  } else {
    return false;
  }
  return true;
}

Value Loop::call(Interpreter&, Args) { fail("unsupported: recursive loops"); }

void Loop::repr(Budget&, std::string& out) const {
  if (accept && known_length < 0) fail("a filtered loop cannot be printed");
  out += fmt::format("<LoopContext {}/{}>", index0 + 1,
                     known_length >= 0 ? known_length : static_cast<int64_t>(source.size()));
}

bool Cycler::attribute(Interpreter& in, std::string_view name, Value& result) {
  if (name == "current") {
    result = items[position];
    return true;
  }
  if (name != "next" && name != "reset") return false;
  struct CyclerMethod : Object {
    CyclerMethod(Cycler* owner, bool is_next)
        : Object(owner->depth), cycler(owner), next(is_next) {}
    const char* type_name() const override { return "method"; }
    bool callable() const override { return true; }
    Value call(Interpreter&, Args args) override {
      const Bound b("next", args, {});
      if (!next) {
        cycler->position = 0;
        return Value();
      }
      const Value value = cycler->items[cycler->position];
      cycler->position = (cycler->position + 1) % cycler->items.size();
      return value;
    }
    Cycler* cycler;
    bool next;
  };
  in.keep(shared_from_this());
  result = Value(std::shared_ptr<Object>(std::make_shared<CyclerMethod>(this, name == "next")));
  return true;
}

Value Joiner::call(Interpreter&, Args args) {
  const Bound b("joiner", args, {});
  if (used) return separator;
  used = true;
  return constant("");
}

namespace {

Value range(Interpreter& in, Args& args) {
  if (!args.named.empty()) fail("range() takes no keyword arguments");
  if (args.positional.empty()) fail("range expected at least 1 argument, got 0");
  const Bound b("range", args, {"start", "stop", "step"}, 1);
  const int64_t step = b.integer(2, 1);
  const int64_t start = b.has(1) ? b.integer(0) : 0, stop = b.has(1) ? b.integer(1) : b.integer(0);
  if (step == 0) fail("range() arg 3 must not be zero");
  uint64_t count = 0;
  if (step > 0 ? start < stop : start > stop) {
    const uint64_t distance = step > 0 ? static_cast<uint64_t>(stop) - static_cast<uint64_t>(start)
                                       : static_cast<uint64_t>(start) - static_cast<uint64_t>(stop);
    count = (distance - 1) /
                (step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step)) +
            1;
  }
  if (count > 100000) fail("Range too big. The sandbox blocks ranges larger than 100000.");
  in.budget.step(static_cast<int64_t>(count / 8));
  std::vector<Value> items;
  for (uint64_t i = 0; i < count; ++i)
    items.push_back(Value(start + static_cast<int64_t>(i) * step));
  Value result = make_sequence(in.budget, SequenceKind::range, std::move(items));
  result.sequence()->start = start;
  result.sequence()->stop = stop;
  result.sequence()->step = step;
  return result;
}

std::shared_ptr<Dict> dict_of(Interpreter& in, Args& args) {
  auto dict = make_dict();
  if (args.positional.size() > 1)
    fail("dict expected at most 1 argument, got {}", args.positional.size());
  if (!args.positional.empty()) {
    const Value& from = args.positional[0];
    if (const Dict* other = from.dict()) {
      for (const auto& [key, value] : other->entries) dict->set(in.budget, key, value);
    } else {
      for (const Value& item : elements(in.budget, from)) {
        const std::vector<Value> pair = elements(in.budget, item);
        if (pair.size() != 2) fail("a dict needs pairs, found {} elements", pair.size());
        dict->set(in.budget, pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : args.named) {
    dict->set(in.budget, make_string(in.budget, name), value);
  }
  return dict;
}

Value dict(Interpreter& in, Args& args) { return Value(dict_of(in, args)); }

Value make_namespace(Interpreter& in, Args& args) {
  auto ns = std::make_shared<Namespace>();
  ns->attributes = dict_of(in, args);
  for (const auto& entry : ns->attributes->entries) {
    if (entry.first.is_string() && entry.first.text().starts_with('_')) {
      fail("a namespace cannot hold '{}': names must not start with an underscore",
           entry.first.text());
    }
  }
  in.keep(ns);
  return Value(std::shared_ptr<Object>(std::move(ns)));
}

Value cycler(Interpreter& in, Args& args) {
  if (!args.named.empty()) fail("cycler() takes no keyword arguments");
  if (args.positional.empty()) fail("at least one item has to be provided");
  in.budget.charge(args.positional.size() * sizeof(Value));
  auto object = std::make_shared<Cycler>(std::move(args.positional));
  return Value(std::shared_ptr<Object>(std::move(object)));
}

Value joiner(Interpreter&, Args& args) {
  const Bound b("joiner", args, {"sep"});
  if (b.has(0) && !b[0].is_string()) fail("unsupported: a joiner of '{}'", type_name(b[0]));
  return Value(std::shared_ptr<Object>(std::make_shared<Joiner>(b.has(0) ? b[0] : constant(", "))));
}

Value raise_exception(Interpreter& in, Args& args) {
  const Bound b("raise_exception", args, {"message"}, 1);
  fail("{}", to_text(in.budget, b[0]));
}

Value lipsum(Interpreter&, Args&) { fail("unsupported function 'lipsum'"); }

Value strftime_now(Interpreter& in, Args& args) {
  const Bound b("strftime_now", args, {"format"}, 1);
  const std::string& format = b.text(0);
  if (format.size() > 1000) fail("strftime_now: the format is longer than 1000 bytes");
  timespec clock{};
  if (in.now() >= 0) {
    clock.tv_sec = static_cast<time_t>(in.now());
  } else {
    clock_gettime(CLOCK_REALTIME, &clock);
  }
  std::tm tm{};
  if (localtime_r(&clock.tv_sec, &tm) == nullptr) fail("strftime_now: the time is out of range");
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 >= format.size()) {
      out += format[i];
      continue;
    }
    std::string part = "%";
    part += format[++i];
    while ((part.back() == '-' || part.back() == '_' || part.back() == '0' || part.back() == '^' ||
            part.back() == '#') &&
           i + 1 < format.size() && part.size() < 4) {
      part += format[++i];
    }
    if (part == "%f") {  // Python's own: microseconds
      out += fmt::format("{:06}", clock.tv_nsec / 1000);
    } else if (part != "%z" && part != "%Z") {  // empty for a time without zone
      char buffer[256];
      const size_t length = std::strftime(buffer, sizeof buffer, part.c_str(), &tm);
      out.append(buffer, length);
    }
  }
  return make_string(in.budget, valid_utf8(out));
}

}  // namespace

std::shared_ptr<Scope> global_scope() {
  static constexpr std::pair<const char*, Function::Body> kFunctions[] = {
      {"range", range},
      {"dict", dict},
      {"namespace", make_namespace},
      {"cycler", cycler},
      {"joiner", joiner},
      {"raise_exception", raise_exception},
      {"lipsum", lipsum},
      {"strftime_now", strftime_now}};
  auto scope = std::make_shared<Scope>();
  for (const auto& [name, body] : kFunctions) {
    scope->variables.emplace_back(
        name, Value(std::shared_ptr<Object>(std::make_shared<Function>(name, body))));
  }
  return scope;
}

}  // namespace sumi::text::jinja
