#include "ops/head_loss.h"

#include "check.h"
#include "ops/ops.h"

namespace sumi::ops {
namespace {

using check::expect_close;
using check::random_tensor;

// As a linear layer in bf16 and the loss of its logits, whose gradient is rounded once more.
TEST(HeadCrossEntropy, AgreesWithLinearAndCrossEntropy) {
  Tensor x = random_tensor({37, 48}, 1), w = random_tensor({70, 48}, 2);
  Tensor targets = Tensor::zeros({37}, DType::i32);
  for (int32_t i = 0; i < 37; ++i) targets.data<int32_t>()[i] = i % 5 == 4 ? kIgnoreIndex : i * 11 % 70;
  for (const int64_t rows : {1, 16, 100}) {
    std::vector<Tensor> results;
    for (const bool fused : {false, true}) {
      for (Tensor* t : {&x, &w}) {
        t->set_requires_grad(true);
        t->set_grad({});
      }
      const Tensor loss = fused ? head_cross_entropy(x, w, targets, rows)
                                : cross_entropy(linear(x, w, {}, Products::bf16), targets);
      tensor::backward(loss, Tensor::full({1}, 0.7f));
      for (const Tensor& t : {loss, x.grad(), w.grad()}) results.push_back(t);
    }
    expect_close(results[3], results[0], 1e-5);
    expect_close(results[4], results[1], 1e-3);
    expect_close(results[5], results[2], 1e-3);
  }
  targets.data<int32_t>()[3] = 70;
  EXPECT_THROW(head_cross_entropy(x, w, targets, 8), Error);
}

}  // namespace
}  // namespace sumi::ops
