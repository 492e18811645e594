// sumi condition: a picture in, the picture that guides a ControlNet out.

#include "diffusion/condition/condition.h"

#include "cli/common.h"
#include "cli/verbs.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string kind, image, output;
  diffusion::ConditionSettings settings;
};

int run_condition(const Flags& flags) {
  if (!formats::is_image_name(flags.output))
    throw CLI::ValidationError(
        "--output", "expected a name ending in .png, .jpg or .webp, found " + flags.output);
  formats::write_image(flags.output, diffusion::condition_picture(
                                          flags.kind, formats::read_image(flags.image),
                                          flags.settings));
  return 0;
}

}  // namespace

void add_condition(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb =
      app.add_subcommand("condition", "Turn a picture into one that guides a ControlNet");
  verb->add_option("KIND", flags->kind, "canny, softedge, lineart, scribble, tile, palette or blur")
      ->required()
      ->check(CLI::IsMember(diffusion::condition_kinds()));
  verb->add_option("IMAGE", flags->image, "Picture: PNG, JPEG or WebP")->required();
  verb->add_option("-o,--output", flags->output, "Write here: .png, .jpg or .webp")
      ->required()
      ->type_name("FILE");
  verb->add_option("--low", flags->settings.canny.low, "canny: weak edges are above this (100)")
      ->check(in_range(0.0, 32767.0))
      ->type_name("X");
  verb->add_option("--high", flags->settings.canny.high, "canny: strong edges are above this (200)")
      ->check(in_range(0.0, 32767.0))
      ->type_name("X");
  verb->add_flag("--l2", flags->settings.canny.l2,
                 "canny: slopes by Pythagoras instead of |dx| + |dy|");
  verb->add_option("--sigma", flags->settings.sigma,
                   "Blur in pixels: softedge (1.5), lineart (6), scribble (3), blur (8)")
      ->type_name("X");
  verb->add_option("--block", flags->settings.block, "Squares in pixels: tile (8), palette (64)")
      ->check(in_range(1, 4096))
      ->type_name("N");
  verb->footer(
      "No model is needed. Depth, pose and segmentation maps are taken as given pictures.\n\n"
      "Examples:\n"
      "  sumi condition canny photo.jpg -o edges.png\n"
      "  sumi condition palette photo.jpg --block 32 -o colours.png");
  verb->callback([=, &run] { run = [=] { return run_condition(*flags); }; });
}

}  // namespace sumi::cli
