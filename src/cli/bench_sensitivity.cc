// sumi bench image --sensitivity: which layers of a picture model suffer from int8.

#include <algorithm>

#include "cli/bench_image.h"
#include "cli/step_progress.h"
#include "diffusion/int8_layers.h"
#include "diffusion/pipeline.h"
#include "formats/atomic_file.h"
#include "kernels/picture_tiles.h"
#include "tensor/autograd.h"

namespace sumi::cli {

namespace {

// The way to a picture without int8: the samples that the network is given.
struct Way {
  std::unique_ptr<diffusion::Scheduler> scheduler;
  base::Generator generator{1};
  diffusion::DenoiseJob job;
  std::vector<Tensor> samples;

  Way(diffusion::PictureModel& model, const diffusion::PictureRequest& request) : scheduler(model.scheduler()) {
    const tensor::NoGrad no_grad;
    const diffusion::TextStates text = diffusion::encode_text(model, request);
    model.release_text();
    job = diffusion::prepare(model, request, text, *scheduler, generator);
    job.unet = &model.unet();
    samples = {job.sample.clone()};
    job.after_step = [&](const diffusion::DenoiseStep& step) {
      if (step.done < step.total) samples.push_back(step.sample->clone());
    };
    diffusion::denoise(job);
  }
  Tensor output(size_t call) const { return diffusion::network_output(job, samples[call], job.first_step + call); }
};

}  // namespace

int run_sensitivity(const SensitivityFlags& flags) {
  if (flags.output.empty()) throw CLI::RequiredError("--output");
  if (!kernels::has_picture_tiles())
    fail("--sensitivity: this processor has no AVX-512 VNNI; only with it convolutions and linear layers are computed in "
         "int8 as this measures them");
  set_threads(flags.image.compute);
  formats::AtomicFile(flags.output);  // fails here if it cannot be written
  ImageFlags image = flags.image;
  image.compute.dtype = "int8";
  diffusion::PictureModelOptions options = model_options(image);
  options.int8_trials = true;
  diffusion::PictureModel model(image.model, options);
  image.prompt = "a lighthouse in a storm";
  image.width = image.height = flags.size;
  image.steps = flags.steps;
  diffusion::PictureRequest request = picture_request(image);
  diffusion::check_request(model, request);
  const Way way(model, request);
  StepProgress progress("layer");
  std::vector<diffusion::LayerError> errors = diffusion::measure_int8(
      model.tried_networks(), [&](size_t call) { return way.output(call); }, way.samples.size(),
      [&](size_t done, size_t total) { progress.update(done, total); });
  const std::vector<std::string> kept = diffusion::sensitive_layers(errors, flags.keep);
  diffusion::write_int8_layers(flags.output, errors, kept);
  double all = 0, rest = 0;
  for (const diffusion::LayerError& one : errors) {
    all += one.error;
    if (std::find(kept.begin(), kept.end(), one.name) == kept.end()) rest += one.error;
  }
  if (flags.image.json) {
    write_json({{"file", flags.output},
                {"layers", errors.size()},
                {"kept", kept.size()},
                {"error_of_all", all},
                {"error_without_kept", rest}});
    return 0;
  }
  std::stable_sort(errors.begin(), errors.end(),
                   [](const auto& a, const auto& b) { return a.error > b.error; });
  for (size_t i = 0; i < std::min<size_t>(5, errors.size()); ++i)
    write_out(fmt::format("{:.2e}  {}\n", errors[i].error, errors[i].name));
  write_out(fmt::format("{} layers, {} kept in bf16: errors sum to {:.2e} in place of {:.2e}; {} written\n",
                        errors.size(), kept.size(), rest, all, flags.output));
  return 0;
}

}  // namespace sumi::cli
