// sumi convert: a Hugging Face folder or a GGUF file as a GGUF file or as a safetensors folder.

#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/progress.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "models/language/convert.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model, out, to = "auto", dtype = "stored";
  bool force = false;
};

const std::map<std::string, tensor::DType>& dtypes() {
  using tensor::DType;
  static const std::map<std::string, DType> all = [] {
    std::map<std::string, DType> named;
    for (const DType dtype : {DType::f32, DType::f16, DType::bf16, DType::q4_0, DType::q4_1,
                              DType::q5_0, DType::q5_1, DType::q8_0, DType::q4_k, DType::q6_k})
      named[tensor::dtype_name(dtype)] = dtype;
    return named;
  }();
  return all;
}

int run_convert(const Flags& flags) {
  std::string to = flags.to;
  if (to == "auto")
    to = std::filesystem::path(flags.out).extension() == ".gguf" ? "gguf" : "safetensors";
  models::ConvertOptions options;
  options.overwrite = flags.force;
  if (flags.dtype != "stored") options.dtype = dtypes().at(flags.dtype);
  if (to == "safetensors" && options.dtype && tensor::is_quantized(*options.dtype))
    throw CLI::ValidationError("--dtype", "safetensors holds f32, f16 or bf16");
  const std::string path = models::resolve_model(flags.model);
  const bool from_folder = std::filesystem::is_directory(path);
  base::Progress progress("converting");
  options.progress = [&](double fraction) { progress.update(fraction); };
  const auto to_gguf = from_folder ? models::convert_to_gguf : models::recode_gguf;
  const auto to_folder = from_folder ? models::convert_to_safetensors : models::gguf_to_folder;
  const auto convert = to == "gguf" ? to_gguf : to_folder;
  const models::ConvertReport report = convert(path, flags.out, options);
  write_out(fmt::format("{}: {} tensors, {:.1f} MB\n", flags.out, report.tensors,
                        static_cast<double>(report.bytes) / 1e6));
  if (report.kept > 0)
    write_out(fmt::format("{} of them are f16: their rows are no whole blocks of {}\n", report.kept,
                          flags.dtype));
  if (report.nfc_lost)
    write_out("GGUF has no normalizer: texts that are not NFC get other ids than in the folder\n");
  if (report.text_part) write_out("of a model with pictures, the text model alone\n");
  if (report.no_tokenizer)
    fmt::print(stderr, "{}: has no tokenizer (tokenizer.json, or a vocabulary's own files), so that {} has none\n",
               path, flags.out);
  if (report.prefix_ignored)
    write_out("llama.cpp does not put the tokens before a text that the folder's tokenizer does\n");
  if (!report.other_ids.empty())
    write_out(fmt::format("llama.cpp tokenizes some texts otherwise than the folder's tokenizer, such as {}\n",
                          nlohmann::json(report.other_ids).dump()));
  if (report.bytes_ignored)
    write_out("llama.cpp reads characters that the vocabulary lacks as unknown, not as bytes\n");
  if (report.ignored_window > 0)
    write_out(fmt::format("llama.cpp ignores this model's sliding window: beyond {} tokens it "
                          "answers otherwise\n",
                          report.ignored_window));
  return 0;
}

}  // namespace

void add_convert(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("convert", "Write a model's files in another form");
  verb->add_option("MODEL", flags->model, "Model: a Hugging Face folder, a GGUF file or a name")
      ->required();
  verb->add_option("OUT", flags->out, "The file or folder to write")->required();
  verb->add_option("--to", flags->to, "gguf or safetensors (default: by OUT's ending)")
      ->check(CLI::IsMember({"gguf", "safetensors"}))
      ->type_name("FORM");
  std::vector<std::string> names = {"stored"};
  for (const auto& [name, dtype] : dtypes()) names.push_back(name);
  verb->add_option("--dtype", flags->dtype, "Type of the matrices (default: as stored)")
      ->check(CLI::IsMember(names))
      ->type_name("TYPE");
  verb->add_flag("--force", flags->force, "Replace OUT if it is there");
  verb->footer(
      "A GGUF file holds weights, configuration and tokenizer; other engines open it, too. What "
      "the format\n"
      "cannot express is an error, and OUT appears only when it is whole and was compared with "
      "MODEL.\n"
      "From a GGUF file: another with other types (from blocks to blocks loses twice), or a folder of\n"
      "most families, with config.json and tokenizer, f16 where the file has blocks.\n\n"
      "Examples:\n"
      "  sumi convert folder model.gguf --dtype q8_0\n"
      "  sumi convert model-f16.gguf model-q4.gguf --dtype q4_k\n"
      "  sumi convert model.gguf new-folder --dtype bf16\n"
      "  sumi convert folder-with-bin new-folder --to safetensors --dtype bf16");
  verb->callback([=, &run] { run = [=] { return run_convert(*flags); }; });
}

}  // namespace sumi::cli
