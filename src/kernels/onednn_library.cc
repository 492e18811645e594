#include <dlfcn.h>
#include <oneapi/dnnl/dnnl_version.h>

#include <string>
#include <type_traits>

#include "base/error.h"
#include "kernels/onednn_library.h"

namespace sumi::kernels::onednn {
namespace {

Library load() {
  const std::string file = "libdnnl.so." + std::to_string(DNNL_VERSION_MAJOR);
  void* loaded = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!loaded) fail("oneDNN: {} (Debian: package libdnnl{})", dlerror(), DNNL_VERSION_MAJOR);
  Library library;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(loaded, name));
    if (!function) fail("oneDNN: {} has no function {}", file, name);
  };
#define SUMI_DNNL_FIND(name) find(library.name, #name);
  SUMI_DNNL_FUNCTIONS(SUMI_DNNL_FIND)
#undef SUMI_DNNL_FIND
  return library;
}

}  // namespace

const Library& library() {
  static const Library library = load();
  return library;
}

}  // namespace sumi::kernels::onednn
