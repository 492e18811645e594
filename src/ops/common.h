// What the operations share: checks of operands and the split of rows over threads.
#pragma once

#include "base/error.h"
#include "base/threads.h"
#include "kernels/elementwise.h"
#include "tensor/autograd.h"
#include "tensor/tensor.h"

namespace sumi::ops {

using tensor::needs_record;
using tensor::record;
using tensor::shape_string;

// A loop over less than this many elements stays on one thread: waking the others costs more.
inline constexpr int64_t kParallelElements = 32768;

// For tensor::waiting_gradient().
inline uint64_t record_of(const Tensor& x) { return x.defined() && x.autograd() ? x.autograd()->sequence : 0; }

inline const kernels::ElementwiseKernels& elementwise() { return kernels::elementwise_kernels(); }

inline void check_f32(const char* op, const char* operand, const Tensor& x) {
  if (!x.defined()) fail("{}: {} is undefined", op, operand);
  if (x.dtype() != DType::f32)
    fail("{}: {} is {} {}, expected f32", op, operand, tensor::dtype_name(x.dtype()),
         shape_string(x.shape()));
}

// f32 of at least one axis; returns the last size.
inline int64_t check_rows(const char* op, const char* operand, const Tensor& x) {
  check_f32(op, operand, x);
  if (x.dim() == 0) fail("{}: {} has no axes", op, operand);
  return x.shape().back();
}

inline void check_shape(const char* op, const char* operand, const Tensor& x,
                        const Shape& expected) {
  check_f32(op, operand, x);
  if (x.shape() != expected)
    fail("{}: {} has shape {}, expected {}", op, operand, shape_string(x.shape()),
         shape_string(expected));
}

inline int64_t row_count(const Tensor& x, int64_t row_elements) {
  return row_elements > 0 ? x.numel() / row_elements : 0;
}

// body(begin, end) over rows; a row is never split.
template <class Body>
void for_rows(int64_t rows, int64_t row_elements, const Body& body) {
  const int64_t grain = kParallelElements / (row_elements > 0 ? row_elements : 1);
  base::parallel_for(rows, grain > 0 ? grain : 1, body);
}

// body(begin, end) over elements that are computed one by one.
template <class Body>
void for_elements(int64_t count, const Body& body) {
  base::parallel_for(count, kParallelElements, body);
}

// body(begin, end) over the columns of a sum over `rows` rows, so that each column is summed in
// the order of the rows whatever the number of threads.
template <class Body>
void for_columns(int64_t columns, int64_t rows, const Body& body) {
  const int64_t grain = (kParallelElements / (rows > 0 ? rows : 1) + 63) / 64 * 64;
  base::parallel_for(columns, grain > 0 ? grain : 64, body);
}

}  // namespace sumi::ops
