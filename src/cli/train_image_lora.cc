// sumi train image-lora: adapters of a picture model learn.

#include "cli/train_picture.h"

namespace sumi::cli {

void add_train_image_lora(CLI::App& train_verb, Run& run) {
  auto flags = std::make_shared<PictureFlags>();
  train::PictureTrainingOptions& o = flags->options;
  flags->usual_rate = 1e-4;
  o.nets.lora = true;
  CLI::App* verb = train_verb.add_subcommand("image-lora", "Train adapters of a picture model");
  add_picture_flags(*verb, *flags, true);
  add_picture_lora_flags(*verb, *flags);
  verb->add_flag("--train-text-encoder", o.nets.text_encoder,
                 "The text encoder gets adapters, too");
  verb->footer(
      "The result is DIR/pytorch_lora_weights.safetensors for `sumi image --lora` and diffusers'\n"
      "load_lora_weights.\n\n"
      "Examples:\n"
      "  sumi train image-lora sd1.5 --data pictures --rank 8 --steps 1000 --random-flip -o run\n"
      "  sumi image sd1.5 --lora run/pytorch_lora_weights.safetensors --prompt \"a cat\" -o x.png");
  verb->callback([=, &run] { run = [=] { return run_picture_training(*flags); }; });
}

}  // namespace sumi::cli
