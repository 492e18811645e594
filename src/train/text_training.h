// `sumi train text`: from options, a model and a data set to an adapter or a model.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/language/open.h"
#include "train/chat_tokens.h"
#include "train/lora_training.h"
#include "train/run.h"
#include "train/text_task.h"
#include "train/token_training.h"

namespace sumi::train {

struct TextTrainingOptions {
  std::string model, data;
  std::string eval_data;    // rows to hold out, in a file of their own
  double eval_split = 0;    // or this share of the data
  std::string chat_template;    // chatml: given to a base model; empty: the model's own
  std::string method = "lora";  // full: all weights; lora: adapters of f32 weights; qlora: adapters
                                // of the weights as stored, packed
  ops::Products products = ops::Products::f32;  // bf16: weights that are trained stay f32
  nn::LoraConfig lora;
  LoraInit lora_init = LoraInit::kaiming;
  TrainerOptions trainer;
  int64_t steps = 0;  // 0: from epochs
  double epochs = 1, warmup_ratio = 0;
  int64_t max_length = 1024;
  int64_t tokens_at_once = 0;  // of a batch, see TextTask; 0: by the method
  bool packing = false, checkpoint_blocks = false;
  DType save_dtype = DType::f32;  // of a whole model
  int64_t samples = 2, sample_tokens = 64;
  RunOptions run;  // with the folder
};

// Throws Error naming options that are out of range or contradict each other. Nothing is opened.
void check_text_training(const TextTrainingOptions& options);

struct TextTrainingSizes : RunSizes {
  int64_t texts = 0, eval_texts = 0, tokens = 0, targets = 0, left_out = 0;
};

struct Sample {
  std::string prompt, answer, expected;
};

class TextTraining {
 public:
  // Reads the data, then opens and prepares the model. Throws Error.
  explicit TextTraining(TextTrainingOptions options,
                        const std::function<void(double)>& load_progress = {});

  const TextTrainingSizes& sizes() const { return sizes_; }
  Trainer& trainer() { return *trainer_; }
  bool has_evaluation() const { return eval_task_ != nullptr; }

  // Runs to the end or until cancelled (false), and at the end writes the adapter or the model into
  // the run's folder. `hooks` gets evaluate filled in; samples go to on_sample.
  bool run(RunHooks hooks, const std::function<void(int64_t, const Sample&)>& on_sample,
           const std::atomic<bool>& cancel);

 private:
  std::unique_ptr<text::Tokenizer> add_chat_tokens(const std::string& path, models::OpenOptions& open);
  void prepare_texts(const std::vector<TextRow>& rows, const std::vector<TextRow>& held_out);
  std::vector<TrainingText> tokenized(const std::vector<TextRow>& rows,
                                      const text::ChatTemplate* chat_template, int64_t* left_out);
  void choose_samples(const std::vector<TextRow>& rows);
  Sample sample(size_t index, const std::atomic<bool>& cancel);
  nlohmann::json identity() const;
  void write_result();

  TextTrainingOptions options_;
  std::unique_ptr<TrainableLora> lora_;
  std::unique_ptr<TokenTraining> tokens_;  // null: none are added
  models::LanguageModelFiles files_;
  std::unique_ptr<TextTask> task_, eval_task_;
  std::unique_ptr<Trainer> trainer_;
  std::vector<TextRow> sample_rows_;
  uint64_t data_hash_ = 0;
  TextTrainingSizes sizes_;
};

}  // namespace sumi::train
