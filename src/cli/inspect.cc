// sumi inspect: what a model's files hold, from their headers alone.

#include <filesystem>

#include "base/error.h"
#include "cli/common.h"
#include "cli/inspect_common.h"
#include "cli/verbs.h"
#include "diffusion/picture_files.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/torch_file.h"
#include "formats/weights_folder.h"
#include "models/language/outline.h"
#include "models/language/text_part.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model;
  int64_t context = 0;  // 0: the model's
  bool tensors = false, json = false;
};

struct Summary {
  std::string path, format, architecture, chat_template;
  std::string unsupported;  // why Sumi cannot run it; empty if it can
  std::unique_ptr<formats::TensorSource> source, text;  // text: a view of its text model, or null
  models::Outline outline;  // valid if `unsupported` is empty
  int64_t context = 0;      // for which memory is counted, in tokens

  // What a model in memory comes from: of one with pictures, the text model's.
  const formats::TensorSource& loaded() const { return text ? *text : *source; }
  int64_t state_bytes() const {
    return outline.state_bytes + outline.state_bytes_per_token * context;
  }
};

std::string optional_text_file(const std::string& path) {
  return formats::file_exists(path) ? formats::read_text_file(path) : std::string();
}

// The template of a folder: chat_template.jinja, or tokenizer_config.json's chat_template (a
// string, or a list of named ones, of which "default" counts).
std::string folder_template(const std::string& folder) {
  const std::string own = optional_text_file(folder + "/chat_template.jinja");
  if (!own.empty() || !formats::file_exists(folder + "/tokenizer_config.json")) return own;
  const nlohmann::json config = formats::read_json_file(folder + "/tokenizer_config.json");
  if (!config.is_object() || !config.contains("chat_template")) return {};
  const nlohmann::json& value = config["chat_template"];
  if (value.is_string()) return value;
  if (value.is_array())
    for (const nlohmann::json& entry : value)
      if (entry.is_object() && entry.value("name", "") == "default")
        return entry.value("template", "");
  return {};
}

Summary summarize(const std::string& path) {
  Summary summary;
  summary.path = path;
  if (std::filesystem::is_directory(path)) {
    const models::Config config = models::Config::read(path + "/config.json");
    const std::vector<std::string> names = config.get_strings("architectures");
    summary.architecture = names.empty() ? config.get_string("model_type", "unknown") : names[0];
    summary.chat_template = folder_template(path);
    summary.source = formats::open_weights_folder(path);
    try {
      summary.outline = models::outline(config, *summary.source);
      if (summary.outline.unused_tensors > 0)
        summary.text = std::make_unique<models::TextPartTensors>(*summary.source);
    } catch (const Error& error) {
      summary.unsupported = error.what();
    }
    const std::vector<formats::TensorInfo>& tensors = summary.source->tensors();
    const bool torch =
        !tensors.empty() && std::filesystem::path(tensors.front().file).extension() == ".bin";
    summary.format = torch ? "PyTorch folder" : "safetensors folder";
    return summary;
  }
  if (formats::TorchFile::recognizes(path)) {
    auto file = std::make_unique<formats::TorchFile>(path);
    summary.format = "PyTorch file";
    summary.architecture = "rwkv";
    try {
      summary.outline = models::outline(*file);
    } catch (const Error& error) {
      summary.architecture = "unknown";
      summary.unsupported = error.what();
    }
    summary.source = std::move(file);
    return summary;
  }
  auto file = std::make_unique<formats::GgufFile>(path);
  summary.format = fmt::format("GGUF version {}", file->version());
  summary.architecture = file->get_string("general.architecture", "unknown");
  summary.chat_template = file->get_string("tokenizer.chat_template", "");
  try {
    summary.outline = models::outline(*file);
  } catch (const Error& error) {
    summary.unsupported = error.what();
  }
  summary.source = std::move(file);
  return summary;
}

nlohmann::ordered_json summary_json(const Summary& summary,
                                    const Counts& counts, bool with_tensors) {
  const DtypeCount& all = counts.all;
  nlohmann::ordered_json object;
  object["path"] = summary.path;
  object["format"] = summary.format;
  object["architecture"] = summary.architecture;
  object["supported"] = summary.unsupported.empty();
  if (!summary.unsupported.empty()) object["reason"] = summary.unsupported;
  object["parameters"] = all.parameters;
  object["dtypes"] = dtypes_json(counts);
  object["weight_bytes"] = all.bytes;
  if (summary.unsupported.empty()) {
    const models::Outline& outline = summary.outline;
    object["context_length"] = outline.context;
    object["cache_bytes_per_token"] = outline.state_bytes_per_token;
    object["state_bytes"] = summary.state_bytes();
    object["memory_bytes"] = count_dtypes(summary.loaded()).all.bytes + summary.state_bytes();
    if (outline.unused_tensors > 0) {
      object["unused_tensors"] = outline.unused_tensors;
      object["unused_parameters"] = outline.unused_parameters;
    }
    for (const tensor::DType dtype : kMemoryTypes)
      object["weight_bytes_as"][tensor::dtype_name(dtype)] =
          weight_bytes_as(summary.loaded(), dtype);
    object["vocab_size"] = outline.vocab_size;
    for (const auto& [name, size] : outline.sizes) object[name] = size;
  }
  object["chat_template"] = summary.chat_template.empty()
                                ? nlohmann::ordered_json(nullptr)
                                : nlohmann::ordered_json(summary.chat_template);
  if (with_tensors) object["tensors"] = tensors_json(*summary.source);
  return object;
}

void print_summary(const Summary& summary, const Counts& counts, bool with_tensors) {
  const DtypeCount& all = counts.all;
  const auto line = [](const char* name, const std::string& value) {
    write_out(fmt::format("{:<14}{}\n", name, value));
  };
  line("file", summary.path);
  line("format", summary.format);
  line("architecture", summary.architecture);
  if (!summary.unsupported.empty()) line("cannot be run", summary.unsupported);
  line("parameters",
       fmt::format("{} ({})", with_unit(static_cast<double>(all.parameters), ""), all.parameters));
  for (const auto& [name, count] : counts.dtypes)
    line("", fmt::format("{:<5} {:>5} tensors, {:>5.1f} % of parameters, {}", name, count.tensors,
                         100.0 * static_cast<double>(count.parameters) /
                             static_cast<double>(all.parameters),
                         with_unit(static_cast<double>(count.bytes), "B")));
  if (summary.unsupported.empty()) {
    const models::Outline& outline = summary.outline;
    const auto size = [](int64_t bytes) { return with_unit(static_cast<double>(bytes), "B"); };
    if (outline.unused_tensors > 0)
      line("not used",
           fmt::format("{} tensors, {} parameters, which are for pictures: the text model is run alone",
                       outline.unused_tensors,
                       with_unit(static_cast<double>(outline.unused_parameters), "")));
    const int64_t bytes = count_dtypes(summary.loaded()).all.bytes;
    std::string types;
    for (const tensor::DType dtype : kMemoryTypes)
      types += fmt::format(", {} as {}", size(weight_bytes_as(summary.loaded(), dtype)),
                           tensor::dtype_name(dtype));
    line("memory", fmt::format("{} for the weights as stored{}", size(bytes), types));
    if (outline.state_bytes > 0)
      line("", fmt::format("{} for the state, whatever the length", size(outline.state_bytes)));
    else
      line("", fmt::format("{} for each token kept, {} for {} tokens; {} with the weights as "
                           "stored",
                           size(outline.state_bytes_per_token), size(summary.state_bytes()),
                           summary.context, size(bytes + summary.state_bytes())));
    if (outline.state_bytes == 0)
      line("context", fmt::format("{} tokens", outline.context));
    else if (outline.context > 0)
      line("context", fmt::format("no limit; trained with {} tokens", outline.context));
    else
      line("context", "no limit");
    line("vocabulary", fmt::format("{} tokens", outline.vocab_size));
    line("layers", outline.layers);
  }
  if (summary.chat_template.empty()) {
    line("chat template", "none");
  } else {
    write_out("chat template\n" + summary.chat_template + "\n");
  }
  const std::vector<formats::TensorInfo>& tensors = summary.source->tensors();
  line("tensors",
       fmt::format("{}{}", tensors.size(), with_tensors ? "" : " (--tensors lists them)"));
  if (with_tensors) print_tensors(*summary.source);
}

int run_inspect(const Flags& flags) {
  const std::string path = models::resolve_model(flags.model);
  if (diffusion::is_picture_model(path) || diffusion::is_picture_part(path))
    return inspect_pictures(path, flags.tensors, flags.json);
  Summary summary = summarize(path);
  const int64_t limit = summary.outline.context;
  const bool recurrent = summary.outline.state_bytes > 0;
  if (flags.context > limit && summary.unsupported.empty() && !recurrent)
    fail("{}: --context {}: the model's context is {}", path, flags.context, limit);
  summary.context = flags.context > 0 ? flags.context : limit;
  const Counts counts = count_dtypes(*summary.source);
  if (flags.json) {
    write_json(summary_json(summary, counts, flags.tensors));
  } else {
    print_summary(summary, counts, flags.tensors);
  }
  return 0;
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb =
      app.add_subcommand("inspect", "Show what a model's files hold, without loading it");
  verb->add_option("MODEL", flags->model, "Model: a file, a folder or a name")->required();
  verb->add_option("--context", flags->context,
                   "Count the memory for this many tokens (default: all)")
      ->check(in_range<int64_t>(1, 1 << 30))
      ->type_name("N");
  verb->add_flag("--tensors", flags->tensors, "List every tensor: name, type, shape");
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer(
      "Reads headers only. Shows the architecture, parameters by type, the memory needed, the "
      "context\n"
      "length, the chat template and the tensors; of picture models the parts and the "
      "scheduler.\n\n"
      "Examples:\n"
      "  sumi inspect model.gguf\n"
      "  sumi inspect org/name --context 4096\n"
      "  sumi inspect org/name --tensors\n"
      "  sumi inspect folder --json");
  verb->callback([=, &run] { run = [=] { return run_inspect(*flags); }; });
}

}  // namespace sumi::cli
