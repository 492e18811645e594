#include "ops/linear.h"

#include <algorithm>

#include "kernels/bf16_product.h"
#include "ops/bf16.h"
#include "ops/common.h"
#include "ops/products.h"
#include "ops/work.h"

namespace sumi::ops {
namespace {

using kernels::ProductFactor;
using kernels::onednn::Matmul;

// As operands of oneDNN's products, bf16 or f32.
Tensor operand(const Tensor& x, Products products) {
  if (products == Products::f32) return widen(x);
  return kernels::onednn::has_bf16() ? narrow(x) : widen(narrow(x));
}

ProductFactor factor(const Tensor& x, bool outer_contiguous, int64_t outer, int64_t k) {
  ProductFactor f{.outer_contiguous = outer_contiguous, .outer = outer, .k = k,
                  .stride = outer_contiguous ? outer : k};
  if (x.dtype() == DType::f32) f.f32 = x.f32();
  else f.bf16 = x.data<uint16_t>();
  return f;
}

// Whether bf16_product, which rounds f32 operands itself, is the faster way.
bool by_bf16_product(const Matmul& s, Products products, const Tensor& a, const Tensor& b) {
  constexpr int64_t kFewest = 16;
  return products == Products::bf16 && std::min({s.m, s.n, s.k}) >= kFewest && a.dtype() != DType::f16 &&
         b.dtype() != DType::f16 && kernels::has_bf16_product();
}

}  // namespace

void multiply(const Matmul& s, Products products, const Tensor& a, const Tensor& b, float* c) {
  if (by_bf16_product(s, products, a, b))
    return kernels::bf16_product(factor(a, s.transpose_a, s.m, s.k), factor(b, !s.transpose_b, s.n, s.k), c,
                                 s.n, s.beta != 0);
  const Tensor left = operand(a, products), right = operand(b, products);
  if (left.dtype() == DType::bf16)
    kernels::onednn::matmul_bf16(s, left.data<uint16_t>(), right.data<uint16_t>(), c);
  else
    kernels::onednn::matmul(s, left.f32(), right.f32(), c);
}

void multiply(const Matmul& s, Products products, const Tensor& a, const Tensor& b, Tensor& c) {
  if (c.dtype() == DType::f32) return multiply(s, products, a, b, c.f32());
  if (by_bf16_product(s, products, a, b) && s.k <= kernels::kMostRoundedDepth)
    return kernels::bf16_product_rounded(factor(a, s.transpose_a, s.m, s.k), factor(b, !s.transpose_b, s.n, s.k),
                                         c.data<uint16_t>());
  Tensor wide = Tensor::empty(c.shape());
  multiply(s, products, a, b, wide.f32());
  c = narrow(wide);
}

Tensor sum_of_leaf(const Tensor& weight) {
  const auto& meta = weight.autograd();
  const bool is_sum = meta && meta->sequence == 0 && meta->grad.defined() && meta->grad.dtype() == DType::f32;
  return is_sum ? meta->grad : Tensor();
}

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
  // What the weight's gradient needs of x.
  const bool recording = needs_record({&x, &weight, &bias});
  const Tensor kept = !recording || !weight.requires_grad() ? Tensor()
                      : products == Products::bf16          ? narrow(x)
                                                            : x;
  multiply({.transpose_b = true, .m = rows, .n = n, .k = k}, products, kept.defined() ? kept : x, weight, y);
  if (bias.defined()) {
    const float* b = bias.f32();
    for_rows(rows, n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) elementwise().accumulate(b, y + r * n, n);
    });
  }
  if (recording)
    record(out, "linear", {x, weight, bias},
           [kept, weight, needs_x = x.requires_grad(), record_of_x = record_of(x),
            needs_bias = bias.defined() && bias.requires_grad(), shape_of_x = x.shape(), products,
            rows, n, k](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx, dw, db;
             const float* dy = g.f32();
             if (Tensor sum = tensor::waiting_gradient(record_of_x); sum.defined()) {
               multiply({.m = rows, .n = k, .k = n, .beta = 1}, products, g, weight, sum.f32());
             } else if (needs_x) {
               dx = Tensor::empty(shape_of_x);
               multiply({.m = rows, .n = k, .k = n}, products, g, weight, dx.f32());
             }
             if (kept.defined()) {
               kernels::onednn::Matmul shape{.transpose_a = true, .m = n, .n = k, .k = rows};
               if (Tensor sum = sum_of_leaf(weight); sum.defined()) {
                 shape.beta = 1;
                 multiply(shape, products, g, kept, sum.f32());
               } else {
                 dw = Tensor::empty({n, k}, tensor::kept_gradient_type(weight));
                 multiply(shape, products, g, kept, dw);
               }
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
