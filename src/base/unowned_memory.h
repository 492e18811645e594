// Aligned memory for those who keep blocks themselves.
#pragma once

#include <cstddef>

namespace sumi::base {

// As allocate() of base/memory.h gives, without an owner: std::free() frees it. `bytes` is how many are expected to
// be used, `room` how many there are, at least `bytes`.
std::byte* allocate_unowned(size_t bytes, size_t room);

}  // namespace sumi::base
