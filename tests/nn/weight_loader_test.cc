#include "nn/weight_loader.h"

#include <gtest/gtest.h>

#include "ops/ops.h"
#include "tensor/autograd.h"

namespace sumi::nn {
namespace {

// A checkpoint in memory that notes what was given back.
class Tensors : public formats::TensorSource {
 public:
  void add(const std::string& name, const Tensor& tensor) {
    infos_.push_back({name, tensor.shape(), tensor.dtype(), "memory"});
    tensors_.push_back(tensor);
  }
  std::string describe() const override { return "memory"; }
  const std::vector<formats::TensorInfo>& tensors() const override { return infos_; }
  bool has(const std::string& name) const override {
    for (const auto& info : infos_)
      if (info.name == name) return true;
    return false;
  }
  Tensor get(const std::string& name) const override {
    for (size_t i = 0; i < infos_.size(); ++i)
      if (infos_[i].name == name) return tensors_[i];
    fail("memory: no tensor named {}", name);
  }
  void release(const std::string& name) const override { released.push_back(name); }

  mutable std::vector<std::string> released;

 private:
  std::vector<formats::TensorInfo> infos_;
  std::vector<Tensor> tensors_;
};

Tensor ramp(Shape shape, float first) {
  Tensor t = Tensor::empty(std::move(shape));
  for (int64_t i = 0; i < t.numel(); ++i) t.f32()[i] = first + 0.25f * static_cast<float>(i % 17);
  return t;
}

Tensors checkpoint() {
  Tensors source;
  source.add("q.weight", ramp({6, 8}, -1));
  source.add("q.bias", ramp({6}, 0.5));
  source.add("k.weight", ramp({4, 8}, 2).to(DType::bf16));
  source.add("k.bias", ramp({4}, -3));
  source.add("turned.weight", ramp({8, 5}, 1));
  source.add("norm.weight", ramp({8}, 1));
  return source;
}

void expect_near(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.shape(), b.shape());
  for (int64_t i = 0; i < a.numel(); ++i) EXPECT_NEAR(a.f32()[i], b.f32()[i], 1e-4) << i;
}

TEST(WeightLoader, PackedAndPlainPartsGiveTheSame) {
  const Tensors source = checkpoint();
  const std::vector<WeightName> parts = {{"q", "m.q", false, {}},
                                         {"k", "m.k", false, {3, 1, 2, 0}}};
  LoadOptions train, packed;
  train.trainable = true;
  packed.compute = ops::PackedWeight::Compute::f32;
  WeightLoader a(source, train), b(source, packed);
  const Linear plain = a.linear(parts, {6, 4}, 8, true), fast = b.linear(parts, {6, 4}, 8, true);
  const Tensor x = ramp({3, 8}, -2);
  const Tensor y = fast(x);
  expect_near(plain(x), y);
  EXPECT_EQ(y.shape(), (Shape{3, 10}));
  // Row 6 of the output is the file's row 3 of k, with its bias.
  double sum = source.get("k.bias").f32()[3];
  const Tensor k = source.get("k.weight").to(DType::f32);
  for (int64_t i = 0; i < 8; ++i) sum += static_cast<double>(x.f32()[i]) * k.f32()[3 * 8 + i];
  EXPECT_NEAR(y.f32()[6], sum, 1e-4);
  ASSERT_EQ(a.parameters().all().size(), 4u);
  EXPECT_EQ(a.parameters().all()[0].first, "m.q.weight");
  EXPECT_TRUE(a.parameters().get("m.k.bias").requires_grad());
  EXPECT_THROW(a.parameters().get("k.bias"), Error);
  EXPECT_TRUE(b.parameters().all().empty());
  EXPECT_EQ(source.released.size(), 8u);
  EXPECT_GT(b.memory_bytes(), 0u);
}

TEST(WeightLoader, TransposesAndTies) {
  const Tensors source = checkpoint();
  WeightLoader loader(source, {});
  const Linear turned = loader.linear({{"turned", "turned", true, {}}}, {5}, 8, false);
  const Tensor x = ramp({1, 8}, -2);
  const Tensor y = turned(x);
  for (int64_t n = 0; n < 5; ++n) {
    double sum = 0;
    for (int64_t i = 0; i < 8; ++i)
      sum += static_cast<double>(x.f32()[i]) * source.get("turned.weight").f32()[i * 5 + n];
    EXPECT_NEAR(y.f32()[n], sum, 1e-4);
  }
  const WeightName name{"q", "q", false, {}};
  const Embedding table = loader.embedding(name, 6, 8);
  expect_near(loader.tied(name, table)(x), ops::linear(x, source.get("q.weight")));
  expect_near(table(Tensor::from_ids({4}, {1})), source.get("q.weight").rows(4, 1));
}

TEST(WeightLoader, GradientsReachTheParameters) {
  const Tensors source = checkpoint();
  LoadOptions train;
  train.trainable = true;
  WeightLoader loader(source, train);
  const Linear layer =
      loader.linear({{"q", "q", false, {}}, {"k", "k", false, {}}}, {6, 4}, 8, true);
  const Norm norm = loader.norm({"norm", "norm", false, {}}, NormKind::rms, 8, false, 1e-5f);
  tensor::backward(
      ops::cross_entropy(layer(norm(ramp({2, 8}, -2))), Tensor::from_ids({1, 9}, {2})));
  for (const auto& [name, parameter] : loader.parameters().all()) {
    ASSERT_TRUE(parameter.grad().defined()) << name;
    EXPECT_EQ(parameter.grad().shape(), parameter.shape());
  }
}

TEST(WeightLoader, NamesWhatDoesNotFit) {
  const Tensors source = checkpoint();
  WeightLoader loader(source, {});
  const auto message = [](const auto& call) -> std::string {
    try {
      call();
    } catch (const Error& e) {
      return e.what();
    }
    return "(no error)";
  };
  EXPECT_EQ(message([&] {
              loader.vector({"q", "q", false, {}}, ".bias", 7);
            }),
            "memory: tensor q.bias: expected shape [7], found [6]");
  const auto none = [](const std::string&) { return false; };
  const std::string missing = message([&] { check_names(source, {"q.weight", "z.weight"}, none); });
  EXPECT_NE(missing.find("missing: z.weight"), std::string::npos) << missing;
  const std::string extra = message([&] {
    check_names(source, {"q.weight", "q.bias", "k.weight", "k.bias", "norm.weight"}, none);
  });
  EXPECT_NE(extra.find("turned.weight"), std::string::npos) << extra;
  EXPECT_EQ(
      message([&] { check_names(source, {"q.weight"}, [](const std::string&) { return true; }); }),
      "(no error)");
  EXPECT_THROW(Norm(NormKind::rms, ramp({8}, 1), ramp({8}, 1), 1e-5f), Error);
  EXPECT_THROW(Linear()(ramp({1, 8}, 1)), Error);
}

TEST(Parameters, NamesAreUnique) {
  Parameters parameters;
  parameters.add("a", ramp({2}, 0));
  EXPECT_THROW(parameters.add("a", ramp({2}, 0)), Error);
}

}  // namespace
}  // namespace sumi::nn
