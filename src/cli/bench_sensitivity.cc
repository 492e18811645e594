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

// What the network is given on the way to a picture without int8.
std::vector<models::UNetInput> inputs_of_a_picture(diffusion::PictureModel& model,
                                                   const diffusion::PictureRequest& request) {
  const tensor::NoGrad no_grad;
  const diffusion::TextStates text = diffusion::encode_text(model, request);
  model.release_text();
  base::Generator generator(1);
  const std::unique_ptr<diffusion::Scheduler> scheduler = model.scheduler();
  diffusion::DenoiseJob job = diffusion::prepare(model, request, text, *scheduler, generator);
  job.unet = &model.unet();
  std::vector<Tensor> samples = {job.sample.clone()};
  job.after_step = [&](const diffusion::DenoiseStep& step) { samples.push_back(step.sample->clone()); };
  diffusion::denoise(job);
  std::vector<models::UNetInput> inputs;
  for (size_t i = job.first_step; i < scheduler->timesteps().size(); ++i)
    inputs.push_back(diffusion::network_input(job, samples[i - job.first_step], i));
  return inputs;
}

}  // namespace

int run_sensitivity(const SensitivityFlags& flags) {
  if (flags.output.empty()) throw CLI::RequiredError("--output");
  if (!kernels::has_picture_tiles())
    fail("--sensitivity: this processor has no AMX; without it int8 rounds little, and only the layers that AMX "
         "computes in int8 are measured");
  set_threads(flags.image.compute);
  formats::AtomicFile(flags.output);  // fails here if it cannot be written
  ImageFlags image = flags.image;
  image.compute.dtype = "int8";
  diffusion::PictureModelOptions options = model_options(image);
  options.int8_trial = std::make_shared<nn::Int8Trial>();
  diffusion::PictureModel model(image.model, options);
  diffusion::PictureRequest request;
  request.prompt = "a lighthouse in a storm";
  request.width = request.height = flags.size;
  request.steps = flags.steps;
  diffusion::check_request(model, request);
  const std::vector<models::UNetInput> inputs = inputs_of_a_picture(model, request);
  StepProgress progress("layer");
  std::vector<diffusion::LayerError> errors =
      diffusion::measure_int8(model.unet(), *options.int8_trial, inputs,
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
