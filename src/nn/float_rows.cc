#include "nn/float_rows.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "ops/embedding.h"

namespace sumi::nn {

Tensor unit_rows(const Tensor& x) {
  Tensor y = x.to(DType::f32);
  if (x.dtype() == DType::f32) y = y.clone();
  const int64_t columns = x.size(1);
  for (int64_t r = 0; r < x.size(0); ++r) {
    float* row = y.f32() + r * columns;
    double sum = 0;
    for (int64_t c = 0; c < columns; ++c) sum += static_cast<double>(row[c]) * row[c];
    const auto scale = static_cast<float>(1 / std::max(std::sqrt(sum), 1e-12));
    for (int64_t c = 0; c < columns; ++c) row[c] *= scale;
  }
  return y.to(x.dtype());
}

Tensor dequantize(const Tensor& x) {
  if (is_float(x.dtype())) return x.to(DType::f32);
  std::vector<int32_t> ids(static_cast<size_t>(x.size(0)));
  std::iota(ids.begin(), ids.end(), 0);
  return ops::embedding(Tensor::from_ids(ids, {x.size(0)}), x);
}

}  // namespace sumi::nn
