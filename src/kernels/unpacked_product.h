// Products of floats with packed weights, in f32: a strip of the weights becomes floats in the cache, is multiplied with all
// rows, and gives way to the next. So training and the reference path need no copy of a model's weights as floats.
#pragma once

#include <cstdint>

#include "base/cpu.h"
#include "kernels/matmul.h"
#include "kernels/packed_matrix.h"

namespace sumi::kernels {

struct UnpackKernels {
  // Numbers [k, k + count) of a panel's rows as floats: row n's number k + i is out[i * out_row + n]. Of codes k and count
  // are whole blocks. Rows beyond the weight's n are zero, or whatever the zero codes of the packed panel mean. What lies
  // `ahead` bytes behind what is read is asked for early, into the second cache.
  void (*unpack)(const PackedMatrix& weight, int64_t panel, int64_t k, int64_t count, int64_t ahead, float* out,
                 int64_t out_row);
  // Rows of floats, k apart, in groups of kFloatGroup: number i of the rows of a group lie together, [groups][k][kFloatGroup].
  // Where rows are a power of two apart, all that a kernel takes of them at once would share a few sets of the first cache.
  // Of a last group, places where no row is are left as they are.
  void (*group_rows)(const float* x, int64_t rows, int64_t k, float* groups);
};
inline constexpr int64_t kFloatGroup = 12;

const UnpackKernels& unpack_kernels();  // for base::active_isa()
const UnpackKernels& unpack_kernels_for(base::Isa isa);

// As MatmulKernels::matmul, from the rows of floats in args.x_groups or, if that is null, args.x: each output sums its products
// in rising order of k. On one thread.
void unpacked_product(const MatmulArgs& args, int64_t begin, int64_t end);

// The other way: dx [rows, K] = (accumulate ? dx : 0) + dy [rows, N] W, of columns [begin, end) of dx, which begin at a multiple
// of kGradientStrip. Rows of dy are `dy_row` floats apart. Sums are in rising order of n. On one thread.
inline constexpr int64_t kGradientStrip = 32;
void unpacked_gradient(const PackedMatrix& weight, int64_t rows, const float* dy, int64_t dy_row, int64_t begin, int64_t end,
                       float* dx, bool accumulate);

}  // namespace sumi::kernels
