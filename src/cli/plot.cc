// sumi plot: the curves of a training run as a picture.

#include <filesystem>

#include "base/error.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "formats/atomic_file.h"
#include "formats/image.h"
#include "train/plot.h"
#include "train/run_log.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string folder, output;
  std::vector<std::string> values = {"loss", "eval_loss"};
  int64_t smooth = 0;
};

int run_plot(const Flags& flags, bool named) {
  const std::string kind = std::filesystem::path(flags.output).extension().string();
  if (kind != ".svg" && kind != ".png")
    throw CLI::ValidationError("-o", "expected a name that ends in .svg or .png, found " + flags.output);
  const auto log = train::read_run_log(flags.folder);
  std::vector<std::string> known;
  for (const auto& [name, points] : log) known.push_back(name);
  std::vector<train::Curve> curves;
  for (const std::string& name : flags.values) {
    const auto found = log.find(name);
    if (found != log.end())
      curves.push_back(train::smoothed({name, found->second}, flags.smooth));
    else if (named)
      fail("{}: the log has no {}; it has {}", flags.folder, name, fmt::join(known, ", "));
  }
  if (kind == ".svg")
    formats::write_text_file(flags.output, train::curves_as_svg(flags.folder, "step", curves));
  else
    formats::write_image(flags.output, train::curves_as_image(flags.folder, "step", curves));
  return 0;
}

}  // namespace

void add_plot(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("plot", "Draw the curves of a training run");
  verb->add_option("RUN", flags->folder, "Folder of the run")->required();
  verb->add_option("-o,--output", flags->output, "The picture, an .svg or .png file")
      ->required()
      ->type_name("FILE");
  CLI::Option* values = verb->add_option("--values", flags->values,
                                         "Which numbers of the log (default: loss,eval_loss)")
                            ->delimiter(',')
                            ->type_name("NAMES");
  verb->add_option("--smooth", flags->smooth, "Mean of each point and N on either side")
      ->check(at_least<int64_t>(0))
      ->type_name("N");
  verb->footer(
      "The same numbers are in RUN/log.jsonl, and in event files for `tensorboard --logdir RUN`.\n\n"
      "Examples:\n"
      "  sumi plot run -o loss.png\n"
      "  sumi plot run -o rate.svg --values learning_rate");
  verb->callback([=, &run] { run = [=] { return run_plot(*flags, values->count() > 0); }; });
}

}  // namespace sumi::cli
