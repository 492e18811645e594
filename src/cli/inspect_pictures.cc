// sumi inspect of picture models: their parts, from configurations and headers alone.

#include "base/error.h"
#include "cli/common.h"
#include "cli/inspect_common.h"
#include "diffusion/picture_files.h"
#include "diffusion/scheduler.h"
#include "models/diffusion/unet_config.h"
#include "models/diffusion/vae.h"

namespace sumi::cli {

namespace {

struct PartSummary {
  diffusion::PicturePart part;
  std::string unsupported;                         // why Sumi cannot run it; empty if it can
  std::unique_ptr<formats::TensorSource> weights;  // null: it has none
  Counts counts;
};

struct PictureSummary {
  std::vector<PartSummary> parts;
  std::string unsupported;  // of the whole: the first reason
  Counts counts;
  int64_t largest = 0;  // parameters of the largest part; text encoders count as one
  nlohmann::ordered_json scheduler;  // null if there is none
  std::string scheduler_problem;
  int64_t size = 0, factor = 0, latent_channels = 0;  // 0: not known
};

// What `read` throws, "" if nothing.
template <class Read>
std::string problem_of(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

PartSummary summarize_part(const diffusion::PictureFiles& files,
                           const diffusion::PicturePart& part) {
  PartSummary summary{part, problem_of([&] { diffusion::check_part(files, part); }), nullptr, {}};
  for (const char* file :
       {"tokenizer", "tokenizer_2", "scheduler", "low_res_scheduler", "feature_extractor"})
    if (part.name == file) return summary;
  const std::string problem = problem_of([&] { summary.weights = files.weights(part.name); });
  if (summary.unsupported.empty()) summary.unsupported = problem;
  if (summary.weights) summary.counts = count_dtypes(*summary.weights);
  return summary;
}

void read_scheduler(const diffusion::PictureFiles& files, PictureSummary& summary) {
  summary.scheduler_problem = problem_of([&] {
    const models::Config config = files.scheduler("scheduler");
    summary.scheduler = {{"class", config.get_string("_class_name", "unknown")},
                         {"prediction_type", config.get_string("prediction_type", "epsilon")},
                         {"num_train_timesteps", config.get_int("num_train_timesteps", 1000)}};
    diffusion::make_scheduler(config.json(), config.file());
  });
}

PictureSummary summarize(const diffusion::PictureFiles& files, bool whole) {
  PictureSummary summary;
  int64_t texts = 0;
  for (const diffusion::PicturePart& part : files.parts()) {
    summary.parts.push_back(summarize_part(files, part));
    const PartSummary& one = summary.parts.back();
    if (summary.unsupported.empty()) summary.unsupported = one.unsupported;
    const bool text = part.name.rfind("text_encoder", 0) == 0;
    if (text) texts += one.counts.all.parameters;
    summary.largest = std::max(summary.largest, text ? texts : one.counts.all.parameters);
    for (const auto& [name, count] : one.counts.dtypes)
      for (DtypeCount* sum : {&summary.counts.dtypes[name], &summary.counts.all}) {
        sum->tensors += count.tensors;
        sum->parameters += count.parameters;
        sum->bytes += count.bytes;
      }
  }
  if (!whole) return summary;
  if (summary.unsupported.empty())
    summary.unsupported = problem_of([&] { diffusion::check_parts(files); });
  read_scheduler(files, summary);
  if (!summary.unsupported.empty()) return summary;
  const models::Config unet = files.config("unet");
  summary.factor = models::vae_factor(files.config("vae"));
  summary.size = unet.get_int("sample_size", 64) * summary.factor;
  summary.latent_channels = models::unet_config(unet).out_channels;
  return summary;
}

nlohmann::ordered_json bytes_as(int64_t parameters) {
  return {{"bf16", 2 * parameters}, {"f32", 4 * parameters}};
}

nlohmann::ordered_json part_json(const PartSummary& summary, bool with_tensors) {
  nlohmann::ordered_json object = {{"name", summary.part.name},
                                   {"class", summary.part.class_name},
                                   {"supported", summary.unsupported.empty()}};
  if (!summary.unsupported.empty()) object["reason"] = summary.unsupported;
  if (!summary.weights) return object;
  object["parameters"] = summary.counts.all.parameters;
  object["dtypes"] = dtypes_json(summary.counts);
  object["weight_bytes"] = summary.counts.all.bytes;
  object["weight_bytes_as"] = bytes_as(summary.counts.all.parameters);
  if (with_tensors) object["tensors"] = tensors_json(*summary.weights);
  return object;
}

nlohmann::ordered_json summary_json(const diffusion::PictureFiles& files,
                                    const PictureSummary& summary, bool with_tensors) {
  nlohmann::ordered_json object = {{"path", files.path()},
                                   {"format", files.format()},
                                   {"architecture", files.pipeline()},
                                   {"supported", summary.unsupported.empty()}};
  if (!summary.unsupported.empty()) object["reason"] = summary.unsupported;
  object["parameters"] = summary.counts.all.parameters;
  object["dtypes"] = dtypes_json(summary.counts);
  object["weight_bytes"] = summary.counts.all.bytes;
  object["weight_bytes_as"] = bytes_as(summary.counts.all.parameters);
  object["largest_part_bytes_as"] = bytes_as(summary.largest);
  if (summary.size > 0) {
    object["width"] = object["height"] = summary.size;
    object["latent_channels"] = summary.latent_channels;
    object["pixels_per_latent"] = summary.factor;
  }
  if (!summary.scheduler.is_null() || !summary.scheduler_problem.empty()) {
    object["scheduler"] = summary.scheduler;
    if (!summary.scheduler_problem.empty())
      object["scheduler_reason"] = summary.scheduler_problem;
  }
  object["parts"] = nlohmann::ordered_json::array();
  for (const PartSummary& part : summary.parts)
    object["parts"].push_back(part_json(part, with_tensors));
  return object;
}

std::string in_bytes(int64_t bytes) { return with_unit(static_cast<double>(bytes), "B"); }

void print_part(const PartSummary& summary, bool with_tensors) {
  std::string weights;
  for (const auto& [name, count] : summary.counts.dtypes)
    weights += fmt::format(", {} tensors of {}", count.tensors, name);
  if (summary.weights) {
    const DtypeCount& all = summary.counts.all;
    weights = fmt::format("{} parameters{}; {} as stored, {} as bf16, {} as f32",
                          with_unit(static_cast<double>(all.parameters), ""), weights,
                          in_bytes(all.bytes), in_bytes(2 * all.parameters),
                          in_bytes(4 * all.parameters));
  }
  write_out(
      fmt::format("  {:<18} {:<22} {}\n", summary.part.name, summary.part.class_name, weights));
  if (!summary.unsupported.empty())
    write_out(fmt::format("  {:<18} cannot be run: {}\n", "", summary.unsupported));
  if (with_tensors && summary.weights) print_tensors(*summary.weights);
}

void print_summary(const diffusion::PictureFiles& files, const PictureSummary& summary,
                   bool with_tensors) {
  const auto line = [](const char* name, const std::string& value) {
    write_out(fmt::format("{:<14}{}\n", name, value));
  };
  const int64_t parameters = summary.counts.all.parameters;
  line("file", files.path());
  line("format", files.format());
  line("architecture", files.pipeline());
  if (!summary.unsupported.empty()) line("cannot be run", summary.unsupported);
  line("parameters",
       fmt::format("{} ({})", with_unit(static_cast<double>(parameters), ""), parameters));
  line("memory", fmt::format("{} for the weights as stored, {} as bf16, {} as f32",
                             in_bytes(summary.counts.all.bytes), in_bytes(2 * parameters),
                             in_bytes(4 * parameters)));
  if (summary.size > 0) {
    line("", fmt::format("{} as bf16, {} as f32 with --low-memory: the largest part",
                         in_bytes(2 * summary.largest), in_bytes(4 * summary.largest)));
    line("pictures", fmt::format("{} x {}; {} latent channels of {} x {} pixels", summary.size,
                                 summary.size, summary.latent_channels, summary.factor,
                                 summary.factor));
  }
  if (!summary.scheduler.is_null())
    line("scheduler", fmt::format("{}, predicts {}, {} steps in training",
                                  summary.scheduler["class"].get<std::string>(),
                                  summary.scheduler["prediction_type"].get<std::string>(),
                                  summary.scheduler["num_train_timesteps"].get<int64_t>()));
  if (!summary.scheduler_problem.empty()) line("", summary.scheduler_problem);
  line("parts", with_tensors ? "" : "(--tensors lists their tensors)");
  for (const PartSummary& part : summary.parts) print_part(part, with_tensors);
}

}  // namespace

int inspect_pictures(const std::string& path, bool with_tensors, bool json) {
  const bool whole = diffusion::is_picture_model(path);
  const auto files =
      whole ? diffusion::open_picture_files(path) : diffusion::open_picture_part(path);
  const PictureSummary summary = summarize(*files, whole);
  if (json)
    write_json(summary_json(*files, summary, with_tensors));
  else
    print_summary(*files, summary, with_tensors);
  return 0;
}

}  // namespace sumi::cli
