#include "ops/token_rows.h"

#include <cstring>

#include "kernels/onednn.h"
#include "ops/common.h"
#include "ops/embedding.h"

namespace sumi::ops {

using kernels::onednn::matmul;

Tensor embedding(const Tensor& ids, const Tensor& table, int64_t begin, const Tensor& rows) {
  const int64_t width = check_rows("embedding", "rows", rows), added = row_count(rows, width);
  if (needs_record({&table})) fail("embedding: a table with added rows cannot be trained");
  if (!ids.defined() || ids.dtype() != DType::i32) fail("embedding: ids are not i32");
  if (!table.defined() || table.dim() != 2 || table.size(1) != width)
    fail("embedding: rows {} for a table {}", shape_string(rows.shape()),
         table.defined() ? shape_string(table.shape()) : "that is undefined");
  const auto index = [ids, begin, added](int64_t i) {  // of an added row, or -1
    const int64_t id = ids.data<int32_t>()[i] - begin;
    return id >= 0 && id < added ? id : -1;
  };
  Tensor others = ids.clone();
  for (int64_t i = 0; i < ids.numel(); ++i)
    if (index(i) >= 0) others.data<int32_t>()[i] = 0;
  Tensor out = embedding(others, table);
  for (int64_t i = 0; i < ids.numel(); ++i)
    if (index(i) >= 0) std::copy_n(rows.f32() + index(i) * width, width, out.f32() + i * width);
  if (needs_record({&rows}))
    record(out, "embedding", {rows},
           [index, shape = rows.shape(), count = ids.numel(),
            width](const Tensor& g) -> std::vector<Tensor> {
             Tensor drows = Tensor::zeros(shape);
             for (int64_t i = 0; i < count; ++i)
               if (index(i) >= 0)
                 elementwise().accumulate(g.f32() + i * width, drows.f32() + index(i) * width, width);
             return {drows};
           });
  return out;
}

Tensor replace_columns(const Tensor& y, int64_t begin, const Tensor& x, const Tensor& rows) {
  const int64_t k = check_rows("replace_columns", "x", x), width = check_rows("replace_columns", "y", y);
  const int64_t n = row_count(rows, k), m = row_count(x, k);
  check_shape("replace_columns", "rows", rows, {n, k});
  if (row_count(y, width) != m || begin < 0 || n > width - begin)
    fail("replace_columns: {} columns from {} on of y {}, for x {}", n, begin, shape_string(y.shape()),
         shape_string(x.shape()));
  Tensor out = y.view(y.shape());
  matmul({.transpose_b = true, .m = m, .n = n, .k = k, .ldc = width}, x.f32(), rows.f32(),
         out.f32() + begin);
  if (!needs_record({&y, &x, &rows})) return out;
  record(out, "replace_columns", {y, x, rows},
         [x, rows, m, n, k, begin, width, needs_y = y.requires_grad()](
             const Tensor& g) -> std::vector<Tensor> {
           Tensor dy, dx, drows;
           const float* columns = g.f32() + begin;
           if (x.requires_grad()) {
             dx = Tensor::empty(x.shape());
             matmul({.m = m, .n = k, .k = n, .lda = width}, columns, rows.f32(), dx.f32());
           }
           if (rows.requires_grad()) {
             drows = Tensor::empty(rows.shape());
             matmul({.transpose_a = true, .m = n, .n = k, .k = m, .lda = width}, columns, x.f32(),
                    drows.f32());
           }
           if (needs_y) {
             dy = g.clone();
             for (int64_t r = 0; r < m; ++r) std::fill_n(dy.f32() + r * width + begin, n, 0.0f);
           }
           return {dy, dx, drows};
         });
  return out;
}

}  // namespace sumi::ops
