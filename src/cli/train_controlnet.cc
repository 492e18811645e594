// sumi train controlnet: a net that makes a picture model follow another picture.

#include "cli/train_picture.h"
#include "diffusion/condition/condition.h"

namespace sumi::cli {

void add_train_controlnet(CLI::App& train_verb, Run& run) {
  auto flags = std::make_shared<PictureFlags>();
  auto order = std::make_shared<std::string>("rgb");
  train::PictureTrainingOptions& o = flags->options;
  flags->usual_rate = 1e-5;
  o.nets.control = true;
  CLI::App* verb = train_verb.add_subcommand("controlnet", "Train a ControlNet");
  add_picture_flags(*verb, *flags, true);
  verb->add_option("--controlnet", o.nets.controlnet,
                   "Begin with this ControlNet, not with a copy of MODEL's UNet")
      ->type_name("FOLDER");
  const CLI::Option* column =
      verb->add_option("--conditioning-image-column", o.columns.condition,
                       "Name of the column (conditioning_image)")
          ->type_name("NAME")
          ->group("Data");
  verb->add_option("--make-condition", o.loss.condition,
                   "Make the condition of the picture itself: " +
                       fmt::format("{}", fmt::join(diffusion::condition_kinds(), ", ")))
      ->check(CLI::IsMember(diffusion::condition_kinds()))
      ->type_name("KIND")
      ->group("Data");
  verb->add_option("--proportion-empty-prompts", o.loss.empty_prompts,
                   "Share of examples without their prompt, 0 to 1")
      ->check(in_range(0.0, 1.0))
      ->type_name("X")
      ->group("Data");
  const CLI::Option* channel_order =
      verb->add_option("--conditioning-channel-order", *order, "Of the condition: rgb or bgr")
          ->check(CLI::IsMember({"rgb", "bgr"}))
          ->capture_default_str()
          ->type_name("ORDER");
  const CLI::Option* widths =
      verb->add_option("--condition-widths", o.nets.condition_widths,
                       "Channels of a fresh net's condition encoder, one for each halving and one "
                       "more (16,32,96,256)")
          ->delimiter(',')
          ->type_name("N,N");
  verb->footer(
      "A fresh ControlNet changes nothing: it begins as a copy of the UNet's first half, joined\n"
      "through convolutions that are zero. The result is a diffusers folder for `sumi image\n"
      "--controlnet`.\n\n"
      "Examples:\n"
      "  sumi train controlnet sd1.5 --data faces --samples 4 --sample-every 500 --steps 15000 \\\n"
      "    --accumulation 4 --checkpoint-activations --optimizer adamw_8bit -o run\n"
      "  sumi train controlnet sd1.5 --data photos.tar --make-condition canny -o run\n"
      "  sumi image sd1.5 --controlnet run --condition edges.png --prompt \"a house\" -o x.png");
  verb->callback([=, &run] {
    run = [=] {
      if (column->count() > 0 && !flags->options.loss.condition.empty())
        throw CLI::ValidationError("--make-condition", "not with --conditioning-image-column");
      if (!flags->options.nets.controlnet.empty())
        refuse_given({channel_order, widths}, "is for a fresh net, not with --controlnet");
      flags->options.nets.bgr = *order == "bgr";
      return run_picture_training(*flags);
    };
  });
}

}  // namespace sumi::cli
