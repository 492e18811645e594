// Large matrix products through oneDNN, releases 2.x and 3.x. Nothing else includes oneDNN's
// headers.
#pragma once

#include <cstdint>

namespace sumi::kernels::onednn {

// c [m, n] = alpha op(a) op(b) + beta c, row-major. op(a) is [m, k]: a is stored so, or [k, m] if
// transpose_a; op(b) is [k, n]: stored so, or [n, k] if transpose_b. With beta 0, c is not read.
// Rows as stored are lda, ldb and ldc elements apart; 0: one after the other.
// Uses all threads, or one inside a parallel region. Throws Error if oneDNN reports one.
struct Matmul {
  bool transpose_a = false, transpose_b = false;
  int64_t m = 0, n = 0, k = 0;
  float alpha = 1, beta = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;  // f32 only
};
void matmul(const Matmul& shape, const float* a, const float* b, float* c);

// The same with bf16 inputs (as stored bits), summed in f32. On a processor for which oneDNN has no
// bf16 product, the inputs are widened and multiplied in f32: the same up to the order of the sum.
void matmul_bf16(const Matmul& shape, const uint16_t* a, const uint16_t* b, float* c);

// Whether matmul_bf16 multiplies in bf16 here: the level has instructions for it, and oneDNN has code.
bool has_bf16();

// oneDNN's release, e.g. "2.6.3".
const char* version();

}  // namespace sumi::kernels::onednn
