#include "nn/parameters.h"

#include "base/error.h"

namespace sumi::nn {

void Parameters::add(const std::string& name, const Tensor& tensor) {
  if (!names_.insert(name).second) fail("parameter {}: registered twice", name);
  all_.emplace_back(name, tensor);
}

Tensor Parameters::get(const std::string& name) const {
  for (const auto& [have, tensor] : all_)
    if (have == name) return tensor;
  fail("no parameter named {}", name);
}

}  // namespace sumi::nn
