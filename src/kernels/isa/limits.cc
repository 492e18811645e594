#include "kernels/limits.h"

#include "base/half.h"
#include "kernels/isa/simd_int.h"
#include "kernels/isa/tiles.h"

namespace sumi::kernels::SUMI_ISA {

extern const LimitKernels kLimitKernels;

namespace {

constexpr int kChains = 10;  // independent sums, enough to hide the latency of one

// Every loop over the sums is unrolled, or they live in memory and not in registers.
#define SUMI_UNROLL _Pragma("GCC unroll 16")

float read(const float* data, int64_t count) {
  Vec sum[8];
  SUMI_UNROLL
  for (Vec& s : sum) s = Vec::zero();
  for (int64_t i = 0; i + 8 * Vec::kWidth <= count; i += 8 * Vec::kWidth) {
    SUMI_UNROLL
    for (int j = 0; j < 8; ++j) sum[j] = sum[j] + Vec::load(data + i + j * Vec::kWidth);
  }
  SUMI_UNROLL
  for (int j = 1; j < 8; ++j) sum[0] = sum[0] + sum[j];
  return sum_lanes(sum[0]);
}

// Keeps the compiler from seeing that a register never changes.
template <class T>
inline void touch(T& value) {
#if defined(SUMI_AVX512) || defined(SUMI_AVX2)
#ifndef SUMI_EMULATE_AVX512
  __asm__ volatile("" : "+v"(value));
  return;
#endif
#endif
  __asm__ volatile("" : : "r"(&value) : "memory");
}

int32_t int8_products(int64_t rounds) {
  Register sum[kChains], weight = splat8(3), x = splat8(5);
  SUMI_UNROLL
  for (Register& s : sum) s = zero_register();
  for (int64_t i = 0; i < rounds; ++i) {
    touch(x);
    SUMI_UNROLL
    for (int j = 0; j < kChains; ++j) {
#if defined(SUMI_VNNI) || !(defined(SUMI_AVX512) || defined(SUMI_AVX2))
      sum[j] = dot_u8_s8(sum[j], weight, x);
#else
      Register pairs = pairs_u8_s8(weight, x);
      touch(pairs);
      sum[j] = add32(sum[j], pairs_16(pairs));
#endif
      touch(sum[j]);
    }
  }
  Vec total = to_float(sum[0]);
  SUMI_UNROLL
  for (int j = 1; j < kChains; ++j) total = total + to_float(sum[j]);
  return static_cast<int32_t>(sum_lanes(total) * 1e-9f);
}

float f32_products(int64_t rounds) {
  Vec sum[kChains], weight = Vec::set1(1e-9f), x = Vec::set1(1);
  SUMI_UNROLL
  for (Vec& s : sum) s = Vec::zero();
  for (int64_t i = 0; i < rounds; ++i) {
    touch(x.v);
    SUMI_UNROLL
    for (int j = 0; j < kChains; ++j) {
      sum[j] = fma(weight, x, sum[j]);
      touch(sum[j].v);
    }
  }
  SUMI_UNROLL
  for (int j = 1; j < kChains; ++j) sum[0] = sum[0] + sum[j];
  return sum_lanes(sum[0]);
}

#if defined(SUMI_BF16_DOT)
float bf16_products(int64_t rounds) {
  Vec sum[kChains];
  __m512bh weight{}, x{};
  SUMI_UNROLL
  for (Vec& s : sum) s = Vec::zero();
  for (int64_t i = 0; i < rounds; ++i) {
    touch(x);
    SUMI_UNROLL
    for (int j = 0; j < kChains; ++j) {
      sum[j].v = _mm512_dpbf16_ps(sum[j].v, weight, x);
      touch(sum[j].v);
    }
  }
  SUMI_UNROLL
  for (int j = 1; j < kChains; ++j) sum[0] = sum[0] + sum[j];
  return sum_lanes(sum[0]);
}
#endif

#if defined(SUMI_AMX)
template <bool kInt8, int kSum, int kA, int kB>
inline void tile_dot() {
  if constexpr (kInt8) tile_dot_s8_s8<kSum, kA, kB>();
  else tile_dot_bf16<kSum, kA, kB>();
}

// Tiles of arbitrary numbers: a processor that is held to its power does products of zeros faster than others.
template <bool kInt8>
void fill_tiles() {
  alignas(64) uint16_t data[kTileRows * 32];
  uint32_t state = 1;
  for (uint16_t& x : data) {
    state = state * 1664525 + 1013904223;  // Numerical Recipes' generator
    x = static_cast<uint16_t>(state >> 16);
    if constexpr (!kInt8) x = static_cast<uint16_t>((x & 0x807f) | 0x3f80);  // in bf16, 1 to 2 or -1 to -2
  }
  tile_load<4>(data, 64);
  tile_load<5>(data, 64);
  tile_load<6>(data, 64);
  tile_load<7>(data, 64);
}

template <bool kInt8>
void tile_products(int64_t rounds) {
  const TileShapes shapes;
  fill_tiles<kInt8>();
  for (int64_t i = 0; i < rounds; i += 16) {
    tile_dot<kInt8, 0, 4, 6>();
    tile_dot<kInt8, 1, 4, 7>();
    tile_dot<kInt8, 2, 5, 6>();
    tile_dot<kInt8, 3, 5, 7>();
  }
}
constexpr int64_t kTilePerRound = 4 * kTileRows * 16 * 64 / 16;  // int8; a quarter tile product a round
#endif

}  // namespace

const LimitKernels kLimitKernels = {
    read,
    int8_products,
    f32_products,
    int64_t{kChains} * kRegisterBytes,
    int64_t{kChains} * Vec::kWidth,
#if defined(SUMI_BF16_DOT)
    bf16_products,
    int64_t{kChains} * 2 * Vec::kWidth,
#else
    nullptr,
    0,
#endif
#if defined(SUMI_AMX)
    tile_products<true>,
    tile_products<false>,
    kTilePerRound,
    kTilePerRound / 2,
#else
    nullptr,
    nullptr,
    0,
    0,
#endif
};

}  // namespace sumi::kernels::SUMI_ISA
