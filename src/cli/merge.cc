// sumi merge: a model with an adapter's changes in its weights.

#include "cli/common.h"
#include "cli/verbs.h"
#include "models/language/export.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model, adapter, output, dtype = "f32";
};

DType dtype_of(const std::string& name) {
  return name == "f32" ? DType::f32 : name == "f16" ? DType::f16 : DType::bf16;
}

}  // namespace

void add_merge(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("merge", "Put a LoRA adapter into a model's weights");
  verb->add_option("MODEL", flags->model, "Model: a Hugging Face folder or its name")->required();
  verb->add_option("ADAPTER", flags->adapter, "Folder of the adapter")->required();
  verb->add_option("-o,--output", flags->output, "Folder for the new model")
      ->required()
      ->type_name("DIR");
  verb->add_option("--save-dtype", flags->dtype, "Type of the new weights: f32, f16 or bf16")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str()
      ->type_name("TYPE");
  verb->footer(
      "The new folder opens in Sumi and in transformers.\n\n"
      "Examples:\n"
      "  sumi merge base adapter -o merged");
  verb->callback([=, &run] {
    run = [=] {
      models::merge_adapter(flags->model, flags->adapter, flags->output, dtype_of(flags->dtype));
      return 0;
    };
  });
}

}  // namespace sumi::cli
