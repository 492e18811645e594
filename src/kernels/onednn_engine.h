// What the files that use oneDNN share. Only kernels/onednn*.cc include this.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

namespace sumi::kernels::onednn {

inline dnnl::engine& engine() {
  static dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

}  // namespace sumi::kernels::onednn
