// Autoencoders against diffusers (tests/data/vae, written by tools/reference/vae.py).
#include "models/diffusion/vae.h"

#include <gtest/gtest.h>

#include "formats/safetensors.h"
#include "models/diffusion/autoencoder_kl.h"
#include "models/language/reference.h"
#include "tensor/autograd.h"

namespace sumi::models {
namespace {

std::string folder(const std::string& name) {
  return std::string(SUMI_TEST_DATA) + "/vae/" + name;
}

formats::SafetensorsFile expected(const std::string& name) {
  return formats::SafetensorsFile(folder(name) + "/expected.safetensors");
}

std::unique_ptr<Vae> open(const std::string& name,
                          ops::PackedWeight::Compute compute = ops::PackedWeight::Compute::f32,
                          bool encoder = true) {
  VaeOptions options;
  options.load.compute = compute;
  options.encoder = encoder;
  return open_vae(folder(name), options);
}

class VaeCase : public testing::TestWithParam<const char*> {};

TEST_P(VaeCase, EncodesAndDecodesAsDiffusers) {
  const formats::SafetensorsFile want = expected(GetParam());
  const std::unique_ptr<Vae> vae = open(GetParam());
  const LatentDistribution encoded = vae->encode(want.get("picture"));
  EXPECT_EQ(encoded.mean.shape(), want.get("mean").shape());
  EXPECT_LE(relative_error(encoded.mean, want.get("mean")), 1e-4);
  EXPECT_EQ(encoded.std.defined(), want.has("std"));
  if (want.has("std")) {
    EXPECT_LE(relative_error(encoded.std, want.get("std")), 1e-4);
  }
  const Tensor decoded = vae->decode(want.get("latents"));
  EXPECT_EQ(decoded.shape(), want.get("decoded").shape());
  EXPECT_LE(relative_error(decoded, want.get("decoded")), 1e-4);
  const std::unique_ptr<Vae> half = open(GetParam(), ops::PackedWeight::Compute::bf16);
  EXPECT_LE(relative_deviation(half->decode(want.get("latents")), want.get("decoded")), 0.05);
}

TEST_P(VaeCase, LargePicturesInTilesAsDiffusers) {
  const formats::SafetensorsFile want = expected(GetParam());
  const std::unique_ptr<Vae> vae = open(GetParam());
  if (!want.has("large_picture")) {  // AutoencoderTiny computes them whole
    EXPECT_LE(relative_error(vae->decode_tiled(want.get("latents")), want.get("decoded")), 1e-4);
    return;
  }
  const LatentDistribution encoded = vae->encode_tiled(want.get("large_picture"));
  EXPECT_EQ(encoded.mean.shape(), want.get("large_mean").shape());
  EXPECT_LE(relative_error(encoded.mean, want.get("large_mean")), 1e-4);
  const Tensor decoded = vae->decode_tiled(want.get("large_latents"));
  EXPECT_EQ(decoded.shape(), want.get("large_decoded").shape());
  EXPECT_LE(relative_error(decoded, want.get("large_decoded")), 1e-4);
  EXPECT_GE(relative_error(vae->decode(want.get("large_latents")), want.get("large_decoded")), 1e-3)
      << "tiles change the picture a little: were there any?";
  // What fits a tile is computed whole.
  EXPECT_TRUE(
      same_bits(vae->decode_tiled(want.get("latents")), vae->decode(want.get("latents"))));
}

INSTANTIATE_TEST_SUITE_P(All, VaeCase, testing::Values("kl", "kl_bare", "kl_old_names", "tiny"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Vae, GradientsOfTheDecoderEqualPyTorch) {
  const formats::SafetensorsFile want = expected("kl");
  VaeOptions options;
  options.load.trainable = true;
  const std::unique_ptr<Vae> vae = open_vae(folder("kl"), options);
  const Tensor decoded = vae->decode(want.get("latents"));
  Tensor gradient = want.get("mix").clone();  // of mean(decoded * mix)
  for (int64_t i = 0; i < gradient.numel(); ++i)
    gradient.f32()[i] /= static_cast<float>(gradient.numel());
  tensor::backward(decoded, gradient);
  size_t compared = 0;
  for (const auto& [name, parameter] : vae->parameters()) {
    if (!want.has("grad." + name)) continue;
    // A key's bias shifts all scores of a row alike: its gradient is 0 but for rounding.
    if (name.find("to_k.bias") != std::string::npos) continue;
    SCOPED_TRACE(name);
    ASSERT_TRUE(parameter.grad().defined());
    EXPECT_LE(relative_error(parameter.grad(), want.get("grad." + name)), 2e-4);
    ++compared;
  }
  EXPECT_GT(compared, 60u);
}

TEST(Vae, TheDecoderAloneGivesTheSamePicture) {
  const formats::SafetensorsFile want = expected("kl");
  const std::unique_ptr<Vae> whole = open("kl"),
                             alone = open("kl", ops::PackedWeight::Compute::f32, false);
  EXPECT_TRUE(same_bits(whole->decode(want.get("latents")), alone->decode(want.get("latents"))));
  EXPECT_LT(alone->weight_bytes(), whole->weight_bytes());
  EXPECT_THROW(alone->encode(want.get("picture")), Error);
}

TEST(Vae, SamplesAreMeanPlusDeviationTimesNoise) {
  const LatentDistribution one{Tensor::from({1, 2}, {1, 1, 1, 2}),
                               Tensor::from({0.5, 3}, {1, 1, 1, 2})};
  EXPECT_EQ(one.sample(Tensor::from({2, -1}, {1, 1, 1, 2})).to_vector(),
            (std::vector<float>{2, -1}));
}

std::string failure(const std::function<void(nlohmann::json&)>& change) {
  nlohmann::json object = formats::read_json_file(folder("kl") + "/config.json");
  change(object);
  const formats::SafetensorsFile file(folder("kl") + "/diffusion_pytorch_model.safetensors");
  try {
    make_vae(Config(object, "config.json"), file, {});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Vae, ErrorsNameWhatIsWrong) {
  const auto contains = [](const std::string& text, const char* part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  contains(failure([](auto& o) { o["_class_name"] = "VQModel"; }), "VQModel");
  contains(failure([](auto& o) { o["block_out_channels"] = {4, 7, 8}; }), "norm_num_groups 2");
  contains(failure([](auto& o) { o["down_block_types"][1] = "DownBlock2D"; }), "DownBlock2D");
  contains(failure([](auto& o) { o["block_out_channels"] = {4, 8, 16}; }), "expected shape");
  contains(failure([](auto& o) { o["layers_per_block"] = 2; }), "no tensor named");
  contains(failure([](auto& o) { o["mid_block_add_attention"] = false; }),
           "tensors that the configuration does not call for");
  contains(failure([](auto& o) { o["scaling_factor"] = 0; }), "scaling_factor");
  contains(failure([](auto& o) { o["latents_mean"] = {1.0}; }), "latents_mean");
  const std::unique_ptr<Vae> vae = open("kl");
  EXPECT_THROW(vae->encode(Tensor::zeros({1, 18, 16, 3})), Error);
  EXPECT_THROW(vae->encode(Tensor::zeros({1, 16, 16, 4})), Error);
  EXPECT_THROW(vae->decode(Tensor::zeros({1, 4, 4, 3})), Error);
}

}  // namespace
}  // namespace sumi::models
