// How a weight matrix lies in memory for the matrix kernels: made by kernels/pack.h, read by
// kernels/isa/matmul_*.cc.
//
// The N output rows are cut into panels of kPanel rows (the last one padded with zeros); a panel holds its rows
// interleaved, so that one vector register covers kPanel outputs and each lane reduces one output over K in
// rising order. That order is the same for one row of activations and for many, on any number of threads.
//
// Whole-number codes (all unsigned; a weight is scale * (code - zero_point) + min). A panel is read from front to back,
// one block of 32 k after the other, and each block holds all that belongs to it:
//   codes   8 groups of 4 k; a group is [kPanel][4] bytes.
//           8 bits: 512 bytes. 4 bits: 256; byte (p, n, i) holds group 2p in its low half and group
//           2p + 1 in its high half. 5 and 6 bits: the low 4 bits so, the others in `high`.
//   high    5 bits: 64 bytes; bit g of byte (n, i) belongs to group g.
//           6 bits: 128 bytes; bits 2j, 2j+1 of byte (h, n, i) belong to group 4h + j.
//   scales  by ScaleKind, below.
// The K types have `supers`, f16 scales of 256 k, before each 8 blocks. (One stream, because processors look ahead in
// memory along a stream: with the scales behind all codes a Zen 4 read a panel at two thirds of the rate.)
// Floats: f32 and f16 panels are [K][kPanel]; bf16 panels are [ceil(K/2)][kPanel][2].
#pragma once

#include <cstddef>
#include <cstdint>

namespace sumi::kernels {

inline constexpr int kPanel = 16;
inline constexpr int kBlock = 32;       // k per scale and per activation block
inline constexpr int kSuperBlock = 256; // k per super-scale of the K types

enum class CodeKind : uint8_t { f32, f16, bf16, u4, u5, u6, u8 };

enum class ScaleKind : uint8_t {
  none,      // f32, f16, bf16
  half,      // per block f16[kPanel]                                    Q4_0 Q5_0 Q8_0
  half_min,  // per block f16[2][kPanel]: scale, min                     Q4_1 Q5_1
  k32_min,   // per block u8[2][kPanel]; supers f16[2][kPanel]           Q4_K Q5_K
  k16,       // per block i8[2 halves][kPanel]; supers f16[kPanel]       Q6_K Q3_K
  k16_min,   // per block u8[2 halves][2][kPanel]; supers f16[2][kPanel] Q2_K
};

// Bytes of the parts of a block, and of the super-scales before each 8.
constexpr int code_bytes(CodeKind code) { return (code == CodeKind::u8 ? 32 : 16) * kPanel; }
constexpr int high_bytes(CodeKind code) {
  return code == CodeKind::u5 ? 4 * kPanel : code == CodeKind::u6 ? 8 * kPanel : 0;
}
constexpr int scale_bytes(ScaleKind scale) {
  if (scale == ScaleKind::none) return 0;
  return (scale == ScaleKind::half_min || scale == ScaleKind::k16_min ? 4 : 2) * kPanel;
}
constexpr int super_bytes(ScaleKind scale) {
  if (scale == ScaleKind::k16) return 2 * kPanel;
  return scale == ScaleKind::k16_min || scale == ScaleKind::k32_min ? 4 * kPanel : 0;
}
constexpr int block_bytes(CodeKind code, ScaleKind scale) {
  return code_bytes(code) + high_bytes(code) + scale_bytes(scale);
}

// Where block `block` of a panel begins, and the super-scales it lies under.
constexpr int64_t block_offset(CodeKind code, ScaleKind scale, int64_t block) {
  return block * block_bytes(code, scale) + (block / (kSuperBlock / kBlock) + 1) * super_bytes(scale);
}
constexpr int64_t super_offset(CodeKind code, ScaleKind scale, int64_t block) {
  constexpr int64_t kSuperBlocks = kSuperBlock / kBlock;
  return block / kSuperBlocks * (kSuperBlocks * block_bytes(code, scale) + super_bytes(scale));
}

struct PackedMatrix {
  int64_t n = 0, k = 0;
  CodeKind code = CodeKind::f32;
  ScaleKind scale = ScaleKind::none;
  int zero_point = 0;
  // Activations are multiplied as they are, in f32, never rounded: to bf16, or to int8 beside codes.
  bool exact = false;
  size_t panel_bytes = 0;           // a multiple of 64
  const std::byte* data = nullptr;  // aligned to 64

  const std::byte* panel_at(int64_t panel) const { return data + static_cast<size_t>(panel) * panel_bytes; }
  int64_t panels() const { return (n + kPanel - 1) / kPanel; }
  size_t bytes() const { return panel_bytes * static_cast<size_t>(panels()); }
  bool quantized() const { return code >= CodeKind::u4; }
};

}  // namespace sumi::kernels
