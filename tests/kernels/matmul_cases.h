// One table of weights drives every test of the matrix kernels.
#pragma once

#include <cmath>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "base/half.h"
#include "base/memory.h"
#include "kernels/matmul.h"
#include "kernels/pack.h"

namespace sumi::kernels {

struct Shape3 {
  int64_t m, n, k;
};

struct SourceFormat {
  SourceKind kind;
  const char* name;
  int64_t block, block_bytes;
  std::vector<int> half_offsets;  // where the f16 scales of a block lie
};

inline const std::vector<SourceFormat>& source_formats() {
  static const std::vector<SourceFormat> formats = {
      {SourceKind::f32, "f32", 1, 4, {}},          {SourceKind::f16, "f16", 1, 2, {0}},
      {SourceKind::bf16, "bf16", 1, 2, {}},        {SourceKind::q4_0, "q4_0", 32, 18, {0}},
      {SourceKind::q4_1, "q4_1", 32, 20, {0, 2}},  {SourceKind::q5_0, "q5_0", 32, 22, {0}},
      {SourceKind::q5_1, "q5_1", 32, 24, {0, 2}},  {SourceKind::q8_0, "q8_0", 32, 34, {0}},
      {SourceKind::q2_k, "q2_k", 256, 84, {80, 82}}, {SourceKind::q3_k, "q3_k", 256, 110, {108}},
      {SourceKind::q4_k, "q4_k", 256, 144, {0, 2}},  {SourceKind::q5_k, "q5_k", 256, 176, {0, 2}},
      {SourceKind::q6_k, "q6_k", 256, 210, {208}},
  };
  return formats;
}

// Rows of that format with random codes (all values occur) and scales of sensible size.
inline std::vector<std::byte> random_rows(const SourceFormat& format, int64_t n, int64_t k, uint32_t seed) {
  std::mt19937 random(seed);
  const size_t row_bytes = static_cast<size_t>(k / format.block * format.block_bytes);
  std::vector<std::byte> rows(static_cast<size_t>(n) * row_bytes);
  std::uniform_real_distribution<float> uniform(-1, 1);
  if (format.block == 1) {
    for (int64_t i = 0; i < n * k; ++i) {
      const float value = uniform(random);
      const uint16_t half = format.kind == SourceKind::f16 ? base::float_to_f16(value) : base::float_to_bf16(value);
      if (format.kind == SourceKind::f32) std::memcpy(&rows[static_cast<size_t>(4 * i)], &value, 4);
      else std::memcpy(&rows[static_cast<size_t>(2 * i)], &half, 2);
    }
    return rows;
  }
  for (std::byte& b : rows) b = static_cast<std::byte>(random() & 255);
  for (size_t at = 0; at < rows.size(); at += static_cast<size_t>(format.block_bytes))
    for (int offset : format.half_offsets) {
      const uint16_t half = base::float_to_f16(uniform(random) * 0.05f);
      std::memcpy(&rows[at + static_cast<size_t>(offset)], &half, 2);
    }
  return rows;
}

// Vectors that begin with a cache line, as the engine's own memory.
template <class T>
struct CacheLines {
  using value_type = T;
  CacheLines() = default;
  template <class U>
  CacheLines(const CacheLines<U>&) {}
  T* allocate(size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{base::kAlignment}));
  }
  void deallocate(T* at, size_t) { ::operator delete(at, std::align_val_t{base::kAlignment}); }
  bool operator==(const CacheLines&) const { return true; }
};
template <class T>
using Aligned = std::vector<T, CacheLines<T>>;

// Random activations in every form a kernel may ask for.
struct Activations {
  std::vector<float> x;
  std::vector<uint16_t> bf16;
  Aligned<int8_t> codes, group_codes;
  std::vector<float> scales, shifts, scaled_sums, tile_scales, tile_scaled_sums, group_factors;
  std::vector<uint16_t> tiles;
  std::vector<int32_t> sums, group_sums, offsets;

  Activations(int64_t m, int64_t k, uint32_t seed) : x(static_cast<size_t>(m * k)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& v : x) v = normal(random);
    const int64_t even = (k + 1) / 2 * 2;
    bf16.resize(static_cast<size_t>(m * even), 0);
    for (int64_t r = 0; r < m; ++r)
      for (int64_t i = 0; i < k; ++i)
        bf16[static_cast<size_t>(r * even + i)] = base::float_to_bf16(x[static_cast<size_t>(r * k + i)]);
    const size_t blocks = static_cast<size_t>(m * (k / kBlock));
    codes.resize(static_cast<size_t>(m * k));
    scales.resize(blocks);
    shifts.resize(blocks);
    sums.resize(blocks * 3);
    scaled_sums.resize(blocks * 3);
  }
  // Rounds all rows and fills in what the kernel takes of them.
  void quantize(const MatmulKernels& kernels, MatmulArgs& args) {
    args.q = quantized();
    const int64_t k = args.weight.k;
    const int64_t tiled = (args.m + kTileRows - 1) / kTileRows * kTileRows;
    if (kernels.bf16_tile_row && args.weight.code == CodeKind::bf16) {
      constexpr size_t kPage = 4096;
      tiles.assign(static_cast<size_t>(tiled * (k + kTileColumns)) + kPage / 2, 0x7fc0);  // NaN where no row is
      uint16_t* aligned = tiles.data() + (kPage - reinterpret_cast<uintptr_t>(tiles.data()) % kPage) % kPage / 2;
      for (int64_t r = 0; r < args.m; ++r) kernels.bf16_tile_row(x.data() + r * k, k, r, aligned);
      args.x_tiles = aligned;
    }
    if (!args.weight.quantized()) return;
    if (kernels.code_tiles && args.m >= kTileRows) {
      codes.resize(static_cast<size_t>(tiled * k), 77);
      tile_scales.assign(static_cast<size_t>(tiled * (k / kBlock)), NAN);
      tile_scaled_sums.assign(static_cast<size_t>(tiled * (k / kBlock) * 3), NAN);
      args.q = quantized();
      args.q.tile_scales = tile_scales.data();
      args.q.tile_scaled_sums = tile_scaled_sums.data();
    }
    if (kernels.code_groups && !args.q.tile_scales && args.m >= kFewestGrouped) {
      const size_t grouped = static_cast<size_t>((args.m + kGroupRows - 1) / kGroupRows * kGroupRows * (k / kBlock));
      group_codes.assign(grouped * kBlock, 77);
      group_sums.assign(grouped * 3, 77);
      group_factors.assign(grouped * kGroupFactors, NAN);
      args.q = {.codes = group_codes.data(), .sums = group_sums.data(), .group_factors = group_factors.data()};
    }
    for (int64_t r = 0; r < args.m; ++r) kernels.quantize_row(x.data() + r * k, k, r, args.q);
    const std::vector<int32_t>& all_sums = args.q.group_factors ? group_sums : sums;
    offsets.resize(all_sums.size());
    zero_point_offsets(all_sums.data(), static_cast<int64_t>(all_sums.size()), args.weight.zero_point, kernels.first_sum,
                       offsets.data());
    args.offsets = offsets.data();
  }
  QuantizedRows quantized() { return {codes.data(), scales.data(), shifts.data(), sums.data(), scaled_sums.data()}; }
};

struct PackedCase {
  PackedMatrix matrix;
  std::vector<std::byte> storage;
  PackedCase(const PackedMatrix& layout, SourceKind kind, const std::vector<std::byte>& rows)
      : matrix(layout), storage(layout.bytes() + 64) {
    auto address = reinterpret_cast<uintptr_t>(storage.data());
    std::byte* aligned = storage.data() + (64 - address % 64) % 64;
    pack_panels(layout, kind, rows.data(), rows.size() / static_cast<size_t>(layout.n), 0, layout.panels(), aligned);
    matrix.data = aligned;
  }
};

}  // namespace sumi::kernels
