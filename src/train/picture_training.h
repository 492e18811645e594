// `sumi train image`, `controlnet`, `image-lora` and `dreambooth`: from options, a diffusers folder
// and pictures to a model, a ControlNet or adapters.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/picture_nets.h"
#include "train/picture_samples.h"
#include "train/picture_task.h"
#include "train/run.h"

namespace sumi::train {

struct PictureTrainingOptions {
  std::string model;       // a diffusers folder
  std::string data;        // a data set, or with `instance_prompt` a folder of pictures
  PictureColumns columns;
  std::string instance_prompt;                // DreamBooth: of all pictures
  std::string class_data, class_prompt;       // prior preservation, if there is a prompt
  int64_t class_count = 100;
  std::string eval_data;   // a data set to measure the loss on
  int64_t resolution = 0;  // 0: the model's own
  PictureLossOptions loss;
  PictureNetOptions nets;
  bool cache = true;       // latents and text states, in the run's folder
  TrainerOptions trainer;
  int64_t steps = 0;       // 0: from epochs
  double epochs = 1;
  DType save_dtype = DType::f32;
  int64_t samples = 0, sample_steps = 20;  // pictures drawn each run.sample_every steps
  double sample_guidance = 7.5;
  RunOptions run;
};

// Throws Error naming options that are out of range or contradict each other. Nothing is opened.
void check_picture_training(const PictureTrainingOptions& options);

struct PictureTrainingSizes : RunSizes {
  int64_t pictures = 0, class_pictures = 0, eval_pictures = 0;
};

struct PictureTrainingHooks {
  std::function<void(int64_t drawn, int64_t of)> class_picture;
  std::function<void(double)> caching;      // share done
  std::function<void()> cache_was_there;
};

class PictureTraining {
 public:
  // Checks options, data set and model's files, then draws class pictures that are missing, encodes
  // pictures and prompts (not if `dry`: then nothing is written), and opens the networks. Throws
  // Error; Cancelled if `cancel` becomes true.
  PictureTraining(PictureTrainingOptions options, bool dry, const PictureTrainingHooks& hooks,
                  const std::atomic<bool>& cancel);

  const PictureTrainingSizes& sizes() const { return sizes_; }
  Trainer& trainer() { return *trainer_; }
  PictureTask& task() { return *task_; }

  // Runs to the end or until cancelled (false), and at the end writes what was learned into the
  // run's folder. `hooks` gets evaluate filled in, and sample, which writes
  // RUN/samples/step-<step>.png: condition (of ControlNets), drawn picture, the data set's.
  bool run(RunHooks hooks, const std::function<void(const std::string& path)>& sampled,
           const std::atomic<bool>& cancel);

 private:
  std::vector<PictureSet> open_sets(const PictureTrainingHooks& hooks, bool dry,
                                    const std::atomic<bool>& cancel);
  std::string write_samples(int64_t step, const std::atomic<bool>& cancel);
  nlohmann::json identity() const;
  void write_result();

  PictureTrainingOptions options_;
  std::unique_ptr<diffusion::PictureModel> model_;
  std::unique_ptr<diffusion::TrainingNoise> noise_;
  std::unique_ptr<PictureFeatures> features_;
  std::unique_ptr<PictureNets> nets_;
  std::unique_ptr<PictureTask> task_, eval_task_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<size_t> class_set_, eval_set_;
  PictureTrainingSizes sizes_;
};

}  // namespace sumi::train
