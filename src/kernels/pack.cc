#include "kernels/pack.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/half.h"
#include "base/round_up.h"
#include "base/threads.h"
#include "kernels/dequantize.h"
#include "kernels/unpack_block.h"

namespace sumi::kernels {

namespace {

const std::byte* block_at(const PackedMatrix& matrix, int64_t panel, int64_t block) {
  return matrix.panel_at(panel) + block_offset(matrix.code, matrix.scale, block);
}

void finish_layout(PackedMatrix& matrix) {
  const size_t k = static_cast<size_t>(matrix.k);
  if (!matrix.quantized()) {
    const size_t rows = matrix.code == CodeKind::bf16 ? base::round_up(k, 2) : k;
    matrix.panel_bytes = base::round_up(rows * kPanel * (matrix.code == CodeKind::f32 ? 4 : 2), 64);
    return;
  }
  // Where a block behind the last would lie, less the super-scales there would be before it: they come with 8 blocks.
  const int64_t blocks = matrix.k / kBlock;
  const int64_t end = block_offset(matrix.code, matrix.scale, blocks) - super_bytes(matrix.scale);
  matrix.panel_bytes = base::round_up(static_cast<size_t>(end), 64);
}

// Whether all of the floats are what kIs asks. It looks no further once one is not.
template <bool (*kIs)(float)>
bool all_floats(const std::byte* floats, int64_t count) {
  constexpr int64_t kChunk = 4096;
  std::atomic<bool> all = true;
  base::parallel_for(count, kChunk, [&](int64_t begin, int64_t end) {
    for (; begin < end && all.load(std::memory_order_relaxed); begin += kChunk) {
      bool here = true;
      for (int64_t i = begin; i < std::min(end, begin + kChunk); ++i) {
        float value;
        std::memcpy(&value, floats + i * 4, sizeof value);
        here &= kIs(value);
      }
      if (!here) all.store(false, std::memory_order_relaxed);
    }
  });
  return all;
}

void dequantize_source_row(SourceKind kind, const std::byte* row, int64_t k, float* out) {
  switch (kind) {
    case SourceKind::f32: std::memcpy(out, row, static_cast<size_t>(k) * 4); return;
    case SourceKind::f16: return dequantize_f16(row, k, out);
    case SourceKind::bf16: return dequantize_bf16(row, k, out);
    case SourceKind::q4_0: return dequantize_q4_0(row, k, out);
    case SourceKind::q4_1: return dequantize_q4_1(row, k, out);
    case SourceKind::q5_0: return dequantize_q5_0(row, k, out);
    case SourceKind::q5_1: return dequantize_q5_1(row, k, out);
    case SourceKind::q8_0: return dequantize_q8_0(row, k, out);
    case SourceKind::q2_k: return dequantize_q2_k(row, k, out);
    case SourceKind::q3_k: return dequantize_q3_k(row, k, out);
    case SourceKind::q4_k: return dequantize_q4_k(row, k, out);
    case SourceKind::q5_k: return dequantize_q5_k(row, k, out);
    case SourceKind::q6_k: return dequantize_q6_k(row, k, out);
  }
}

// A panel of floats: each row is read as floats, then spread over the panel's columns.
void pack_float_panel(const PackedMatrix& layout, SourceKind kind, const std::byte* source,
                      size_t row_bytes, int64_t panel, std::byte* out) {
  const int64_t k = layout.k;
  std::vector<float> row(static_cast<size_t>(k));
  std::memset(out, 0, layout.panel_bytes);
  float* out_f32 = reinterpret_cast<float*>(out);
  uint16_t* out_16 = reinterpret_cast<uint16_t*>(out);
  for (int lane = 0; lane < kPanel; ++lane) {
    const int64_t r = panel * kPanel + lane;
    if (r >= layout.n) break;
    const std::byte* src = source + static_cast<size_t>(r) * row_bytes;
    if (layout.code == CodeKind::f16 && kind == SourceKind::f16) {
      for (int64_t i = 0; i < k; ++i) std::memcpy(&out_16[i * kPanel + lane], src + 2 * i, 2);
      continue;
    }
    dequantize_source_row(kind, src, k, row.data());
    if (layout.code == CodeKind::f32) {
      for (int64_t i = 0; i < k; ++i) out_f32[i * kPanel + lane] = row[static_cast<size_t>(i)];
    } else if (layout.code == CodeKind::f16) {
      for (int64_t i = 0; i < k; ++i)
        out_16[i * kPanel + lane] = base::float_to_f16(row[static_cast<size_t>(i)]);
    } else {
      for (int64_t i = 0; i < k; ++i)
        out_16[((i / 2) * kPanel + lane) * 2 + i % 2] = base::float_to_bf16(row[static_cast<size_t>(i)]);
    }
  }
}

// Interleaves the codes of one block of all rows of a panel.
void store_codes(const uint8_t (&codes)[kPanel][kBlock], CodeKind kind, std::byte* out, std::byte* high) {
  for (int n = 0; n < kPanel; ++n) {
    uint32_t group[8];
    std::memcpy(group, codes[n], sizeof group);
    if (kind == CodeKind::u8) {
      for (int g = 0; g < 8; ++g) std::memcpy(out + (g * kPanel + n) * 4, &group[g], 4);
      continue;
    }
    for (int p = 0; p < 4; ++p) {
      const uint32_t both = (group[2 * p] & 0x0f0f0f0f) | ((group[2 * p + 1] & 0x0f0f0f0f) << 4);
      std::memcpy(out + (p * kPanel + n) * 4, &both, 4);
    }
    if (kind == CodeKind::u5) {
      uint32_t bits = 0;
      for (int g = 0; g < 8; ++g) bits |= ((group[g] >> 4) & 0x01010101) << g;
      std::memcpy(high + n * 4, &bits, 4);
    } else if (kind == CodeKind::u6) {
      for (int h = 0; h < 2; ++h) {
        uint32_t bits = 0;
        for (int j = 0; j < 4; ++j) bits |= ((group[4 * h + j] >> 4) & 0x03030303) << (2 * j);
        std::memcpy(high + (h * kPanel + n) * 4, &bits, 4);
      }
    }
  }
}

// `super`: null but for the first block under it.
void store_scales(const UnpackedBlock (&blocks)[kPanel], ScaleKind kind, std::byte* scale, std::byte* super) {
  const auto put16 = [](std::byte* base, int64_t index, uint16_t value) {
    std::memcpy(base + 2 * index, &value, 2);
  };
  for (int n = 0; n < kPanel; ++n) {
    const UnpackedBlock& b = blocks[n];
    switch (kind) {
      case ScaleKind::none: break;
      case ScaleKind::half: put16(scale, n, b.scale); break;
      case ScaleKind::half_min:
        put16(scale, n, b.scale);
        put16(scale, kPanel + n, b.min);
        break;
      case ScaleKind::k32_min:
        scale[n] = std::byte{b.sub_scale[0]};
        scale[kPanel + n] = std::byte{b.sub_min[0]};
        break;
      case ScaleKind::k16:
        scale[n] = std::byte{b.sub_scale[0]};
        scale[kPanel + n] = std::byte{b.sub_scale[1]};
        break;
      case ScaleKind::k16_min:
        for (int half = 0; half < 2; ++half) {
          scale[(2 * half) * kPanel + n] = std::byte{b.sub_scale[half]};
          scale[(2 * half + 1) * kPanel + n] = std::byte{b.sub_min[half]};
        }
        break;
    }
    if (super) {
      put16(super, n, b.scale);
      if (kind != ScaleKind::k16) put16(super, kPanel + n, b.min);
    }
  }
}

void pack_code_panel(const PackedMatrix& layout, SourceKind kind, const std::byte* source,
                     size_t row_bytes, int64_t panel, std::byte* out) {
  uint8_t codes[kPanel][kBlock];
  UnpackedBlock blocks[kPanel];
  std::memset(out + layout.panel_bytes - 64, 0, 64);  // the padding at the end
  const int64_t rows = std::min<int64_t>(kPanel, layout.n - panel * kPanel);
  std::memset(codes, 0, sizeof codes);
  for (UnpackedBlock& b : blocks) b = UnpackedBlock{};
  for (int64_t block = 0; block < layout.k / kBlock; ++block) {
    for (int n = 0; n < rows; ++n) {
      const std::byte* row = source + static_cast<size_t>(panel * kPanel + n) * row_bytes;
      unpack_block(kind, row, block, codes[n], blocks[n]);
    }
    std::byte* to = out + block_offset(layout.code, layout.scale, block);
    std::byte* high = to + code_bytes(layout.code);
    store_codes(codes, layout.code, to, high);
    const bool first = super_bytes(layout.scale) > 0 && block % (kSuperBlock / kBlock) == 0;
    store_scales(blocks, layout.scale, high + high_bytes(layout.code),
                 first ? out + super_offset(layout.code, layout.scale, block) : nullptr);
  }
}

}  // namespace

CodeKind narrowest_code(const std::byte* floats, int64_t count) {
  if (all_floats<base::is_bf16>(floats, count)) return CodeKind::bf16;
  return all_floats<base::is_f16>(floats, count) ? CodeKind::f16 : CodeKind::f32;
}

PackedMatrix packed_layout_as(CodeKind code, int64_t n, int64_t k) {
  PackedMatrix matrix;
  matrix.n = n;
  matrix.k = k;
  matrix.code = code;
  finish_layout(matrix);
  return matrix;
}

PackedMatrix packed_layout(SourceKind source, int64_t n, int64_t k) {
  PackedMatrix matrix;
  matrix.n = n;
  matrix.k = k;
  const auto set = [&](CodeKind code, ScaleKind scale, int zero_point) {
    matrix.code = code;
    matrix.scale = scale;
    matrix.zero_point = zero_point;
  };
  switch (source) {
    case SourceKind::f32: set(CodeKind::f32, ScaleKind::none, 0); break;
    case SourceKind::f16: set(CodeKind::f16, ScaleKind::none, 0); break;
    case SourceKind::bf16: set(CodeKind::bf16, ScaleKind::none, 0); break;
    case SourceKind::q4_0: set(CodeKind::u4, ScaleKind::half, 8); break;
    case SourceKind::q4_1: set(CodeKind::u4, ScaleKind::half_min, 0); break;
    case SourceKind::q5_0: set(CodeKind::u5, ScaleKind::half, 16); break;
    case SourceKind::q5_1: set(CodeKind::u5, ScaleKind::half_min, 0); break;
    case SourceKind::q8_0: set(CodeKind::u8, ScaleKind::half, 128); break;
    case SourceKind::q2_k: set(CodeKind::u4, ScaleKind::k16_min, 0); break;
    case SourceKind::q3_k: set(CodeKind::u4, ScaleKind::k16, 4); break;
    case SourceKind::q4_k: set(CodeKind::u4, ScaleKind::k32_min, 0); break;
    case SourceKind::q5_k: set(CodeKind::u5, ScaleKind::k32_min, 0); break;
    case SourceKind::q6_k: set(CodeKind::u6, ScaleKind::k16, 32); break;
  }
  const int64_t block = source >= SourceKind::q2_k ? kSuperBlock : kBlock;
  if (matrix.quantized() && k % block != 0)
    fail("packing: {} columns are not a multiple of the block of {}", k, block);
  finish_layout(matrix);
  return matrix;
}

void pack_panels(const PackedMatrix& layout, SourceKind kind, const std::byte* source, size_t row_bytes,
                 int64_t begin, int64_t end, std::byte* out) {
  for (int64_t panel = begin; panel < end; ++panel) {
    std::byte* to = out + static_cast<size_t>(panel) * layout.panel_bytes;
    if (layout.quantized())
      pack_code_panel(layout, kind, source, row_bytes, panel, to);
    else
      pack_float_panel(layout, kind, source, row_bytes, panel, to);
  }
}

int packed_code_at(const PackedMatrix& matrix, int64_t row, int64_t column) {
  const std::byte* codes = block_at(matrix, row / kPanel, column / kBlock);
  const std::byte* high = codes + code_bytes(matrix.code);
  const int64_t n = row % kPanel, g = column % kBlock / 4, i = column % 4;
  const auto value = [](std::byte byte) { return std::to_integer<int>(byte); };
  if (matrix.code == CodeKind::u8) return value(codes[(g * kPanel + n) * 4 + i]);
  const int both = value(codes[(g / 2 * kPanel + n) * 4 + i]);
  int code = g % 2 ? both >> 4 : both & 15;
  if (matrix.code == CodeKind::u5) code |= ((value(high[n * 4 + i]) >> g) & 1) << 4;
  if (matrix.code == CodeKind::u6) code |= ((value(high[(g / 4 * kPanel + n) * 4 + i]) >> (2 * (g % 4))) & 3) << 4;
  return code;
}

PackedScale packed_scale_at(const PackedMatrix& matrix, int64_t row, int64_t column) {
  const int64_t n = row % kPanel, block = column / kBlock, half = column % kBlock / 16;
  const std::byte* scale =
      block_at(matrix, row / kPanel, block) + code_bytes(matrix.code) + high_bytes(matrix.code);
  const std::byte* super = matrix.panel_at(row / kPanel) + super_offset(matrix.code, matrix.scale, block);
  const auto half_at = [](const std::byte* base, int64_t index) {
    uint16_t bits;
    std::memcpy(&bits, base + 2 * index, 2);
    return base::f16_to_float(bits);
  };
  const auto u8_at = [](const std::byte* base, int64_t index) {
    return static_cast<float>(std::to_integer<int>(base[index]));
  };
  switch (matrix.scale) {
    case ScaleKind::none: break;
    case ScaleKind::half: return {half_at(scale, n), 0};
    case ScaleKind::half_min: return {half_at(scale, n), half_at(scale, kPanel + n)};
    case ScaleKind::k32_min:
      return {half_at(super, n) * u8_at(scale, n), -half_at(super, kPanel + n) * u8_at(scale, kPanel + n)};
    case ScaleKind::k16:
      return {half_at(super, n) * static_cast<float>(static_cast<int8_t>(scale[half * kPanel + n])), 0};
    case ScaleKind::k16_min:
      return {half_at(super, n) * u8_at(scale, 2 * half * kPanel + n),
              -half_at(super, kPanel + n) * u8_at(scale, (2 * half + 1) * kPanel + n)};
  }
  return {1, 0};
}

float packed_weight_at(const PackedMatrix& matrix, int64_t row, int64_t column) {
  const std::byte* panel = matrix.panel_at(row / kPanel);
  const int64_t n = row % kPanel;
  if (!matrix.quantized()) {
    const bool pairs = matrix.code == CodeKind::bf16;
    const int64_t index = pairs ? (column / 2 * kPanel + n) * 2 + column % 2 : column * kPanel + n;
    if (matrix.code == CodeKind::f32) return reinterpret_cast<const float*>(panel)[index];
    const uint16_t bits = reinterpret_cast<const uint16_t*>(panel)[index];
    return pairs ? base::bf16_to_float(bits) : base::f16_to_float(bits);
  }
  const PackedScale s = packed_scale_at(matrix, row, column);
  return s.scale * static_cast<float>(packed_code_at(matrix, row, column) - matrix.zero_point) + s.min;
}

}  // namespace sumi::kernels
