// AMX: eight registers ("tiles") of up to 16 rows of 64 bytes, and their matrix products. Shapes are set by a
// TileShapes for the lifetime of that object, on its thread; between two of them no tile is in use.
//
// Instructions as in Intel's Software Developer's Manual, volume 2. The intrinsics of g++ and clang take the tile's
// number as a token, so templates need the assembly; tests have the same in plain C++ (SUMI_EMULATE_AVX512).
#pragma once

#include <cstdint>
#include <cstring>

#if defined(SUMI_EMULATE_AMX) || defined(__AMX_INT8__)
#define SUMI_AMX 1

#if defined(SUMI_EMULATE_AMX)
#include "kernels/emulated_amx.h"
#endif
#include "kernels/matmul.h"

namespace sumi::kernels::SUMI_ISA {

class TileShapes {
 public:
  static constexpr int kTiles = 8;
  struct Shape {
    int rows, bytes;  // of a row
  };
  static constexpr Shape kWhole{kTileRows, 64};
  TileShapes() : TileShapes({kWhole, kWhole, kWhole, kWhole, kWhole, kWhole, kWhole, kWhole}) {}
  explicit TileShapes(const Shape (&shapes)[kTiles]) {
    alignas(64) uint8_t config[64] = {1};  // the only palette there is
    for (int i = 0; i < kTiles; ++i) {
      const uint16_t bytes = static_cast<uint16_t>(shapes[i].bytes);
      std::memcpy(config + 16 + 2 * i, &bytes, 2);
      config[48 + i] = static_cast<uint8_t>(shapes[i].rows);
    }
#if defined(SUMI_EMULATE_AMX)
    emulated::tiles().configure(config);
#else
    __asm__ volatile("ldtilecfg %0" : : "m"(config));
#endif
  }
  ~TileShapes() {
#if !defined(SUMI_EMULATE_AMX)
    __asm__ volatile("tilerelease");
#endif
  }
  TileShapes(const TileShapes&) = delete;
  TileShapes& operator=(const TileShapes&) = delete;
};

#if defined(SUMI_EMULATE_AMX)
template <int kTile>
void tile_zero() { emulated::tiles().zero(kTile); }
template <int kTile>
void tile_load(const void* from, int64_t stride) { emulated::tiles().load(kTile, from, stride); }
template <int kTile>
void tile_store(void* to, int64_t stride) { emulated::tiles().store(kTile, to, stride); }
template <int kSum, int kA, int kB>
void tile_dot_s8_s8() { emulated::tiles().dot_s8_s8(kSum, kA, kB); }
template <int kSum, int kA, int kB>
void tile_dot_bf16() { emulated::tiles().dot_bf16(kSum, kA, kB); }
#else
template <int kTile>
inline void tile_zero() {
  __asm__ volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Rows `stride` bytes apart.
template <int kTile>
inline void tile_load(const void* from, int64_t stride) {
  __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void tile_store(void* to, int64_t stride) {
  __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(kTile) : "memory");
}
// sum [rows of a, 16] += a [rows, 4 q] b, b's row i holding for each of the 16 columns the numbers 4 i .. 4 i + 3.
template <int kSum, int kA, int kB>
inline void tile_dot_s8_s8() {
  __asm__ volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
}
// The same for bf16, two numbers in each of b's places, summed in f32.
template <int kSum, int kA, int kB>
inline void tile_dot_bf16() {
  __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
}
#endif

}  // namespace sumi::kernels::SUMI_ISA

#endif
