// sumi train image: a UNet learns, from where it is or from nothing.

#include "cli/train_picture.h"

namespace sumi::cli {

void add_train_image(CLI::App& train_verb, Run& run) {
  auto flags = std::make_shared<PictureFlags>();
  train::PictureTrainingOptions& o = flags->options;
  flags->usual_rate = 1e-4;
  CLI::App* verb = train_verb.add_subcommand("image", "Train a picture model: all weights");
  add_picture_flags(*verb, *flags, true);
  verb->add_option("--unet-config", o.nets.unet_config,
                   "A UNet's config.json: begin with random weights, not with MODEL's UNet")
      ->type_name("FILE");
  verb->add_flag("--train-text-encoder", o.nets.text_encoder, "The text encoder learns, too");
  verb->add_option("--proportion-empty-prompts", o.loss.empty_prompts,
                   "Share of examples without their prompt, for guidance; 0.1 is usual")
      ->check(in_range(0.0, 1.0))
      ->type_name("X");
  verb->footer(
      "The result is a diffusers folder for `sumi image`, with MODEL's other parts. A MODEL without\n"
      "an autoencoder (\"vae\": [null, null] in model_index.json) learns pixels, and needs no UNet\n"
      "of its own with --unet-config.\n\n"
      "Examples:\n"
      "  sumi train image sd1.5 --data pictures --steps 2000 --learning-rate 1e-5 -o run\n"
      "  sumi train image parts --unet-config unet.json --data pictures.tar --epochs 20 \\\n"
      "    --proportion-empty-prompts 0.1 --ema 0.999 -o run\n"
      "  sumi image run --prompt \"a red circle\" -o circle.png");
  verb->callback([=, &run] { run = [=] { return run_picture_training(*flags); }; });
}

}  // namespace sumi::cli
