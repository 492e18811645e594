// sumi train: the verb that has a verb for each kind of training.

#include "cli/train.h"

#include "cli/verbs.h"

namespace sumi::cli {

void add_train(CLI::App& app, Run& run) {
  CLI::App* verb = app.add_subcommand("train", "Train a model or an adapter");
  verb->require_subcommand(1);
  verb->footer(
      "Examples:\n"
      "  sumi train text SmolLM2-135M-Instruct --data dialogues.jsonl --method qlora -o run\n"
      "  sumi train controlnet sd1.5 --data faces --steps 15000 -o run\n"
      "  sumi train dreambooth --help");
  add_train_text(*verb, run);
  add_train_image(*verb, run);
  add_train_controlnet(*verb, run);
  add_train_image_lora(*verb, run);
  add_train_dreambooth(*verb, run);
}

}  // namespace sumi::cli
