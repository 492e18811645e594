#include "train/picture_training.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "diffusion/condition/condition.h"
#include "diffusion/layout.h"
#include "tensor/autograd.h"
#include "train/checkpoints.h"

namespace sumi::train {
namespace {

namespace fs = std::filesystem;

void check_range(const char* option, double value, double low, double high) {
  if (!(value >= low && value <= high))
    fail("{}: expected {} to {}, found {}", option, low, high, value);
}

// Networks that training does not know are refused by what their configuration says.
void check_unet(const models::UNetConfig& unet, int64_t latent_channels) {
  if (unet.in_channels != latent_channels || unet.out_channels != latent_channels)
    fail("{}: in_channels {}, out_channels {}: expected {}, the channels of the latents", unet.file,
         unet.in_channels, unet.out_channels, latent_channels);
  if (unet.class_embedding != models::ClassEmbedding::none || unet.text_time ||
      unet.time_condition_dim > 0)
    fail("{}: networks that want class numbers, sizes or a guidance scale beside the text are not "
         "trained yet",
         unet.file);
}

std::string class_folder(const PictureTrainingOptions& o) {
  return o.class_data.empty() ? o.run.folder + "/class" : o.class_data;
}

}  // namespace

void check_picture_training(const PictureTrainingOptions& o) {
  if (o.resolution < 0) fail("resolution: expected 1 or more, found {}", o.resolution);
  check_range("proportion of empty prompts", o.loss.empty_prompts, 0, 1);
  check_range("SNR gamma", o.loss.snr_gamma, 0, 1000);
  check_range("noise offset", o.loss.noise_offset, 0, 1);
  check_range("prior loss weight", o.loss.prior_weight, 0, 1000);
  if (!o.class_data.empty() && o.class_prompt.empty())
    fail("class pictures are given without a class prompt");
  if (!o.class_prompt.empty() && o.instance_prompt.empty())
    fail("a class prompt is given without an instance prompt");
  if (o.class_count < 1) fail("class pictures: expected 1 or more, found {}", o.class_count);
  if (o.nets.control && (o.nets.lora || o.nets.text_encoder))
    fail("a ControlNet is trained alone, without adapters and text encoder");
  if (!o.nets.unet_config.empty() && (o.nets.control || o.nets.lora))
    fail("a UNet from nothing is trained alone, without ControlNet and adapters");
  if (!o.nets.controlnet.empty() && (o.nets.bgr || !o.nets.condition_widths.empty()))
    fail("channel order and widths are those of the ControlNet that is given");
  if (o.loss.random_crop && o.cache)
    fail("random crops cannot be encoded in advance: choose them or the cache");
  if (o.run.folder == o.model) fail("{}: is the model itself; give another folder", o.model);
  check_run(o.run, o.trainer, o.steps, o.epochs);
}

PictureTraining::PictureTraining(PictureTrainingOptions options, bool dry,
                                 const PictureTrainingHooks& hooks,
                                 const std::atomic<bool>& cancel)
    : options_(std::move(options)) {
  PictureTrainingOptions& o = options_;
  check_picture_training(o);
  diffusion::PictureModelOptions model_options;
  model_options.low_memory = true;
  model_options.files.safety_checker = false;
  model_options.unet_config = o.nets.unet_config;
  model_ = std::make_unique<diffusion::PictureModel>(o.model, model_options);
  const models::Config scheduler = model_->files().scheduler("scheduler");
  noise_ = std::make_unique<diffusion::TrainingNoise>(scheduler.json(), scheduler.file());
  if (o.resolution == 0) o.resolution = model_->default_size();
  features_ = std::make_unique<PictureFeatures>(*model_, open_sets(hooks, dry, cancel),
                                                o.resolution);
  PictureParts parts;
  const models::Vae& vae = model_->vae(true);
  check_unet(model_->unet_config(), vae.latent_channels());
  PictureNets::check(*model_, o.nets);
  parts.scaling_factor = vae.scaling_factor();
  parts.shift_factor = vae.shift_factor();
  if (o.cache && !dry) {
    const bool there = features_->cache(o.run.folder + "/cache.safetensors", o.loss.random_flip,
                                        !o.nets.text_encoder, hooks.caching);
    if (there && hooks.cache_was_there) hooks.cache_was_there();
  } else if (o.cache) {
    features_->stand_in(!o.nets.text_encoder);
  }

  o.nets.seed = o.trainer.seed;
  nets_ = std::make_unique<PictureNets>(*model_, o.nets);
  parts.unet = &nets_->unet();
  parts.control = nets_->control();
  parts.text = nets_->text();
  task_ = std::make_unique<PictureTask>(parts, *noise_, *features_, 0, class_set_, o.loss,
                                        nets_->clocks());
  if (eval_set_) {
    PictureLossOptions plain;
    plain.condition = o.loss.condition;
    plain.snr_gamma = o.loss.snr_gamma;
    eval_task_ = std::make_unique<PictureTask>(parts, *noise_, *features_, *eval_set_,
                                               std::nullopt, plain, nets_->clocks());
  }
  std::vector<Parameter> parameters = nets_->parameters();
  sizes_.trained_weights = count_weights(parameters);
  TrainerOptions& trainer = o.trainer;
  trainer.narrow_gradients = o.nets.products == ops::Products::bf16;
  trainer.schedule.total_steps =
      o.steps > 0 ? o.steps : steps_for_epochs(o.epochs, task_->size(), trainer);
  sizes_.steps = trainer.schedule.total_steps;
  sizes_.model_bytes = nets_->weight_bytes();
  sizes_.gradient_bytes = static_cast<size_t>(sizes_.trained_weights) *
                          (trainer.narrow_gradients && trainer.accumulation == 1 ? sizeof(uint16_t) : sizeof(float));
  trainer_ = std::make_unique<Trainer>(*task_, std::move(parameters), trainer);
  sizes_.optimizer_bytes = trainer_->optimizer_bytes();
}

std::vector<PictureSet> PictureTraining::open_sets(const PictureTrainingHooks& hooks, bool dry,
                                                   const std::atomic<bool>& cancel) {
  const PictureTrainingOptions& o = options_;
  const PictureNeeds needs{.condition = o.nets.control && o.loss.condition.empty(),
                           .prompt = true};
  std::vector<PictureSet> sets;
  sets.push_back(o.instance_prompt.empty() ? PictureSet::open(o.data, o.columns, needs)
                                           : PictureSet::of_folder(o.data, o.instance_prompt));
  sizes_.pictures = sets[0].size();
  if (!o.eval_data.empty()) {
    eval_set_ = sets.size();
    sets.push_back(PictureSet::open(o.eval_data, o.columns, needs));
    sizes_.eval_pictures = sets.back().size();
  }
  if (!o.class_prompt.empty()) {
    const bool missing = !fs::is_directory(class_folder(o));
    if (dry && missing) fail("{}: a dry run draws no class pictures", class_folder(o));
    if (!dry)
      draw_class_pictures(o.model, class_folder(o), o.class_prompt, o.class_count, o.resolution,
                          o.sample_steps, o.sample_guidance, o.trainer.seed, cancel,
                          hooks.class_picture);
    class_set_ = sets.size();
    sets.push_back(PictureSet::of_folder(class_folder(o), o.class_prompt));
    sizes_.class_pictures = sets.back().size();
  }
  return sets;
}

std::string PictureTraining::write_samples(int64_t step, const std::atomic<bool>& cancel) {
  const tensor::NoGrad no_grad;
  for (const auto& clock : nets_->clocks()) clock->on = false;
  const PictureSet& set = features_->set(eval_set_.value_or(0));
  const PictureTask& task = eval_task_ ? *eval_task_ : *task_;
  const auto text = [&](const std::string& prompt) {
    if (!nets_->text()) return features_->text(prompt);
    const std::vector<int32_t> ids = features_->tokens(prompt).ids;
    return nets_->text()->hidden_states(
        Tensor::from_ids(ids, {1, static_cast<int64_t>(ids.size())}));
  };
  std::vector<std::vector<formats::Image>> rows;
  for (int64_t i = 0; i < std::min(options_.samples, set.size()); ++i) {
    SampleRequest request;
    request.unet = &nets_->unet();
    request.control = nets_->control();
    request.text = text(set.prompt(i));
    request.no_text = text("");
    request.size = options_.resolution;
    request.steps = options_.sample_steps;
    request.guidance_scale = options_.sample_guidance;
    request.seed = options_.trainer.seed + static_cast<uint64_t>(i);
    std::vector<formats::Image> row;
    if (request.control) {
      request.condition = task.condition(i, {});
      Tensor centred = Tensor::empty(request.condition.shape());
      for (int64_t p = 0; p < centred.numel(); ++p)
        centred.f32()[p] = 2 * request.condition.f32()[p] - 1;
      row.push_back(diffusion::to_image(centred));
    }
    row.push_back(draw_sample(*model_, request, cancel));
    row.push_back(formats::to_rgb(cropped(set.image(i), options_.resolution, {})));
    rows.push_back(std::move(row));
  }
  const std::string folder = options_.run.folder + "/samples";
  fs::create_directories(folder);
  const std::string path = fmt::format("{}/step-{:06}.png", folder, step);
  formats::write_image(path, picture_grid(rows));
  return path;
}

// What a run that goes on must have in common with the one that began.
nlohmann::json PictureTraining::identity() const {
  const PictureTrainingOptions& o = options_;
  const TrainerOptions& t = o.trainer;
  nlohmann::json identity = trainer_identity(t);
  identity.update({{"task", PictureNets::result_name(o.nets)},
                   {"data", features_->set(0).fingerprint(false)},
                   {"resolution", o.resolution},
                   {"random_crop", o.loss.random_crop},
                   {"random_flip", o.loss.random_flip},
                   {"empty_prompts", o.loss.empty_prompts},
                   {"snr_gamma", o.loss.snr_gamma},
                   {"noise_offset", o.loss.noise_offset},
                   {"condition", o.loss.condition},
                   {"text_encoder", o.nets.text_encoder},
                   {"dtype", o.nets.products == ops::Products::bf16 ? "bf16" : "f32"},
                   {"weights", sizes_.trained_weights}});
  if (class_set_) {
    identity["classes"] = features_->set(*class_set_).fingerprint(false);
    identity["prior_weight"] = o.loss.prior_weight;
  }
  if (o.nets.lora) identity.update(lora_identity(o.nets.lora_config));
  return identity;
}

void PictureTraining::write_result() {
  check_disk_space(options_.run.folder, static_cast<size_t>(sizes_.trained_weights) * sizeof(float));
  const AveragedWeights averaged(trainer_->ema());
  nets_->save(options_.run.folder, options_.save_dtype);
}

bool PictureTraining::run(RunHooks hooks,
                          const std::function<void(const std::string& path)>& sampled,
                          const std::atomic<bool>& cancel) {
  hooks.is_likelihood = false;
  if (eval_task_)
    hooks.evaluate = [&] { return mean_loss(*eval_task_, options_.trainer.batch_size, cancel); };
  if (options_.samples > 0)
    hooks.sample = [&](int64_t step) {
      const AveragedWeights averaged(trainer_->ema());
      try {
        const std::string path = write_samples(step, cancel);
        if (sampled) sampled(path);
      } catch (const Cancelled&) {  // the run ends, and saves
      }
    };
  const bool finished = train::run(*trainer_, options_.run, identity(), hooks, cancel);
  if (finished) write_result();
  return finished;
}

}  // namespace sumi::train
