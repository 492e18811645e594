#include "cli/image_common.h"

#include <charconv>

#include "diffusion/condition/condition.h"
#include "formats/npy.h"

namespace sumi::cli {

namespace {

// "FILE:VALUE" at the last colon, if `is_value` likes what follows it; else the whole and "".
template <class IsValue>
std::pair<std::string, std::string> split_last(const std::string& text, const IsValue& is_value) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0 || !is_value(text.substr(colon + 1)))
    return {text, ""};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

bool is_number(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stop == end && std::abs(value) <= 100;
}

// The i-th value of a flag that may be given once for all, once for each, or not at all.
float value_of(const std::vector<double>& values, size_t i, float missing) {
  if (values.empty()) return missing;
  return static_cast<float>(values.size() == 1 ? values[0] : values[i]);
}

std::vector<std::string> preprocess_kinds() {
  std::vector<std::string> kinds = diffusion::condition_kinds();
  kinds.push_back("none");
  return kinds;
}

formats::Image condition_of(const ImageFlags& flags, size_t i) {
  const formats::Image image = formats::read_image(flags.conditions[i]);
  if (flags.preprocess.empty()) return image;
  const std::string& kind = flags.preprocess[flags.preprocess.size() == 1 ? 0 : i];
  return kind == "none" ? image : formats::to_rgb(diffusion::condition_picture(kind, image));
}

}  // namespace

void add_picture_compute_flags(CLI::App& verb, ImageFlags& flags) {
  verb.add_flag("--low-memory", flags.low_memory,
                "Load parts when needed, release them after; decode in tiles");
  verb.add_flag("--tiled", flags.tiled, "The autoencoder works in tiles");
  verb.add_option("--dtype", flags.compute.dtype,
                  "f32 (auto), bf16, int8 (weights, and inputs of linear layers and, where the processor has AVX-512 VNNI, "
                  "of convolutions), or int8-weights (weights alone)")
      ->capture_default_str()
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->check(CLI::IsMember({"auto", "f32", "bf16", "int8", "int8-weights"}))
      ->type_name("TYPE");
  verb.add_option("--int8-layers", flags.int8_layers,
                  "With --dtype int8: keep the layers in bf16 that this file of sumi bench image --sensitivity names")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->type_name("FILE");
  add_threads_flag(verb, flags.compute);
  verb.get_option("--threads")->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

void add_image_flags(CLI::App& verb, ImageFlags& flags) {
  const auto one = [](CLI::Option* option) {  // the last counts, so that --from-png can be changed
    return option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  };
  const auto text = [&](const char* name, std::string& value, const char* help, const char* type) {
    return one(verb.add_option(name, value, help)->type_name(type));
  };
  text("MODEL,--model", flags.model, "Model: a diffusers folder, or a checkpoint in one file",
       "MODEL");
  text("--variant", flags.variant, "Weights to prefer, such as fp16", "NAME");
  text("--config", flags.config, "Configurations and tokenizer for a single file", "FOLDER");
  text("--tokenizer", flags.compute.tokenizer, "Another tokenizer", "FOLDER");
  text("--prediction-type", flags.prediction_type, "What the model was trained to predict", "NAME")
      ->check(CLI::IsMember({"epsilon", "v_prediction", "sample"}));
  text("--prompt", flags.prompt, "What to draw", "TEXT");
  text("--negative-prompt", flags.negative_prompt, "What not to draw", "TEXT");
  text("-o,--output", flags.output, "Picture to write: .png, .jpg or .webp", "FILE");
  one(verb.add_option("--width", flags.width, "Pixels (default: the model's)"));
  one(verb.add_option("--height", flags.height, "Pixels (default: the model's)"));
  one(verb.add_option("--steps", flags.steps, "Steps from noise to picture")->capture_default_str())
      ->check(in_range<int64_t>(1, 10000));
  one(verb.add_option("--guidance-scale", flags.guidance_scale,
                      "How strictly to follow the prompt; 1 or less: no guidance")
          ->capture_default_str());
  one(verb.add_option("--guidance-rescale", flags.guidance_rescale,
                      "Restore this share of the contrast that guidance adds, 0 to 1"));
  one(verb.add_option("--seed", flags.seed, "Start of the random numbers (default: any)"))
      ->check(in_range<uint64_t>(0, 0xffffffffu));
  one(verb.add_option("--count", flags.count, "Pictures, each with the next seed"))
      ->check(in_range<int64_t>(1, 10000));
  one(verb.add_option("--scheduler", flags.scheduler, "Noise schedule (default: the folder's)"))
      ->check(CLI::IsMember(diffusion::scheduler_names()))
      ->type_name("NAME");
  one(verb.add_option("--eta", flags.eta, "Noise that DDIM adds, 0 to 1"))
      ->check(in_range(0.0, 1.0));
  one(verb.add_option("--clip-skip", flags.clip_skip,
                      "Leave out the text encoder's last layers for the prompt"))
      ->check(in_range<int64_t>(0, 1000));
  text("--image", flags.image, "Picture to start from", "FILE");
  one(verb.add_option("--strength", flags.strength,
                      "How much of --image is made anew, 0 to 1 (default: 0.8, with a mask 1)"))
      ->check(in_range(0.0, 1.0));
  one(verb.add_option("--noise-level", flags.noise_level,
                      "Noise on --image before a model enlarges it")
          ->capture_default_str());
  text("--mask", flags.mask, "White where --image is made anew", "FILE");
  const auto many = [&](const char* name, auto& values, const char* help, const char* type) {
    return verb.add_option(name, values, help)->type_name(type)->expected(1)->multi_option_policy(
        CLI::MultiOptionPolicy::TakeAll);
  };
  many("--controlnet", flags.controlnets, "ControlNet; may be given several times", "PATH");
  many("--condition", flags.conditions, "The picture that a ControlNet follows", "FILE");
  many("--conditioning-scale", flags.conditioning_scales, "How strongly it follows (default: 1)",
       "X");
  many("--control-start", flags.control_starts, "Share of the steps before it begins", "X");
  many("--control-end", flags.control_ends, "Share of the steps after which it ends", "X");
  many("--preprocess", flags.preprocess, "Make it from the picture first, as sumi condition does",
       "KIND")
      ->check(CLI::IsMember(preprocess_kinds()));
  verb.add_flag("--guess-mode", flags.guess_mode, "ControlNets guess without a prompt");
  many("--lora", flags.loras, "LoRA to merge, with a weight (default: 1)", "FILE[:WEIGHT]");
  many("--embedding", flags.embeddings, "Learned embedding and the word for it", "FILE[:WORD]");
  text("--init-latents", flags.init_latents, "Noise to begin with, .npy [1, C, h, w]", "FILE");
  text("--save-latents", flags.save_latents, "Write the final latents, .npy", "FILE");
  text("--preview", flags.preview, "Write a rough picture after each step", "FOLDER");
  text("--from-png", flags.from_png, "Repeat a picture of Sumi's; other flags change it", "FILE");
  verb.add_flag("--no-safety-checker", flags.no_safety_checker,
                "Do not run the model's safety checker");
  one(verb.add_option("--deep-cache", flags.deep_cache,
                      "Run the network's deep blocks on every Nth step only: faster, another picture")
          ->capture_default_str())
      ->check(in_range<int64_t>(1, 10000))
      ->type_name("N");
  one(verb.add_option("--token-merging", flags.token_merging,
                      "Share of pixels that attention merges with similar ones, 0 to 0.75: faster, another picture")
          ->capture_default_str())
      ->check(in_range(0.0, 0.75))
      ->type_name("RATIO");
  add_picture_compute_flags(verb, flags);
  verb.add_flag("--stats", flags.stats, "Print times and memory");
  verb.add_flag("--json", flags.json, "Print one JSON object");
}

diffusion::PictureModelOptions model_options(const ImageFlags& flags) {
  using Compute = ops::PackedWeight::Compute;
  diffusion::PictureModelOptions options;
  options.int8_inputs = flags.compute.dtype == "int8";
  options.int8_weights = options.int8_inputs || flags.compute.dtype == "int8-weights";
  options.compute =
      flags.compute.dtype == "bf16" || options.int8_weights ? Compute::bf16 : Compute::f32;
  if (!flags.int8_layers.empty() && !options.int8_weights)
    throw CLI::ValidationError("--int8-layers", "expected --dtype int8 or int8-weights beside it");
  options.int8_layers = flags.int8_layers;
  options.low_memory = flags.low_memory;
  options.files = {flags.variant, flags.compute.tokenizer, flags.prediction_type, flags.config,
                   !flags.no_safety_checker};
  options.controlnets = flags.controlnets;
  for (const std::string& lora : flags.loras) {
    const auto [file, weight] = split_last(lora, is_number);
    options.loras.emplace_back(file, weight.empty() ? 1.0f : std::stof(weight));
  }
  for (const std::string& embedding : flags.embeddings)
    options.embeddings.push_back(split_last(embedding, [](const std::string& word) {
      return !word.empty() && word.find('/') == std::string::npos;
    }));
  return options;
}

diffusion::PictureRequest picture_request(const ImageFlags& flags) {
  diffusion::PictureRequest request;
  request.prompt = flags.prompt;
  request.negative_prompt = flags.negative_prompt;
  request.width = flags.width;
  request.height = flags.height;
  request.steps = flags.steps;
  request.guidance_scale = flags.guidance_scale;
  request.guidance_rescale = flags.guidance_rescale;
  request.clip_skip = flags.clip_skip;
  request.noise_level = flags.noise_level;
  request.scheduler = flags.scheduler;
  request.eta = flags.eta;
  request.strength = flags.strength ? *flags.strength : flags.mask.empty() ? 0.8 : 1.0;
  request.guess_mode = flags.guess_mode;
  request.deep_cache = flags.deep_cache;
  request.token_merging = flags.token_merging;
  request.tiled = flags.tiled || flags.low_memory;
  if (!flags.image.empty()) request.image = formats::read_image(flags.image);
  if (!flags.mask.empty()) request.mask = formats::read_image(flags.mask);
  if (!flags.init_latents.empty()) request.init_latents = formats::read_npy(flags.init_latents);
  // Without --controlnet the model's folder may have one, which check_request() looks at.
  if (flags.conditions.size() != flags.controlnets.size() && !flags.controlnets.empty())
    throw CLI::ValidationError("--condition",
                               fmt::format("{} given for {} of --controlnet; expected one for each",
                                           flags.conditions.size(), flags.controlnets.size()));
  if (flags.preprocess.size() > 1 && flags.preprocess.size() != flags.conditions.size())
    throw CLI::ValidationError(
        "--preprocess", fmt::format("{} given for {} of --condition; expected one, or one for each",
                                    flags.preprocess.size(), flags.conditions.size()));
  for (const auto& [name, values] :
       {std::pair{"--conditioning-scale", &flags.conditioning_scales},
        {"--control-start", &flags.control_starts},
        {"--control-end", &flags.control_ends}})
    if (values->size() > 1 && values->size() != flags.conditions.size())
      throw CLI::ValidationError(
          name, fmt::format("{} given for {} of --controlnet; expected none, one, or one for each",
                            values->size(), flags.conditions.size()));
  for (size_t i = 0; i < flags.conditions.size(); ++i)
    request.controls.push_back({condition_of(flags, i),
                                value_of(flags.conditioning_scales, i, 1),
                                value_of(flags.control_starts, i, 0),
                                value_of(flags.control_ends, i, 1)});
  return request;
}

}  // namespace sumi::cli
