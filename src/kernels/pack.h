// Packs weights for the matrix kernels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed_matrix.h"
#include "kernels/unpack_block.h"

namespace sumi::kernels {

// The layout for n rows of k of that kind; data is null. For `as` other than the source's own code (f32 or bf16) the
// source is converted. k must be a multiple of the source's block.
PackedMatrix packed_layout(SourceKind source, int64_t n, int64_t k);
PackedMatrix packed_layout_as(CodeKind code, int64_t n, int64_t k);  // f32, f16 or bf16

// The code of fewest bits that holds `count` floats as they are: bf16, f16 or f32.
CodeKind narrowest_code(const std::byte* floats, int64_t count);

// Fills panels [begin, end) at `out` (layout.bytes() long, panel 0 first) from rows `source`, `row_bytes` apart.
void pack_panels(const PackedMatrix& layout, SourceKind kind, const std::byte* source, size_t row_bytes,
                 int64_t begin, int64_t end, std::byte* out);

// The whole-number code of a weight, and what turns it into a float; slow, for tests and the naive twin.
struct PackedScale {
  float scale, min;  // weight = scale * (code - zero_point) + min
};
int packed_code_at(const PackedMatrix& matrix, int64_t row, int64_t column);
PackedScale packed_scale_at(const PackedMatrix& matrix, int64_t row, int64_t column);

// One weight of a packed matrix as a float; slow, for tests and the naive twin.
float packed_weight_at(const PackedMatrix& matrix, int64_t row, int64_t column);

}  // namespace sumi::kernels
