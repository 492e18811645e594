#include "ops/linear.h"

#include "kernels/onednn.h"
#include "ops/common.h"
#include "ops/work.h"

namespace sumi::ops {
namespace {

using kernels::onednn::matmul;

Tensor as_f32(const Tensor& weight) {
  return weight.dtype() == DType::f32 ? weight : weight.to(DType::f32);
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const int64_t k = check_rows("linear", "x", x);
  if (!weight.defined() || !tensor::is_float(weight.dtype()) || weight.dim() != 2 ||
      weight.size(1) != k)
    fail("linear: weight {}, expected f32, f16 or bf16 [N, {}] for x {}",
         weight.defined()
             ? std::string(tensor::dtype_name(weight.dtype())) + " " + shape_string(weight.shape())
             : "is undefined",
         k, shape_string(x.shape()));
  const int64_t n = weight.size(0), rows = row_count(x, k);
  if (bias.defined()) check_shape("linear", "bias", bias, {n});
  Shape shape = x.shape();
  shape.back() = n;
  Tensor out = Tensor::empty(std::move(shape));
  count_products(rows * n * k);
  float* y = out.f32();
  {
    const Tensor wide = as_f32(weight);
    matmul({.transpose_b = true, .m = rows, .n = n, .k = k}, x.f32(), wide.f32(), y);
  }
  if (bias.defined()) {
    const float* b = bias.f32();
    for_rows(rows, n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) elementwise().accumulate(b, y + r * n, n);
    });
  }
  if (needs_record({&x, &weight, &bias}))
    record(out, "linear", {x, weight, bias},
           [kept = weight.requires_grad() ? x : Tensor(), weight, needs_x = x.requires_grad(),
            needs_bias = bias.defined() && bias.requires_grad(), shape_of_x = x.shape(), rows, n,
            k](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx, dw, db;
             const float* dy = g.f32();
             if (needs_x) {
               dx = Tensor::empty(shape_of_x);
               const Tensor wide = as_f32(weight);
               matmul({.m = rows, .n = k, .k = n}, dy, wide.f32(), dx.f32());
             }
             if (kept.defined()) {
               dw = Tensor::empty({n, k});
               matmul({.transpose_a = true, .m = n, .n = k, .k = rows}, dy, kept.f32(), dw.f32());
             }
             if (needs_bias) {
               db = Tensor::zeros({n});
               float* sum = db.f32();
               for_columns(n, rows, [&](int64_t begin, int64_t end) {
                 for (int64_t r = 0; r < rows; ++r)
                   elementwise().accumulate(dy + r * n + begin, sum + begin, end - begin);
               });
             }
             return {dx, dw, db};
           });
  return out;
}

}  // namespace sumi::ops
