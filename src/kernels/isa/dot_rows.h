// Rows of 64-byte lines times weights in groups of four bytes (pairs of bf16 or fours of int8), which vectors multiply
// and add to a lane: for processors that do so and have no tiles.
#pragma once

#include <type_traits>

#include "kernels/isa/bf16_dot.h"
#include "kernels/isa/tiles.h"

#if defined(SUMI_BF16) && !defined(SUMI_AMX)
#define SUMI_DOT_ROWS 1

namespace sumi::kernels::SUMI_ISA {

inline constexpr int kDotRows = 12;  // 24 sums, two operands, one factor

// Every loop over sums is unrolled, or they live in memory and not in registers.
#define SUMI_UNROLLED _Pragma("GCC unroll 16")

// How a kind of number is summed: bf16 in f32 (by add_pairs), int8 in int32.
template <bool kInt8>
struct Dot {
  using Sum = Vec;
};
template <>
struct Dot<true> {
  using Sum = Register;
  static Sum add(Sum sum, Register x, Register w) {  // x: code + 128
#if defined(SUMI_EMULATE_AVX512)
    return dot_u8_s8(sum, x, w);
#else
    // g++ 12 stores and loads sums around the intrinsic.
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
    return sum;
#endif
  }
};

// Where the numbers of rows are signed codes and those of weights codes from 0 to 255.
struct DotSigned {
  using Sum = Register;
  static Sum add(Sum sum, Register x, Register w) { return Dot<true>::add(sum, w, x); }
};

// sum [kRows][2] = 0, or of int8 the two registers at `offsets`.
template <bool kInt8, int kRows>
inline void begin_sums(const int32_t* offsets, typename Dot<kInt8>::Sum (&sum)[kRows][2]) {
  SUMI_UNROLLED
  for (int r = 0; r < kRows; ++r)
    SUMI_UNROLLED
    for (int j = 0; j < 2; ++j) {
      if constexpr (kInt8)
        sum[r][j] = load_bytes(offsets + 16 * j);
      else
        sum[r][j] = Vec::zero();
    }
}

// sum [kRows][2] += kRows lines, kStride bytes apart, times `groups` groups of weights: two halves, half_stride apart, of a
// vector for each group. bf16: up to 16 groups.
template <class Kind, int kRows>
inline void dot_lines(const std::byte* a, int64_t stride, const std::byte* weights, int64_t half_stride, int64_t groups,
                      typename Kind::Sum (&sum)[kRows][2]) {
  if constexpr (std::is_same_v<Kind, Dot<false>>) {
    const SpreadRows<kRows, 32> rows(reinterpret_cast<const uint16_t*>(a), stride / 2);
    for (int64_t g = 0; g < groups; ++g)
      add_pairs<kRows, 2>(rows.at(2 * g), rows.stride(), {weights + g * 64, weights + half_stride + g * 64}, sum);
  } else {
    for (int64_t g = 0; g < groups; ++g) {
      const Register left = load_bytes(weights + g * 64), right = load_bytes(weights + half_stride + g * 64);
      SUMI_UNROLLED
      for (int r = 0; r < kRows; ++r) {
        const Register x = splat_group(a + r * stride + g * 4);
        sum[r][0] = Kind::add(sum[r][0], x, left);
        sum[r][1] = Kind::add(sum[r][1], x, right);
      }
    }
  }
}

// body(integral constant: rows of a block, first row) over all rows in blocks of nearly equal size up to kMost, since a block
// of few rows waits for its sums.
template <int kMost = kDotRows, class Body>
inline void for_row_blocks(int64_t rows, const Body& body) {
  static_assert(kMost <= 12);
  int64_t first = 0;
  for (int64_t blocks = (rows + kMost - 1) / kMost; blocks > 0; --blocks) {
    const int64_t count = (rows - first + blocks - 1) / blocks;
#define SUMI_ROWS(n) \
  case n:            \
    if constexpr (n <= kMost) body(std::integral_constant<int, n>(), first); \
    break
    switch (count) {
      SUMI_ROWS(1);
      SUMI_ROWS(2);
      SUMI_ROWS(3);
      SUMI_ROWS(4);
      SUMI_ROWS(5);
      SUMI_ROWS(6);
      SUMI_ROWS(7);
      SUMI_ROWS(8);
      SUMI_ROWS(9);
      SUMI_ROWS(10);
      SUMI_ROWS(11);
      SUMI_ROWS(12);
    }
#undef SUMI_ROWS
    first += count;
  }
}

}  // namespace sumi::kernels::SUMI_ISA
#endif
