// sumi train dreambooth: a picture model learns one thing from a few pictures (arXiv:2208.12242).

#include "cli/train_picture.h"

namespace sumi::cli {

namespace {

struct DreamboothFlags : PictureFlags {
  std::string method = "lora";
};

int run_dreambooth(DreamboothFlags flags, const std::vector<const CLI::Option*>& lora_only,
                   const std::vector<const CLI::Option*>& class_only) {
  train::PictureTrainingOptions& o = flags.options;
  o.nets.lora = flags.method == "lora";
  if (!o.nets.lora) refuse_given(lora_only, "is for adapters, not for --method full");
  if (o.class_prompt.empty()) refuse_given(class_only, "is for --class-prompt");
  flags.usual_rate = o.nets.lora ? 1e-4 : 5e-6;
  return run_picture_training(flags);
}

}  // namespace

void add_train_dreambooth(CLI::App& train_verb, Run& run) {
  auto flags = std::make_shared<DreamboothFlags>();
  train::PictureTrainingOptions& o = flags->options;
  CLI::App* verb = train_verb.add_subcommand(
      "dreambooth", "Teach a picture model one thing from a few pictures");
  add_picture_flags(*verb, *flags, false);
  verb->get_option("--learning-rate")
      ->description("At its highest (default: 1e-4 for adapters, 5e-6 for all weights)");
  verb->add_option("--method", flags->method, "lora (adapters) or full (all weights)")
      ->check(CLI::IsMember({"lora", "full"}))
      ->capture_default_str()
      ->type_name("NAME");
  const char* data = "Data";
  verb->add_option("--instance-data", o.data, "Folder with the pictures")
      ->required()
      ->type_name("DIR")
      ->group(data);
  verb->add_option("--instance-prompt", o.instance_prompt,
                   "Their prompt, with a rare word for the thing: \"a photo of sks dog\"")
      ->required()
      ->type_name("TEXT")
      ->group(data);
  verb->add_option("--class-prompt", o.class_prompt,
                   "Keep what the model knows of such things: \"a photo of a dog\"")
      ->type_name("TEXT")
      ->group(data);
  std::vector<const CLI::Option*> class_only;
  class_only.push_back(
      verb->add_option("--class-data", o.class_data,
                       "Folder with pictures of such things (DIR/class); missing ones are drawn")
          ->type_name("DIR")
          ->group(data));
  class_only.push_back(verb->add_option("--class-count", o.class_count, "How many there should be")
                           ->check(in_range<int64_t>(1, 100000))
                           ->capture_default_str()
                           ->type_name("N")
                           ->group(data));
  class_only.push_back(verb->add_option("--prior-loss-weight", o.loss.prior_weight,
                                        "How much they count beside the instance's pictures")
                           ->check(in_range(0.0, 1000.0))
                           ->capture_default_str()
                           ->type_name("X")
                           ->group("Loss"));
  verb->add_flag("--train-text-encoder", o.nets.text_encoder, "The text encoder learns, too");
  const auto lora_only = add_picture_lora_flags(*verb, *flags);
  verb->footer(
      "The result is that of `sumi train image-lora`, with --method full that of `sumi train "
      "image`.\n\n"
      "Examples:\n"
      "  sumi train dreambooth sd1.5 --instance-data dog \\\n"
      "    --instance-prompt \"a photo of sks dog\" \\\n"
      "    --class-prompt \"a photo of a dog\" --class-count 50 --steps 400 -o run\n"
      "  sumi image sd1.5 --lora run/pytorch_lora_weights.safetensors \\\n"
      "    --prompt \"sks dog in a bucket\" -o dog.png");
  verb->callback(
      [=, &run] { run = [=] { return run_dreambooth(*flags, lora_only, class_only); }; });
}

}  // namespace sumi::cli
