// Configurations derived from a checkpoint's shapes, against diffusers' for the published models:
// tests/data/single_file/shapes.json, written by tools/reference/single_file.py.
#include "diffusion/single_file/single_file.h"

#include <gtest/gtest.h>

#include "diffusion/single_file/configs.h"
#include "diffusion/single_file/names.h"
#include "formats/json.h"
#include "formats/temporary.h"
#include "models/diffusion/autoencoder_kl.h"
#include "models/diffusion/unet_config.h"
#include "models/encoders/clip.h"

namespace sumi::diffusion {
namespace {

using formats::error_of;

const nlohmann::json& shapes() {
  static const nlohmann::json all =
      formats::read_json_file(std::string(SUMI_TEST_DATA) + "/single_file/shapes.json");
  return all;
}

// Names and shapes without elements.
class Shapes : public formats::TensorSource {
 public:
  explicit Shapes(const nlohmann::json& tensors) {
    for (const auto& [name, shape] : tensors.items())
      tensors_.push_back({name, shape.get<Shape>(), DType::f16, "shapes"});
  }
  std::string describe() const override { return "shapes"; }
  const std::vector<formats::TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string&) const override { return false; }
  Tensor get(const std::string& name) const override { fail("{} has no elements", name); }
  void release(const std::string&) const override {}

 private:
  std::vector<formats::TensorInfo> tensors_;
};

void expect_config(const nlohmann::json& found, const nlohmann::json& expected) {
  for (const auto& [key, value] : expected.items())
    EXPECT_EQ(found.value(key, nlohmann::json()), value) << key;
}

TEST(SingleFile, ConfigurationsAreThoseThatDiffusersDerives) {
  for (const auto& [model, size] : {std::pair{"sd1", 512}, {"sd2", 768}}) {
    const nlohmann::json& expected = shapes().at(model);
    const Shapes file(expected.at("tensors"));
    const Section unet(file, "model.diffusion_model."), vae(file, "first_stage_model.");
    nlohmann::json config = unet_config_of(unet, size / 8);
    expect_config(config, expected.at("unet"));
    const models::UNetConfig net = models::unet_config(models::Config(config, model));
    EXPECT_EQ(net.levels.at(2).heads, size == 512 ? 8 : 20);
    EXPECT_EQ(unet_names(unet).size(), 686u);
    config = vae_config_of(vae, size, 0.18215);
    expect_config(config, expected.at("vae"));
    models::autoencoder_kl_spec(models::Config(config, model));
    EXPECT_EQ(vae_names(vae).size(), 248u);
  }
}

TEST(SingleFile, TextEncoders) {
  const Shapes first(shapes().at("sd1").at("tensors")), second(shapes().at("sd2").at("tensors"));
  const Section clip(first, "cond_stage_model.transformer."),
      open_clip(second, "cond_stage_model.model.");
  const nlohmann::json one = clip_config_of(clip), two = open_clip_config_of(open_clip, false);
  expect_config(one, {{"hidden_size", 768}, {"num_hidden_layers", 12}, {"num_attention_heads", 12},
                      {"intermediate_size", 3072}, {"vocab_size", 49408},
                      {"hidden_act", "quick_gelu"}, {"max_position_embeddings", 77}});
  expect_config(two, {{"hidden_size", 1024}, {"num_hidden_layers", 23}, {"num_attention_heads", 16},
                      {"intermediate_size", 4096}, {"hidden_act", "gelu"}});
  for (const nlohmann::json& config : {one, two})
    models::ClipText::check(models::Config(config, "clip"));
  EXPECT_EQ(clip_names(clip).size(), 196u);
  EXPECT_EQ(open_clip_names(open_clip, false).size(), 372u);  // of 23 layers
}

// The tiny XL file says what its folder says, but for heads and groups, which shapes do not tell.
TEST(SingleFile, StableDiffusionXl) {
  const std::string data = SUMI_TEST_DATA;
  const auto files = open_single_file(data + "/single_file/xl.safetensors", {});
  const auto folder = open_picture_files(data + "/pipelines_more/xl");
  const nlohmann::json net = files->config("unet").json(), own = folder->config("unet").json();
  for (const char* key : {"block_out_channels", "down_block_types", "up_block_types",
                          "cross_attention_dim", "transformer_layers_per_block",
                          "use_linear_projection", "addition_embed_type",
                          "projection_class_embeddings_input_dim", "layers_per_block"})
    EXPECT_EQ(net.at(key), own.at(key)) << key;
  expect_config(net, {{"addition_time_embed_dim", 256}, {"sample_size", 128}});
  expect_config(files->config("vae").json(), {{"scaling_factor", 0.13025}, {"sample_size", 1024}});
  expect_config(files->config("text_encoder_2").json(),
                {{"num_hidden_layers", 3}, {"projection_dim", 8},
                 {"architectures", {"CLIPTextModelWithProjection"}}});
  EXPECT_EQ(files->scheduler("scheduler").get_string("_class_name", ""), "EulerDiscreteScheduler");
}

TEST(SingleFile, NamesWhatHasNoPlace) {
  nlohmann::json tensors = shapes().at("sd1").at("tensors");
  tensors["model.diffusion_model.input_blocks.1.2.weight"] = {4};
  const Shapes file(tensors);
  EXPECT_NE(error_of([&] { unet_names(Section(file, "model.diffusion_model.")); })
                .find("\"model.diffusion_model.input_blocks.1.2.weight\": not known"),
            std::string::npos);
  tensors.erase("first_stage_model.encoder.conv_in.weight");
  const Shapes less(tensors);
  EXPECT_NE(error_of([&] { vae_config_of(Section(less, "first_stage_model."), 512, 1); })
                .find("tensor first_stage_model.encoder.conv_in.weight is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace sumi::diffusion
