// Python's arithmetic operators.
#include <cmath>

#include "text/jinja/filters.h"

namespace sumi::text::jinja {

int64_t checked_add(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_add_overflow(a, b, &result))
    fail("integer overflow: {} + {} needs over 64 bits", a, b);
  return result;
}

int64_t checked_multiply(int64_t a, int64_t b) {
  int64_t result;
  if (__builtin_mul_overflow(a, b, &result))
    fail("integer overflow: {} * {} needs over 64 bits", a, b);
  return result;
}

int64_t to_integer(double value) {
  if (!(value > -9.3e18 && value < 9.3e18) || value < -0x1p63 || value >= 0x1p63) {
    fail("cannot convert float {} to a 64-bit integer", float_repr(value));
  }
  return static_cast<int64_t>(value);
}

namespace {

Value power(int64_t base, int64_t exponent) {
  if (exponent < 0) {
    if (base == 0) fail("0.0 cannot be raised to a negative power");
    return Value(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  int64_t result = 1;
  while (true) {
    if (exponent & 1) result = checked_multiply(result, base);
    exponent >>= 1;
    if (exponent == 0) return Value(result);
    if (base == 0 || base == 1) return Value(base == 0 ? int64_t{0} : result);
    base = base == -1 ? 1 : checked_multiply(base, base);
  }
}

Value integers(std::string_view op, int64_t a, int64_t b) {
  if (op == "+") return Value(checked_add(a, b));
  if (op == "*") return Value(checked_multiply(a, b));
  if (op == "-") {
    int64_t result;
    if (__builtin_sub_overflow(a, b, &result))
      fail("integer overflow: {} - {} needs over 64 bits", a, b);
    return Value(result);
  }
  if (op == "**") return power(a, b);
  if (b == 0) fail("division by zero");
  if (op == "/") {
    return Value(static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b)));
  }
  if (b == -1) return op == "%" ? Value(int64_t{0}) : Value(checked_multiply(a, -1));
  int64_t quotient = a / b, remainder = a % b;  // towards zero; Python rounds down
  if (remainder != 0 && (remainder < 0) != (b < 0)) {
    remainder += b;
    --quotient;
  }
  return Value(op == "%" ? remainder : quotient);
}

Value floats(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") {
    if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
    if (a < 0 && std::isfinite(a) && std::isfinite(b) && std::floor(b) != b) {
      fail("unsupported: complex numbers");
    }
    const double result = std::pow(a, b);
    if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) fail("float overflow in **");
    return Value(result);
  }
  if (b == 0) fail("float division by zero");
  if (op == "/") return Value(a / b);
  // As CPython's float_divmod: the remainder has the divisor's sign.
  double remainder = std::fmod(a, b);
  double quotient = (a - remainder) / b;
  if (remainder != 0) {
    if ((b < 0) != (remainder < 0)) {
      remainder += b;
      quotient -= 1;
    }
  } else {
    remainder = std::copysign(0.0, b);
  }
  if (op == "%") return Value(remainder);
  if (quotient == 0) return Value(std::copysign(0.0, a / b));
  double floored = std::floor(quotient);
  if (quotient - floored > 0.5) floored += 1;
  return Value(floored);
}

Value repeat(Budget& budget, const Value& value, int64_t count) {
  const auto times = static_cast<uint64_t>(count < 0 ? 0 : count);
  if (value.is_string()) {
    budget.check_product(value.text().size(), times);
    if (value.text().empty()) return value;
    std::string text;
    text.reserve(value.text().size() * times);
    for (uint64_t i = 0; i < times; ++i) text += value.text();
    return make_string(budget, std::move(text), value.str().markup);
  }
  const Sequence& sequence = *value.sequence();
  budget.check_product(sequence.items.size() * sizeof(Value), times);
  std::vector<Value> items;
  if (!sequence.items.empty()) {
    budget.charge(sequence.items.size() * sizeof(Value) * times);
    for (uint64_t i = 0; i < times; ++i) {
      items.insert(items.end(), sequence.items.begin(), sequence.items.end());
    }
  }
  return make_sequence(
      budget, sequence.kind == SequenceKind::list ? SequenceKind::list : SequenceKind::tuple,
      std::move(items));
}

// list, tuple: what + and * take.
bool is_array(const Value& value) {
  const Sequence* s = value.sequence();
  return s != nullptr && s->indexable() && s->kind != SequenceKind::range;
}

}  // namespace

Value arithmetic(Interpreter& in, std::string_view op, const Value& a, const Value& b) {
  Budget& budget = in.budget;
  if (op == "%" && a.is_string()) return percent_format(in, a, b);
  if (a.is_undefined()) fail_undefined(a);
  if (b.is_undefined()) fail_undefined(b);
  if (a.is_int() && b.is_int()) return integers(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return floats(op, a.number(), b.number());
  if (op == "+" && a.is_string() && b.is_string()) {
    if (a.str().markup || b.str().markup) {
      const Value x = escape_markup(budget, a), y = escape_markup(budget, b);
      return make_string(budget, x.text() + y.text(), true);
    }
    budget.check_size(a.text().size() + b.text().size());
    return make_string(budget, a.text() + b.text());
  }
  if (op == "+" && is_array(a) && is_array(b) &&
      (a.sequence()->kind == SequenceKind::list) == (b.sequence()->kind == SequenceKind::list)) {
    std::vector<Value> items = elements(budget, a);
    const auto& more = b.sequence()->items;
    budget.charge(more.size() * sizeof(Value));
    items.insert(items.end(), more.begin(), more.end());
    return make_sequence(
        budget, a.sequence()->kind == SequenceKind::list ? SequenceKind::list : SequenceKind::tuple,
        std::move(items));
  }
  if (op == "*" && (a.is_string() || is_array(a)) && b.is_int()) {
    return repeat(budget, a, b.integer());
  }
  if (op == "*" && (b.is_string() || is_array(b)) && a.is_int()) {
    return repeat(budget, b, a.integer());
  }
  fail("unsupported operand types for {}: '{}' and '{}'", op, type_name(a), type_name(b));
}

}  // namespace sumi::text::jinja
