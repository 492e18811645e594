// Sizes rounded up to whole units.
#pragma once

#include <type_traits>

namespace sumi::base {

// Always inlined: kernels of one instruction set must leave no copy of it for others.
template <class Integer>
[[gnu::always_inline]] constexpr Integer round_up(Integer count, std::type_identity_t<Integer> unit) {
  return (count + unit - 1) / unit * unit;
}

}  // namespace sumi::base
