#include "ops/embedding.h"

#include <cstring>

#include "kernels/dequantize.h"
#include "ops/common.h"
#include "ops/products.h"

namespace sumi::ops {
namespace {

void check_ids(const int32_t* ids, int64_t count, int64_t rows) {
  for (int64_t i = 0; i < count; ++i)
    if (ids[i] < 0 || ids[i] >= rows)
      fail("embedding: id {} at position {} is outside [0, {})", ids[i], i, rows);
}

// Widens a row of n elements.
using ReadRow = void (*)(const std::byte* row, int64_t n, float* out);

ReadRow row_reader(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return [](const std::byte* row, int64_t n, float* out) {
        std::memcpy(out, row, static_cast<size_t>(n) * sizeof(float));
      };
    case DType::f16:
      return kernels::dequantize_f16;
    case DType::bf16:
      return kernels::dequantize_bf16;
    case DType::q4_0:
      return kernels::dequantize_q4_0;
    case DType::q4_1:
      return kernels::dequantize_q4_1;
    case DType::q5_0:
      return kernels::dequantize_q5_0;
    case DType::q5_1:
      return kernels::dequantize_q5_1;
    case DType::q8_0:
      return kernels::dequantize_q8_0;
    case DType::q2_k:
      return kernels::dequantize_q2_k;
    case DType::q3_k:
      return kernels::dequantize_q3_k;
    case DType::q4_k:
      return kernels::dequantize_q4_k;
    case DType::q5_k:
      return kernels::dequantize_q5_k;
    case DType::q6_k:
      return kernels::dequantize_q6_k;
    default:
      fail("embedding: a table of {}, expected f32, f16, bf16 or a block type",
           tensor::dtype_name(dtype));
  }
}

}  // namespace

Tensor embedding(const Tensor& ids, const Tensor& table) {
  if (!ids.defined() || ids.dtype() != DType::i32)
    fail("embedding: ids are {}, expected i32",
         ids.defined() ? tensor::dtype_name(ids.dtype()) : "undefined");
  if (!table.defined() || table.dim() != 2)
    fail("embedding: table {}, expected [V, C]",
         table.defined()
             ? std::string(tensor::dtype_name(table.dtype())) + " " + shape_string(table.shape())
             : "is undefined");
  const int64_t n = table.size(1), count = ids.numel();
  const int32_t* id = ids.data<int32_t>();
  check_ids(id, count, table.size(0));
  Shape shape = ids.shape();
  shape.push_back(n);
  Tensor out = Tensor::empty(std::move(shape));
  const DType dtype = table.dtype();
  const ReadRow read_row = row_reader(dtype);
  const int64_t row_bytes = n / tensor::dtype_block_size(dtype) * tensor::dtype_block_bytes(dtype);
  const std::byte* from = table.bytes();
  float* to = out.f32();
  for_rows(count, n, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) read_row(from + id[i] * row_bytes, n, to + i * n);
  });
  if (needs_record({&table}))
    record(out, "embedding", {table},
           [ids, table, n, count](const Tensor& g) -> std::vector<Tensor> {
             Tensor dtable, all = sum_of_leaf(table);
             if (!all.defined()) all = dtable = Tensor::zeros(table.shape());
             const int32_t* row = ids.data<int32_t>();
             const float* dy = g.f32();
             float* sum = all.f32();
             // Threads take columns, so that ids that repeat are summed in order and without locks.
             for_columns(n, count, [&](int64_t begin, int64_t end) {
               for (int64_t i = 0; i < count; ++i)
                 elementwise().accumulate(dy + i * n + begin, sum + row[i] * n + begin,
                                          end - begin);
             });
             return {dtable};
           });
  return out;
}

}  // namespace sumi::ops
