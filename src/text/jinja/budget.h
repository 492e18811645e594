// What a render may still spend. Templates are untrusted: every loop in the interpreter pays here,
// so that a short template cannot take unbounded time or memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "text/chat_template.h"

namespace sumi::text::jinja {

class Budget {
 public:
  explicit Budget(const TemplateLimits& limits)
      : steps_(limits.steps), bytes_(limits.output_bytes * 32), largest_(limits.output_bytes) {}

  // One expression, statement or element of a container handled.
  void step(int64_t count = 1) {
    if ((steps_ -= count) < 0) fail("the template takes too many steps");
  }
  // Bytes read or made by one operation: bounds both the memory held and the time of string work.
  void charge(size_t bytes) {
    if (bytes > static_cast<size_t>(bytes_)) fail("the template handles too much data");
    bytes_ -= static_cast<int64_t>(bytes);
  }
  // Throws if a string (or the output) of this size is too large. Call before making it.
  void check_size(size_t bytes) const {
    if (bytes > static_cast<size_t>(largest_)) {
      fail("a string or the output would exceed {} bytes", largest_);
    }
  }
  // size * count, checked against the largest allowed.
  void check_product(size_t size, uint64_t count) const {
    if (size != 0 && count > static_cast<uint64_t>(largest_) / size) check_size(SIZE_MAX);
  }

 private:
  int64_t steps_, bytes_, largest_;
};

}  // namespace sumi::text::jinja
