// sumi bench image: how long each stage of a picture takes, and how much of the machine it uses.

#include "cli/bench_image.h"

#include <algorithm>

#include "base/cpu.h"
#include "base/large_blocks.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/image_common.h"
#include "diffusion/layout.h"
#include "diffusion/pipeline.h"
#include "kernels/limits.h"
#include "ops/work.h"
#include "tensor/autograd.h"

namespace sumi::cli {

namespace {

struct Flags {
  ImageFlags image;
  int64_t size = 0, steps = 2;
  bool sensitivity = false;
  double keep = 0.1;
};

struct Stage {
  const char* name;
  double seconds = 0;   // the best run
  double operations = 0;  // of one run: two per multiply-add
  double rate() const { return operations / seconds; }
};

// The best of `runs` after one that warms up (plans are made, weights reordered).
template <class Body>
Stage measure(const char* name, int64_t runs, const Body& body) {
  Stage stage{name};
  for (int64_t i = 0; i <= runs; ++i) {
    const int64_t before = ops::products_done();
    const auto start = std::chrono::steady_clock::now();
    body();
    const double seconds = ms_since(start) / 1000;
    stage.operations = 2.0 * static_cast<double>(ops::products_done() - before);
    if (i == 1 || (i > 1 && seconds < stage.seconds)) stage.seconds = seconds;
  }
  return stage;
}

// Operations a second of f32 and of bf16, in tiles where the processor has them; 0 where it does not multiply bf16.
struct Peaks {
  double f32, bf16;
  explicit Peaks(const kernels::MachineLimits& limits)
      : f32(2 * limits.f32_products_per_second),
        bf16(2 * std::max(limits.bf16_products_per_second, limits.tile_bf16_products_per_second)) {}
};

// Guidance takes two pictures through the UNet at once: one with the prompt, one without.
constexpr int64_t kGuided = 2;

int run_bench_image(const Flags& flags) {
  set_threads(flags.image.compute);
  base::return_large_blocks();
  const Peaks peaks(kernels::measure_limits(size_t{4} << 20));
  diffusion::PictureModel model(flags.image.model, model_options(flags.image));
  diffusion::PictureRequest request;
  request.prompt = "a lighthouse in a storm";
  request.width = request.height = flags.size;
  request.tiled = flags.image.tiled || flags.image.low_memory;
  diffusion::check_request(model, request);
  const tensor::NoGrad no_grad;
  const int64_t side = request.width / model.factor();
  base::Generator generator(1);

  std::vector<Stage> stages;
  diffusion::TextStates text;
  model.text_encoder();
  stages.push_back(
      measure("text encoder", flags.steps, [&] { text = diffusion::encode_text(model, request); }));
  model.release_text();
  models::UNetInput input;
  input.sample = diffusion::to_nhwc(
      diffusion::randn(generator, {kGuided, model.unet_config().in_channels, side, side}));
  input.timesteps = {500};
  input.context = diffusion::concat_first({text.text, text.text});
  {
    const models::UNet& unet = model.unet();
    stages.push_back(measure("UNet step", flags.steps, [&] { unet(input); }));
  }
  model.last_picture();  // memory is what one picture takes
  model.denoising_done();
  const Tensor latents =
      diffusion::randn(generator, {1, model.unet_config().out_channels, side, side});
  model.vae(false);
  stages.push_back(measure("decoder", std::min<int64_t>(flags.steps, 2), [&] {
    diffusion::decode_latents(model, latents, request.tiled);
  }));

  if (flags.image.json) {
    nlohmann::ordered_json object = {{"model", flags.image.model},
                                     {"instructions", base::isa_name(base::active_isa())},
                                     {"threads", base::num_threads()},
                                     {"size", request.width},
                                     {"dtype", flags.image.compute.dtype},
                                     {"f32_peak_flops", peaks.f32},
                                     {"bf16_peak_flops", peaks.bf16},
                                     {"peak_memory_bytes", base::peak_memory_bytes()}};
    for (const Stage& stage : stages) {
      nlohmann::ordered_json entry = {{"name", stage.name},
                                      {"seconds", stage.seconds},
                                      {"operations", stage.operations},
                                      {"share_of_peak", stage.rate() / peaks.f32}};
      if (peaks.bf16 > 0) entry["share_of_bf16_peak"] = stage.rate() / peaks.bf16;
      object["stages"].push_back(std::move(entry));
    }
    write_json(object);
    return 0;
  }
  write_out(fmt::format("{} ({}, {} threads), {} x {}, {}\n", flags.image.model,
                        base::isa_name(base::active_isa()), base::num_threads(), request.width,
                        request.height, flags.image.compute.dtype));
  for (const Stage& stage : stages) {
    const std::string bf16 = peaks.bf16 > 0 ? fmt::format(", {:3.0f} % of bf16's", 100 * stage.rate() / peaks.bf16) : "";
    write_out(fmt::format("{:<13}{:9.3f} s {:9.1f} GFLOP {:8.1f} GFLOP/s {:5.0f} % of the f32 peak{}\n", stage.name,
                          stage.seconds, stage.operations / 1e9, stage.rate() / 1e9, 100 * stage.rate() / peaks.f32, bf16));
  }
  const std::string bf16 = peaks.bf16 > 0 ? fmt::format(", bf16 peak {:.1f}", peaks.bf16 / 1e9) : "";
  write_out(fmt::format("f32 peak {:.1f} GFLOP/s{}, memory {:.0f} MB at most\n", peaks.f32 / 1e9, bf16,
                        static_cast<double>(base::peak_memory_bytes()) / 1e6));
  return 0;
}

}  // namespace

CLI::App* add_bench_image(CLI::App& bench, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = bench.add_subcommand("image", "Measure the stages of a picture");
  ImageFlags& image = flags->image;
  verb->add_option("MODEL", image.model, "Model: a diffusers folder")->required();
  verb->add_option("--size", flags->size, "Width and height in pixels (default: the model's)")
      ->check(in_range<int64_t>(8, 8192));
  verb->add_option("--steps", flags->steps, "Runs of each stage that count, after one that warms up")
      ->check(in_range<int64_t>(1, 1000))
      ->capture_default_str();
  add_picture_compute_flags(*verb, image);
  verb->add_flag("--sensitivity", flags->sensitivity,
                 "Measure what each layer of the UNet and of ControlNets in int8, alone, does to its output on the way of a picture of "
                 "--steps steps; needs a processor with AVX-512 VNNI");
  verb->add_option("-o,--output", image.output, "With --sensitivity: write here, for sumi image --int8-layers")
      ->type_name("FILE");
  verb->add_option("--keep", flags->keep, "With --sensitivity: share of these weights to keep in bf16")
      ->check(in_range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("X");
  const auto needs_sensitivity = [&](const char* name, std::vector<std::string>& values, const char* help, const char* type) {
    verb->add_option(name, values, help)->type_name(type)->needs(verb->get_option("--sensitivity"));
  };
  needs_sensitivity("--controlnet", image.controlnets, "With --sensitivity: try this ControlNet's layers, too; may be repeated",
                    "MODEL");
  needs_sensitivity("--condition", image.conditions, "The picture that guides a ControlNet, one for each", "FILE");
  verb->add_flag("--json", image.json, "Print one JSON object");
  verb->footer(
      "Seconds are the best run's. Arithmetic is counted as the plain formulas have it (two operations\n"
      "for each multiply-add of convolutions, linear layers and attention): a method that needs\n"
      "fewer, as Winograd's does, may pass the peak. A UNet step takes both halves of guidance at "
      "once.\n\n"
      "Examples:\n"
      "  sumi bench image folder --size 512\n"
      "  sumi bench image folder --size 256 --steps 5 --dtype bf16 --low-memory --json\n"
      "  sumi bench image folder --size 256 --sensitivity -o layers.json\n"
      "  sumi bench image folder --sensitivity --controlnet net --condition edges.png -o layers.json");
  verb->callback([=, &run] {
    run = [=] {
      if (!flags->sensitivity) return run_bench_image(*flags);
      return run_sensitivity({flags->image, flags->size, flags->steps, flags->keep, flags->image.output});
    };
  });
  return verb;
}

}  // namespace sumi::cli
