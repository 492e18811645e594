// Schedulers against diffusers', number by number: tests/data/diffusion/schedulers.*, by
// tools/reference/schedulers.py.
#include "diffusion/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/temporary.h"

namespace sumi::diffusion {
namespace {

using formats::error_of;
using formats::expect_mentions;
using nlohmann::json;

const std::string kFolder = std::string(SUMI_TEST_DATA) + "/diffusion/";

Tensor randn(uint64_t seed, const Shape& shape = {2, 3, 2, 3}) {
  Tensor tensor = Tensor::empty(shape);
  base::Generator(seed).randn({tensor.f32(), static_cast<size_t>(tensor.numel())});
  return tensor;
}

// Within 1e-5 of the largest number.
void expect_close(const float* found, const float* expected, int64_t count,
                  const std::string& what) {
  float largest = 0, difference = 0;
  for (int64_t i = 0; i < count; ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::max(difference, std::abs(found[i] - expected[i]));
    if (std::isnan(found[i])) difference = INFINITY;
  }
  EXPECT_LE(difference, 1e-5f * largest) << what << ": largest " << largest;
}

void check_case(const json& test, const formats::SafetensorsFile& file) {
  const std::string name = test["name"];
  const json& config = test["config"];
  const auto scheduler = [&] {
    json plain = config;
    plain.erase("eta");
    return make_scheduler(plain, name);
  }();
  if (config.contains("eta")) scheduler->set_eta(config["eta"]);
  scheduler->set_timesteps(test["steps"]);
  const Tensor timesteps = file.get(name + ".timesteps"), samples = file.get(name + ".samples");
  const Tensor scaled = file.get(name + ".scaled"), init = file.get(name + ".init");
  ASSERT_EQ(static_cast<int64_t>(scheduler->timesteps().size()), timesteps.numel()) << name;
  expect_close(scheduler->timesteps().data(), timesteps.f32(), timesteps.numel(),
               name + " timesteps");
  const float sigma = scheduler->init_noise_sigma();
  expect_close(&sigma, init.f32(), 1, name + " init_noise_sigma");
  Tensor sample = randn(11);
  const Tensor noised = scheduler->add_noise(sample, randn(5), 1);
  expect_close(noised.f32(), file.get(name + ".noised").f32(), noised.numel(), name + " add_noise");
  for (int64_t k = 0; k < sample.numel(); ++k) sample.f32()[k] *= sigma;
  base::Generator generator(5);
  const bool twice = config.value("variance_type", "") == "learned_range";
  for (size_t i = 0; i < scheduler->timesteps().size(); ++i) {
    const std::string what = fmt::format("{} step {}", name, i);
    const int64_t row = static_cast<int64_t>(i) * sample.numel();
    const Tensor input = scheduler->scale_model_input(sample, i);
    expect_close(input.f32(), scaled.f32() + row, input.numel(), what + " input");
    Tensor output = randn(100 + i, {2, twice ? 6 : 3, 2, 3});
    if (twice && config["_class_name"] == "DDPMScheduler")
      for (const int64_t b : {18, 54})
        for (int64_t k = b; k < b + 18; ++k)
          output.f32()[k] = std::clamp(output.f32()[k], -1.0f, 1.0f);
    sample = scheduler->step(output, i, sample, generator);
    expect_close(sample.f32(), samples.f32() + row, sample.numel(), what);
  }
}

TEST(Scheduler, EveryStepIsDiffusers) {
  const formats::SafetensorsFile file(kFolder + "schedulers.safetensors");
  const json cases = formats::read_json_file(kFolder + "schedulers.json");
  EXPECT_GT(cases.size(), 90u);
  for (const json& test : cases) check_case(test, file);
}

TEST(Scheduler, ASecondRunIsLikeTheFirst) {
  for (const std::string& name : scheduler_names()) {
    const auto scheduler = make_scheduler(name, json::object(), "x");
    std::vector<float> runs[2];
    for (auto& run : runs) {
      scheduler->set_timesteps(6);
      base::Generator generator(1);
      Tensor sample = randn(11);
      for (size_t i = 0; i < scheduler->timesteps().size(); ++i)
        sample = scheduler->step(randn(i), i, sample, generator);
      run = sample.to_vector();
    }
    EXPECT_EQ(runs[0], runs[1]) << name;
  }
}

TEST(Scheduler, NamesKeepTheFoldersConfiguration) {
  // Stable Diffusion's file: a PNDM configuration whose keys others read too
  const json file = {{"_class_name", "PNDMScheduler"},
                     {"_diffusers_version", "0.6.0"},
                     {"beta_end", 0.012},
                     {"beta_schedule", "scaled_linear"},
                     {"beta_start", 0.00085},
                     {"num_train_timesteps", 1000},
                     {"set_alpha_to_one", false},
                     {"skip_prk_steps", true},
                     {"steps_offset", 1},
                     {"trained_betas", nullptr},
                     {"clip_sample", false}};
  for (const std::string& name : scheduler_names()) {
    const auto scheduler = make_scheduler(name, file, "x");
    scheduler->set_timesteps(10);
    EXPECT_GE(scheduler->timesteps().size(), 10u) << name;
    EXPECT_EQ(scheduler->prediction_type(), "epsilon");
  }
  const auto ddim = make_scheduler("ddim", file, "x");
  ddim->set_timesteps(10);
  EXPECT_EQ(ddim->timesteps().front(), 901);  // leading, with the file's offset
  const auto heun = make_scheduler("heun", file, "x");
  EXPECT_EQ(heun->order(), 2);
  EXPECT_EQ(ddim->order(), 1);
  // A value that was only the default when the file was written is not kept.
  json written = file;
  written["timestep_spacing"] = "leading";
  written["_use_default_values"] = {"timestep_spacing"};
  const auto euler = make_scheduler("euler", written, "x");
  euler->set_timesteps(10);
  EXPECT_EQ(euler->timesteps().front(), 999);
}

TEST(Scheduler, BadConfigurationsAreNamed) {
  const auto message = [](const json& config) {
    return error_of([&] { make_scheduler(config, "folder/scheduler_config.json"); });
  };
  const std::pair<json, const char*> cases[] = {
      {json::array(), "_class_name"},
      {{{"_class_name", "DEISMultistepScheduler"}}, "no scheduler \"DEISMultistepScheduler\""},
      {{{"_class_name", "DDIMScheduler"}, {"beta_strat", 1}}, "\"beta_strat\" is no key"},
      {{{"_class_name", "DDIMScheduler"}, {"beta_start", "x"}}, "beta_start: expected a number"},
      {{{"_class_name", "DDIMScheduler"}, {"beta_end", 7}}, "a beta of"},
      {{{"_class_name", "DDIMScheduler"}, {"beta_schedule", "x"}},
       "beta_schedule: expected one of"},
      {{{"_class_name", "DDIMScheduler"}, {"prediction_type", "flow"}}, "prediction_type"},
      {{{"_class_name", "DDIMScheduler"}, {"num_train_timesteps", 0}}, "num_train_timesteps"},
      {{{"_class_name", "DDIMScheduler"}, {"trained_betas", {0.1, 0.2}}}, "trained_betas"},
      {{{"_class_name", "PNDMScheduler"}, {"prediction_type", "sample"}}, "found sample"},
      {{{"_class_name", "EulerDiscreteScheduler"}, {"use_beta_sigmas", true}}, "use_beta_sigmas"},
      {{{"_class_name", "DPMSolverMultistepScheduler"}, {"algorithm_type", "dpmsolver"}},
       "needs sigma_min"},
      {{{"_class_name", "DPMSolverMultistepScheduler"}, {"solver_order", 4}}, "1 to 3, found 4"},
      {{{"_class_name", "DPMSolverMultistepScheduler"}, {"use_flow_sigmas", true}},
       "use_flow_sigmas: true is not supported"},
      {{{"_class_name", "UniPCMultistepScheduler"}, {"solver_order", 0}}, "solver_order"},
      {{{"_class_name", "LCMScheduler"}, {"original_inference_steps", 2000}}, "1 to 1000"},
  };
  for (const auto& [config, part] : cases) expect_mentions(message(config), part);
  expect_mentions(error_of([] { make_scheduler("euler_a", json::object(), "x"); }), "euler-a");
}

TEST(Scheduler, FilesOfDiffusersMayHoldInfinity) {
  const formats::TemporaryFolder folder;
  const std::string path = folder.write("scheduler_config.json", R"({
  "_class_name": "DPMSolverMultistepScheduler",
  "lambda_min_clipped": -Infinity,
  "solver_order": 2
})");
  const auto scheduler = make_scheduler(read_scheduler_config(path), path);
  scheduler->set_timesteps(4);
  EXPECT_EQ(scheduler->timesteps(), (std::vector<float>{999, 749, 500, 250}));
  expect_mentions(error_of([&] { read_scheduler_config(folder.write("b.json", "{\"a\": NaN}")); }),
                  "b.json: invalid JSON");
}

TEST(Scheduler, BadCallsAreNamed) {
  const auto ddim = make_scheduler("ddim", json::object(), "x");
  expect_mentions(error_of([&] { ddim->set_timesteps(0); }), "1 to 1000");
  expect_mentions(error_of([&] { ddim->set_timesteps(1001); }), "1 to 1000");
  expect_mentions(error_of([&] { ddim->set_eta(1.5); }), "0 to 1");
  const auto euler = make_scheduler("euler", json::object(), "x");
  expect_mentions(error_of([&] { euler->set_eta(0.5); }), "eta");
  const auto late = make_scheduler("ddim", {{"steps_offset", 1}}, "x");
  expect_mentions(error_of([&] { late->set_timesteps(1000); }), "steps_offset");
  const auto lcm = make_scheduler("lcm", json::object(), "x");
  expect_mentions(error_of([&] { lcm->set_timesteps(51); }), "1 to 50");
  ddim->set_timesteps(5);
  base::Generator generator(1);
  expect_mentions(error_of([&] {
                    ddim->step(randn(1, {2, 3, 2, 2}), 0, randn(2), generator);
                  }),
                  "differ");
  const auto ddpm = make_scheduler("ddpm", {{"variance_type", "learned_range"}}, "x");
  ddpm->set_timesteps(5);
  expect_mentions(error_of([&] { ddpm->step(randn(1), 0, randn(2), generator); }),
                  "[2, 6, 2, 3], found [2, 3, 2, 3]");
}

}  // namespace
}  // namespace sumi::diffusion
