#include "ops/linear.h"

#include "kernels/onednn.h"
#include "ops/common.h"
#include "ops/work.h"

namespace sumi::ops {
namespace {

using kernels::onednn::Matmul;

// As operands of products, bf16 or f32.
Tensor operand(const Tensor& x, Products products) {
  if (products == Products::f32) return x.dtype() == DType::f32 ? x : x.to(DType::f32);
  const Tensor narrow = x.dtype() == DType::bf16 ? x : x.to(DType::bf16);
  return kernels::onednn::has_bf16() ? narrow : narrow.to(DType::f32);
}

void multiply(const Matmul& shape, const Tensor& a, const Tensor& b, float* c) {
  if (a.dtype() == DType::bf16)
    kernels::onednn::matmul_bf16(shape, a.data<uint16_t>(), b.data<uint16_t>(), c);
  else
    kernels::onednn::matmul(shape, a.f32(), b.f32(), c);
}

}  // namespace

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, Products products) {
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
  multiply({.transpose_b = true, .m = rows, .n = n, .k = k}, operand(x, products),
           operand(weight, products), y);
  if (bias.defined()) {
    const float* b = bias.f32();
    for_rows(rows, n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) elementwise().accumulate(b, y + r * n, n);
    });
  }
  if (needs_record({&x, &weight, &bias}))
    record(out, "linear", {x, weight, bias},
           [kept = !weight.requires_grad()       ? Tensor()
                   : products == Products::bf16 ? x.to(DType::bf16)
                                                : x,
            weight, needs_x = x.requires_grad(),
            needs_bias = bias.defined() && bias.requires_grad(), shape_of_x = x.shape(), products,
            rows, n, k](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx, dw, db;
             const float* dy = g.f32();
             const Tensor narrow = operand(g, products);
             if (needs_x) {
               dx = Tensor::empty(shape_of_x);
               multiply({.m = rows, .n = k, .k = n}, narrow, operand(weight, products), dx.f32());
             }
             if (kept.defined()) {
               dw = Tensor::empty({n, k});
               multiply({.transpose_a = true, .m = n, .n = k, .k = rows}, narrow,
                        operand(kept, products), dw.f32());
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
