#include "kernels/onednn.h"

#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "base/half.h"
#include "kernels/onednn_engine.h"

namespace sumi::kernels::onednn {
namespace {

void check(dnnl_status_t status, const Matmul& s) {
  if (status != dnnl_success)
    fail("oneDNN matmul [{}, {}] x [{}, {}]: status {}", s.m, s.k, s.k, s.n,
         static_cast<int>(status));
}

using Key = std::tuple<bool, bool, int64_t, int64_t, int64_t, float, float>;

struct Layouts {
  explicit Layouts(const Matmul& s)
      : a({s.m, s.k}, dnnl::memory::data_type::bf16, strides(s.transpose_a, s.m, s.k)),
        b({s.k, s.n}, dnnl::memory::data_type::bf16, strides(s.transpose_b, s.k, s.n)),
        c({s.m, s.n}, dnnl::memory::data_type::f32, strides(false, s.m, s.n)) {}
  static dnnl::memory::dims strides(bool transposed, int64_t rows, int64_t columns) {
    return transposed ? dnnl::memory::dims{1, rows} : dnnl::memory::dims{columns, 1};
  }
  dnnl::memory::desc a, b, c;
};

dnnl::matmul make_bf16(const Matmul& s) {
  const auto [a, b, c] = Layouts(s);
  dnnl::primitive_attr attributes;
  dnnl::post_ops post;
#if DNNL_VERSION_MAJOR >= 3
  if (s.alpha != 1) post.append_eltwise(dnnl::algorithm::eltwise_linear, s.alpha, 0);
#else
  if (s.alpha != 1) post.append_eltwise(1, dnnl::algorithm::eltwise_linear, s.alpha, 0);
#endif
  if (s.beta != 0) post.append_sum(s.beta);
  attributes.set_post_ops(post);
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul(dnnl::matmul::primitive_desc(engine(), a, b, c, attributes));
#else
  return dnnl::matmul(
      dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), attributes, engine()));
#endif
}

dnnl::matmul cached_bf16(const Matmul& s) {
  static std::mutex mutex;
  static std::map<Key, dnnl::matmul> cache;
  constexpr size_t kMostCached = 512;  // shapes; generated code is a few kilobytes each
  const Key key{s.transpose_a, s.transpose_b, s.m, s.n, s.k, s.alpha, s.beta};
  const std::lock_guard lock(mutex);
  if (const auto found = cache.find(key); found != cache.end()) return found->second;
  if (cache.size() >= kMostCached) cache.clear();
  return cache.emplace(key, make_bf16(s)).first->second;
}

std::vector<float> widen(const uint16_t* values, int64_t count) {
  std::vector<float> wide(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) wide[static_cast<size_t>(i)] = base::bf16_to_float(values[i]);
  return wide;
}

// No product to form: c = beta c.
void only_beta(const Matmul& s, float* c) {
  const int64_t ldc = s.ldc > 0 ? s.ldc : s.n;
  for (int64_t r = 0; r < s.m; ++r)
    for (int64_t i = 0; i < s.n; ++i)
      c[r * ldc + i] = s.beta == 0 ? 0 : s.beta * c[r * ldc + i];
}

}  // namespace

void matmul(const Matmul& s, const float* a, const float* b, float* c) {
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0) return only_beta(s, c);
  const int64_t lda = s.lda > 0 ? s.lda : s.transpose_a ? s.m : s.k;
  const int64_t ldb = s.ldb > 0 ? s.ldb : s.transpose_b ? s.k : s.n;
  check(dnnl_sgemm(s.transpose_a ? 'T' : 'N', s.transpose_b ? 'T' : 'N', s.m, s.n, s.k, s.alpha, a,
                   lda, b, ldb, s.beta, c, s.ldc > 0 ? s.ldc : s.n),
        s);
}

void matmul_bf16(const Matmul& s, const uint16_t* a, const uint16_t* b, float* c) {
  if (s.m == 0 || s.n == 0) return;
  if (s.k == 0) return only_beta(s, c);
  if (!has_bf16()) {
    const std::vector<float> wide_a = widen(a, s.m * s.k), wide_b = widen(b, s.k * s.n);
    return matmul(s, wide_a.data(), wide_b.data(), c);
  }
  try {
    const dnnl::matmul product = cached_bf16(s);
    const Layouts layouts(s);
    dnnl::memory ma(layouts.a, engine(), const_cast<uint16_t*>(a));
    dnnl::memory mb(layouts.b, engine(), const_cast<uint16_t*>(b));
    dnnl::memory mc(layouts.c, engine(), c);
    dnnl::stream stream(engine());
    product.execute(stream, {{DNNL_ARG_SRC, ma}, {DNNL_ARG_WEIGHTS, mb}, {DNNL_ARG_DST, mc}});
    stream.wait();
  } catch (const dnnl::error& error) {
    fail("oneDNN bf16 matmul [{}, {}] x [{}, {}]: {}", s.m, s.k, s.k, s.n, error.what());
  }
}

bool has_bf16() {
  static const bool answer = [] {
    if (base::active_isa() < base::Isa::avx512_bf16) return false;
    try {
      make_bf16({.m = 16, .n = 16, .k = 16});
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  }();
  return answer;
}

const char* version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl_version();
    return fmt::format("{}.{}.{}", v->major, v->minor, v->patch);
  }();
  return text.c_str();
}

}  // namespace sumi::kernels::onednn
