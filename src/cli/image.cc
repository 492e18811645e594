// sumi image: a picture from a prompt.

#include <algorithm>
#include <filesystem>

#include "base/large_blocks.h"
#include "base/memory.h"
#include "cli/common.h"
#include "cli/image_common.h"
#include "cli/step_progress.h"
#include "cli/verbs.h"
#include "diffusion/pipeline.h"
#include "diffusion/preview.h"
#include "formats/npy.h"

namespace sumi::cli {

namespace {

// The text chunk that --from-png reads: a JSON list of arguments.
constexpr const char* kArgumentsKey = "sumi";

// OUT.png, or OUT-1.png, OUT-2.png ... of several.
std::string output_name(const std::string& output, int64_t index, int64_t count) {
  if (count == 1) return output;
  const std::filesystem::path path(output);
  return (path.parent_path() /
          fmt::format("{}-{}{}", path.stem().string(), index + 1, path.extension().string()))
      .string();
}

// The customary description that pictures of this kind carry.
std::string parameters_text(const ImageFlags& flags, const diffusion::PictureRequest& request,
                            uint64_t seed) {
  std::string text = request.prompt;
  if (!request.negative_prompt.empty()) text += "\nNegative prompt: " + request.negative_prompt;
  text += fmt::format("\nSteps: {}, Sampler: {}, CFG scale: {}, Seed: {}, Size: {}x{}, Model: {}",
                      request.steps, request.scheduler.empty() ? "default" : request.scheduler,
                      request.guidance_scale, seed, request.width, request.height,
                      std::filesystem::path(flags.model).filename().string());
  if (request.image && (!request.mask || request.strength < 1))
    text += fmt::format(", Denoising strength: {}", request.strength);
  return text;
}

void write_previews(const std::string& folder, const diffusion::LatentColours& colours,
                    const diffusion::DenoiseStep& step, int64_t picture) {
  const std::string name = fmt::format("{}/{}-{:03}.png", folder, picture + 1, step.done);
  formats::write_image(name, colours.image(*step.sample));
}

nlohmann::ordered_json stats_json(const diffusion::Seconds& seconds, int64_t pictures) {
  return {{"text_seconds", seconds.text},
          {"prepare_seconds", seconds.prepare},
          {"denoise_seconds", seconds.denoise},
          {"decode_seconds", seconds.decode},
          {"check_seconds", seconds.check},
          {"network_calls", seconds.network_calls},
          {"seconds_per_call",
           seconds.denoise / static_cast<double>(std::max<size_t>(1, seconds.network_calls))},
          {"pictures", pictures},
          {"peak_memory_bytes", base::peak_memory_bytes()}};
}

int run_image(const ImageFlags& flags, const std::vector<std::string>& arguments) {
  if (flags.model.empty())
    fail("no MODEL is given, and Sumi does not bring a picture model yet; give a diffusers folder "
         "(with model_index.json) or a checkpoint in one file of Stable Diffusion");
  if (flags.output.empty()) throw CLI::RequiredError("--output");
  if (!formats::is_image_name(flags.output))
    fail("--output {}: expected a name that ends in .png, .jpg or .webp", flags.output);
  set_threads(flags.compute);
  base::return_large_blocks();
  diffusion::PictureModel model(models::resolve_model(flags.model), model_options(flags));
  diffusion::PictureRequest request = picture_request(flags);
  diffusion::check_request(model, request);
  if (!flags.preview.empty()) std::filesystem::create_directories(flags.preview);

  diffusion::Seconds seconds;
  const auto start = std::chrono::steady_clock::now();
  const diffusion::TextStates text = diffusion::encode_text(model, request);
  model.release_text();  // all pictures have the same prompt
  seconds.text = ms_since(start) / 1000;
  std::optional<diffusion::LatentColours> colours;
  if (!flags.preview.empty()) colours = diffusion::latent_colours(model.vae(false));

  const uint64_t first_seed = flags.seed ? *flags.seed : random_seed() & 0xffffffffu;
  nlohmann::ordered_json pictures = nlohmann::ordered_json::array();
  for (int64_t i = 0; i < flags.count; ++i) {
    const uint64_t seed = first_seed + static_cast<uint64_t>(i);
    if (i + 1 == flags.count) model.last_picture();
    StepProgress progress(flags.count > 1 ? fmt::format("picture {} of {}", i + 1, flags.count)
                                          : "picture");
    const auto after_step = [&](const diffusion::DenoiseStep& step) {
      progress.update(step.done, step.total);
      if (colours) write_previews(flags.preview, *colours, step, i);
    };
    const diffusion::Picture picture =
        diffusion::make_picture(model, request, text, seed, after_step, &seconds);
    const std::string name = output_name(flags.output, i, flags.count);
    std::vector<std::string> all = arguments;
    all.insert(all.end(), {"--seed", std::to_string(seed), "--width", std::to_string(request.width),
                           "--height", std::to_string(request.height)});
    formats::write_image(name, picture.image,
                         {{"parameters", parameters_text(flags, request, seed)},
                          {kArgumentsKey, nlohmann::json(all).dump()}});
    if (!flags.save_latents.empty())
      formats::write_npy(output_name(flags.save_latents, i, flags.count), picture.latents);
    if (picture.flagged)
      std::fprintf(stderr,
                   "sumi: %s: the safety checker of %s holds this picture back; a black one is "
                   "written. Another prompt or seed may help; --no-safety-checker leaves it out\n",
                   name.c_str(), flags.model.c_str());
    pictures.push_back({{"file", name},
                        {"flagged", picture.flagged},
                        {"seed", seed},
                        {"width", request.width},
                        {"height", request.height}});
    if (!flags.json) write_out(fmt::format("{} (seed {})\n", name, seed));
  }
  const nlohmann::ordered_json stats = stats_json(seconds, flags.count);
  if (flags.json) {
    write_json({{"pictures", pictures}, {"stats", stats}});
  } else if (flags.stats) {
    write_out(fmt::format(
        "text {:.2f} s, preparation {:.2f} s, denoising {:.2f} s ({} calls, {:.3f} s each), "
        "decoding {:.2f} s, peak memory {:.0f} MB\n",
        seconds.text, seconds.prepare, seconds.denoise, seconds.network_calls,
        stats["seconds_per_call"].get<double>(), seconds.decode,
        static_cast<double>(base::peak_memory_bytes()) / 1e6));
  }
  return 0;
}

// What was given on the command line, as arguments again; without what does not change a picture.
std::vector<std::string> given_arguments(const CLI::App& verb) {
  static const std::vector<std::string> kLeftOut = {
      "--output", "--json",    "--stats",  "--preview", "--count",       "--threads",
      "--seed",   "--width",   "--height", "--from-png", "--save-latents", "--help"};
  std::vector<std::string> arguments;
  for (const CLI::Option* option : verb.get_options()) {
    const std::string name = "--" + (option->get_lnames().empty() ? std::string("model")
                                                                  : option->get_lnames()[0]);
    if (option->count() == 0 ||
        std::find(kLeftOut.begin(), kLeftOut.end(), name) != kLeftOut.end())
      continue;
    for (const std::string& value : option->results()) {
      arguments.push_back(name);
      if (option->get_items_expected_max() > 0) arguments.push_back(value);
    }
  }
  return arguments;
}

// The arguments in a picture's file, then those given now: the later ones count, and lists given
// now replace the file's.
int repeat_picture(const ImageFlags& given, const CLI::App& verb) {
  for (const auto& [key, value] : formats::read_png_text(given.from_png)) {
    if (key != kArgumentsKey) continue;
    std::vector<std::string> arguments;
    try {
      arguments = nlohmann::json::parse(value).get<std::vector<std::string>>();
    } catch (const nlohmann::json::exception&) {
      fail("{}: text chunk {}: expected a JSON list of arguments", given.from_png, kArgumentsKey);
    }
    for (const CLI::Option* option : verb.get_options()) {
      if (option->count() == 0 || option->get_name() == "--from-png") continue;
      const std::string name =
          "--" + (option->get_lnames().empty() ? std::string("model") : option->get_lnames()[0]);
      if (option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll)
        for (auto at = arguments.begin(); at != arguments.end();)
          at = *at == name && at + 1 != arguments.end() ? arguments.erase(at, at + 2) : at + 1;
      for (const std::string& one : option->results()) {
        arguments.push_back(name);
        if (option->get_items_expected_max() > 0) arguments.push_back(one);
      }
    }
    CLI::App again;
    ImageFlags flags;
    add_image_flags(again, flags);
    std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
    again.parse(arguments);
    return run_image(flags, given_arguments(again));
  }
  fail("{}: no text chunk {}, in which Sumi keeps how it made a picture", given.from_png,
       kArgumentsKey);
}

}  // namespace

void add_image(CLI::App& app, Run& run) {
  auto flags = std::make_shared<ImageFlags>();
  CLI::App* verb = app.add_subcommand("image", "Make pictures from a prompt");
  add_image_flags(*verb, *flags);
  verb->footer(
      "MODEL is a diffusers folder (with model_index.json) of Stable Diffusion 1.x, 2.x or XL, or a\n"
      "checkpoint in one file (.safetensors, .ckpt), which needs --tokenizer.\n"
      "\"(words:1.2)\" in a prompt weights words; prompts may be longer than 77 tokens.\n"
      "The same seed gives the same picture, the one that diffusers draws in float32.\n\n"
      "Examples:\n"
      "  sumi image folder --prompt \"a lighthouse in a storm\" --seed 42 -o lighthouse.png\n"
      "  sumi image folder --prompt \"in oil\" --image photo.png --strength 0.6 -o oil.png\n"
      "  sumi image folder --prompt \"a cat\" --image room.png --mask hole.png -o cat.png\n"
      "  sumi image folder --prompt \"a house\" --controlnet net --condition edges.png -o house.png\n"
      "  sumi image --from-png lighthouse.png --steps 40 -o again.png");
  verb->callback([=, &run] {
    run = [=] {
      return flags->from_png.empty() ? run_image(*flags, given_arguments(*verb))
                                     : repeat_picture(*flags, *verb);
    };
  });
}

}  // namespace sumi::cli
