#include "ops/wkv.h"

#include "base/threads.h"
#include "check.h"

namespace sumi::ops {
namespace {

using check::error_of;
using check::expect_close;
using check::expect_gradients;
using check::expect_same_bits;
using check::random_tensor;
using Inputs = std::vector<Tensor>;

TEST(MixWithPrevious, IsItsFormula) {
  const int64_t steps = 5, n = 37;
  const Tensor x = random_tensor({2, steps, n}, 1), previous = random_tensor({2, n}, 2);
  const Tensor mix = random_tensor({1, 1, n}, 3);
  for (const Tensor& before : {Tensor(), previous}) {
    const Tensor y = mix_with_previous(x, before, mix);
    Tensor want = Tensor::empty(x.shape());
    for (int64_t row = 0; row < 2 * steps; ++row)
      for (int64_t i = 0; i < n; ++i) {
        const float past = row % steps ? x.f32()[(row - 1) * n + i]
                           : before.defined() ? before.f32()[row / steps * n + i]
                                              : 0;
        want.f32()[row * n + i] =
            x.f32()[row * n + i] * mix.f32()[i] + past * (1 - mix.f32()[i]);
      }
    expect_close(y, want, 1e-6);
    expect_gradients([&](const Inputs& in) { return mix_with_previous(in[0], before, in[1]); },
                     {x, mix});
  }
}

TEST(Wkv, HasTheGradientsOfFiniteDifferences) {
  const int64_t steps = 7, n = 19;
  expect_gradients([](const Inputs& in) { return wkv(in[0], in[1], in[2], in[3]); },
                   {random_tensor({2, steps, n}, 1), random_tensor({2, steps, n}, 2),
                    random_tensor({n}, 3), random_tensor({n}, 4)});
}

TEST(Wkv, GoesOnFromAState) {
  const int64_t steps = 23, n = 53;
  const Tensor key = random_tensor({1, steps, n}, 1, 3), value = random_tensor({1, steps, n}, 2);
  const Tensor decay = random_tensor({n}, 3), first = random_tensor({n}, 4);
  const Tensor whole = wkv(key, value, decay, first);
  const int threads = base::num_threads();
  for (const int64_t piece : {1, 5, 23}) {
    base::set_num_threads(piece == 5 ? 3 : 1);
    WkvState state = WkvState::start(n);
    Tensor joined = Tensor::empty(whole.shape());
    for (int64_t t = 0; t < steps; t += piece) {
      const int64_t count = std::min(piece, steps - t);
      const auto part = [&](const Tensor& x) {
        return x.view({steps, n}).rows(t, count).view({1, count, n});
      };
      const Tensor y = wkv(part(key), part(value), decay, first, &state);
      std::copy_n(y.f32(), count * n, joined.f32() + t * n);
    }
    expect_same_bits(joined, whole);
  }
  base::set_num_threads(threads);
}

TEST(Wkv, ErrorsNameTheOperand) {
  const Tensor x = Tensor::zeros({2, 3, 4}), vector = Tensor::zeros({4});
  EXPECT_EQ(error_of([&] { wkv(x, Tensor::zeros({2, 3, 5}), vector, vector); }),
            "wkv: value has shape [2, 3, 5], expected [2, 3, 4]");
  EXPECT_EQ(error_of([&] { wkv(x, x, Tensor::zeros({5}), vector); }),
            "wkv: decay has shape [5], expected [4]");
  EXPECT_EQ(error_of([&] {
              WkvState state = WkvState::start(4);
              wkv(x, x, vector, vector, &state);
            }),
            "wkv: 2 sequences with one state");
  EXPECT_EQ(error_of([&] { mix_with_previous(x, {}, Tensor::zeros({5})); }),
            "mix_with_previous: mix has shape [5], expected 4 elements");
  EXPECT_EQ(error_of([&] { mix_with_previous(x, Tensor::zeros({1, 4}), vector); }),
            "mix_with_previous: previous has shape [1, 4], expected [2, 4]");
}

}  // namespace
}  // namespace sumi::ops
