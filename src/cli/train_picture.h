// What the verbs that train picture models share.
#pragma once

#include <optional>
#include <string>

#include "cli/train.h"
#include "train/picture_training.h"

namespace sumi::cli {

struct PictureFlags {
  train::PictureTrainingOptions options;
  std::optional<double> learning_rate;
  double usual_rate = 1e-4;  // if none is given
  bool no_cache = false, dry_run = false;
  std::string dtype = "f32", save_dtype = "f32";
  ComputeFlags compute;
};

// MODEL, with `data_set` the data (DreamBooth has others), sizes, the loss, samples and all that
// every training has.
void add_picture_flags(CLI::App& verb, PictureFlags& flags, bool data_set);
// --rank and so on. Returns them, for checks.
std::vector<const CLI::Option*> add_picture_lora_flags(CLI::App& verb, PictureFlags& flags);
// Exit code.
int run_picture_training(PictureFlags flags);

}  // namespace sumi::cli
