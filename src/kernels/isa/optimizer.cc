// The copies of kernels/optimizer.h, one per instruction set.
#include "kernels/optimizer.h"

#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {
namespace {

struct Updated {
  Vec weight, mean, square;
};

inline Updated update(const AdamWStep& s, Vec g, Vec p, Vec m, Vec v) {
  const Vec mean = fma(g - m, Vec::set1(1 - s.beta1), m);
  const Vec square = fma(g * g, Vec::set1(1 - s.beta2), v * Vec::set1(s.beta2));
  const Vec root = fma(sqrt(square), Vec::set1(s.inverse_root), Vec::set1(s.eps));
  return {p * Vec::set1(s.keep) - Vec::set1(s.step_size) * mean / root, mean, square};
}

void adamw(const AdamWStep& step, const float* gradient, float* weight, float* mean, float* square,
           int64_t n) {
  int64_t i = 0;
  for (; i + Vec::kWidth <= n; i += Vec::kWidth) {
    const Updated u = update(step, Vec::load(gradient + i), Vec::load(weight + i),
                             Vec::load(mean + i), Vec::load(square + i));
    u.weight.store(weight + i);
    u.mean.store(mean + i);
    u.square.store(square + i);
  }
  if (const int64_t rest = n - i; rest > 0) {
    const Updated u =
        update(step, load_partial(gradient + i, rest), load_partial(weight + i, rest),
               load_partial(mean + i, rest), load_partial(square + i, rest));
    store_partial(u.weight, weight + i, rest);
    store_partial(u.mean, mean + i, rest);
    store_partial(u.square, square + i, rest);
  }
}

}  // namespace

extern const AdamWKernel kAdamW;
const AdamWKernel kAdamW = adamw;

}  // namespace sumi::kernels::SUMI_ISA
