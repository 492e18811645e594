#include "nn/parameters.h"

#include <cstring>

#include "base/error.h"

namespace sumi::nn {
namespace {

Tensor arranged(const Tensor& x, const Arrangement& arrangement) {
  if (arrangement.row_order.empty() && !arrangement.transposed) return x;
  const int64_t n = x.size(0), k = x.dim() == 2 ? x.size(1) : 1;
  const bool transposed = arrangement.transposed && x.dim() == 2;
  Tensor y = Tensor::empty(transposed ? Shape{k, n} : x.shape());
  const float* from = x.f32();
  float* to = y.f32();
  for (int64_t r = 0; r < n; ++r) {
    const int64_t row =
        arrangement.row_order.empty() ? r : arrangement.row_order[static_cast<size_t>(r)];
    for (int64_t c = 0; c < k; ++c) to[transposed ? c * n + row : row * k + c] = from[r * k + c];
  }
  return y;
}

}  // namespace

void Parameters::add(const std::string& name, const Tensor& tensor,
                     const Arrangement& arrangement) {
  if (!names_.insert(name).second) fail("parameter {}: registered twice", name);
  all_.emplace_back(name, tensor);
  arrangements_.push_back(arrangement);
}

std::vector<std::pair<std::string, Tensor>> Parameters::exported() const {
  std::vector<std::pair<std::string, Tensor>> out;
  for (size_t i = 0; i < all_.size(); ++i)
    out.emplace_back(all_[i].first, arranged(all_[i].second, arrangements_[i]));
  return out;
}

Tensor Parameters::get(const std::string& name) const {
  for (const auto& [have, tensor] : all_)
    if (have == name) return tensor;
  fail("no parameter named {}", name);
}

}  // namespace sumi::nn
