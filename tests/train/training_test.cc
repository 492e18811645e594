// The step on tiny models against PyTorch; adapters; a run that is stopped and goes on.
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "cli/command.h"
#include "expected.h"
#include "models/language/export.h"
#include "models/language/open.h"
#include "ops/loss.h"
#include "train/checkpoints.h"
#include "train/lora_training.h"
#include "train/run.h"
#include "train/text_task.h"
#include "train/text_training.h"
#include "train/token_training.h"

namespace sumi::train {
namespace {

namespace fs = std::filesystem;

const std::string kModels = std::string(SUMI_TEST_DATA) + "/language/";

TrainingText all_learned(const int32_t* ids, int64_t count) {
  return {std::vector<int32_t>(ids, ids + count),
          std::vector<bool>(static_cast<size_t>(count), true)};
}

// A task that gives its batches in order, whatever the trainer's order.
class InOrder : public Task {
 public:
  InOrder(const models::LanguageModel& model, const Tensor& ids, bool checkpoint)  // [steps, B, T]
      : model_(model), ids_(ids), checkpoint_(checkpoint) {}
  int64_t size() const override { return ids_.size(0); }
  double weight(std::span<const int64_t>) const override { return 1; }
  int64_t units(std::span<const int64_t>) const override { return ids_.numel() / ids_.size(0); }
  Tensor loss(std::span<const int64_t>, uint64_t) override {
    const int64_t length = ids_.size(2), texts = ids_.size(1);
    std::vector<TrainingText> rows;
    for (int64_t b = 0; b < texts; ++b)
      rows.push_back(all_learned(ids_.data<int32_t>() + (next_ * texts + b) * length, length));
    ++next_;
    std::vector<const TrainingText*> pointers;
    for (const TrainingText& row : rows) pointers.push_back(&row);
    return model_.loss(join(pointers), checkpoint_);
  }

 private:
  const models::LanguageModel& model_;
  Tensor ids_;
  bool checkpoint_;
  int64_t next_ = 0;
};

class TenSteps : public testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(TenSteps, LossesEqualPyTorchs) {
  const auto [name, checkpoint] = GetParam();
  const formats::SafetensorsFile file = expected_file("losses.safetensors");
  models::OpenOptions open;
  open.trainable = true;
  const auto files = models::open_language_model(kModels + name, open);
  InOrder task(*files.model, file.get(std::string(name) + ".ids"), checkpoint);
  std::vector<Parameter> parameters;
  for (const auto& [parameter, tensor] : files.model->parameters())
    parameters.push_back({parameter, tensor});
  TrainerOptions options;
  options.schedule = {.name = "constant", .learning_rate = 1e-2, .total_steps = 10};
  Trainer trainer(task, parameters, options);
  const Tensor expected = file.get(std::string(name) + ".losses");
  for (int64_t step = 0; step < 10; ++step)
    EXPECT_NEAR(trainer.run_step().loss, expected.f32()[step], 1e-4 * expected.f32()[step])
        << step;
}

INSTANTIATE_TEST_SUITE_P(Models, TenSteps,
                         testing::Combine(testing::Values("llama", "gpt2"),
                                          testing::Values(false, true)),
                         [](const auto& param) {
                           return std::string(std::get<0>(param.param)) +
                                  (std::get<1>(param.param) ? "Checkpointed" : "");
                         });

TEST(Bf16, FollowsTheLossesOfF32) {
  const formats::SafetensorsFile file = expected_file("losses.safetensors");
  models::OpenOptions open;
  open.trainable = true;
  open.products = ops::Products::bf16;
  const auto files = models::open_language_model(kModels + "llama", open);
  InOrder task(*files.model, file.get("llama.ids"), true);
  std::vector<Parameter> parameters;
  for (const auto& [name, tensor] : files.model->parameters()) parameters.push_back({name, tensor});
  TrainerOptions options;
  options.schedule = {.name = "constant", .learning_rate = 1e-2, .total_steps = 10};
  Trainer trainer(task, parameters, options);
  const Tensor expected = file.get("llama.losses");
  double difference = 0;
  for (int64_t step = 0; step < 10; ++step)
    difference = std::max(difference, std::fabs(trainer.run_step().loss / expected.f32()[step] - 1));
  EXPECT_LT(difference, 0.05);
  EXPECT_GT(difference, 1e-6);  // or nothing was rounded
}

// A model with two tokens more: their rows are trained beside an adapter, saved with it, and there when it
// is opened or merged.
class AddedTokens : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(AddedTokens, AreTrainedSavedAndMerged) {
  const auto [name, form] = GetParam();
  const std::string model = kModels + name;
  const cli::Folder folder;
  nn::LoraConfig config;
  config.rank = 2;
  config.targets = {kAllLinear};
  TrainableLora lora(config, LoraInit::kaiming, 3);
  const auto vocab = static_cast<int32_t>(models::open_language_model(model, {}).model->vocab_size());
  // Spare rows of the table are learned as well as new ones.
  const int32_t begin = std::string(form) == "spare" ? vocab - 2 : vocab;
  TokenTraining tokens(begin, 2, false, 5);
  models::OpenOptions open;
  open.frozen = std::string(form) != "packed";
  open.compute = models::ComputeType::f32;  // bf16 weights would round activations, too, where there is bf16
  open.lora = lora.source();
  open.token_rows = tokens.source();
  const auto files = models::open_language_model(model, open);
  tokens.check_used();
  EXPECT_EQ(files.model->vocab_size(), begin + 2);
  std::vector<Parameter> parameters = lora.parameters();
  const size_t adapters = parameters.size();
  for (const Parameter& rows : tokens.parameters()) parameters.push_back(rows);
  EXPECT_EQ(parameters.size() - adapters, std::string(name) == "llama_tied" ? 1u : 2u);
  const Tensor before = parameters.back().value.clone();
  const std::vector<int32_t> ids = {5, begin, 9, 3, begin + 1, begin, 77, 20, begin + 1};
  TextTask task(*files.model, {all_learned(ids.data(), 9)}, {}, 512, true, lora.clock());
  TrainerOptions options;
  options.schedule = {.name = "constant", .learning_rate = 2e-2, .total_steps = 40};
  Trainer trainer(task, parameters, options);
  const double first = trainer.run_step().loss;
  double last = 0;
  while (!trainer.done()) last = trainer.run_step().loss;
  EXPECT_LT(last, 0.5 * first);
  EXPECT_NE(parameters.back().value.to_vector(), before.to_vector());
  lora.clock()->on = false;
  const auto logits = [&](const models::LanguageModel& of) {
    const auto state = of.new_state();
    return of.forward(ids, *state, models::LogitsFor::all);
  };
  const Tensor trained = logits(*files.model);

  lora.save(folder.path(), tokens.modules());
  nn::LoraFile file(folder.path());
  models::OpenOptions with;
  with.compute = open.compute;
  with.lora = file.packed();
  with.token_rows = file.token_rows();
  const auto adapted = models::open_language_model(model, with);
  file.check_all_used();
  expect_close(logits(*adapted.model), trained, 2e-4, "opened with the adapter");
  models::merge_adapter(model, folder.path(), folder / "merged", DType::f32);
  models::OpenOptions again;
  again.compute = open.compute;
  const auto merged = models::open_language_model(folder / "merged", again);
  EXPECT_EQ(merged.model->vocab_size(), begin + 2);
  expect_close(logits(*merged.model), trained, 5e-4, "merged");
}

INSTANTIATE_TEST_SUITE_P(
    Models, AddedTokens,
    testing::Values(std::tuple{"llama", "plain"}, std::tuple{"llama", "packed"},
                    std::tuple{"llama", "spare"}, std::tuple{"llama_tied", "plain"},
                    std::tuple{"llama_tied", "packed"}),
    [](const auto& param) {
      return std::string(std::get<0>(param.param)) + "_" + std::get<1>(param.param);
    });

TEST(Loss, OfSeveralTextsInARowIsThatOfEach) {
  for (const char* name : {"llama", "gpt2", "mpt", "mistral", "bloom"}) {
    models::OpenOptions open;
    open.trainable = true;
    const auto files = models::open_language_model(kModels + name, open);
    const std::vector<int32_t> ids = {5, 9, 3, 77, 20, 41, 8, 100, 6, 13, 14, 15, 90, 2, 7};
    const TrainingText a = all_learned(ids.data(), 4), b = all_learned(ids.data() + 4, 11);
    const double loss_a = files.model->loss(join({&a}), false).f32()[0];
    const double loss_b = files.model->loss(join({&b}), false).f32()[0];
    EXPECT_NEAR(files.model->loss(join({&a, &b}), true).f32()[0], (3 * loss_a + 10 * loss_b) / 13,
                2e-5 * loss_a)
        << name;
  }
}

// Adapters of a plain and of a packed model: at first nothing changes, the loss falls, and what is
// saved gives the same logits when it is opened or merged.
class Adapter : public testing::TestWithParam<std::tuple<const char*, const char*>> {};

TEST_P(Adapter, LearnsAndIsOpenedAndMerged) {
  const auto [name, form] = GetParam();
  const bool packed = std::string(form) == "packed";
  const std::string model =
      std::string(name).rfind("gguf", 0) == 0 ? kModels + name + "/model.gguf" : kModels + name;
  const cli::Folder folder;
  nn::LoraConfig config;
  config.rank = 4;
  config.alpha = 8;
  config.dropout = 0.1;
  config.targets = {kAllLinear};
  TrainableLora lora(config, LoraInit::kaiming, 3);
  models::OpenOptions open;
  open.frozen = !packed;
  open.lora = lora.source();
  const auto files = models::open_language_model(model, open);
  lora.check_targets();
  models::OpenOptions plain;
  plain.compute = packed ? models::ComputeType::automatic : models::ComputeType::f32;
  const std::vector<int32_t> ids = {5, 9, 3, 77, 20, 41, 8, 100};
  const auto logits = [&](const models::LanguageModel& of) {
    const auto state = of.new_state();
    return of.forward(ids, *state, models::LogitsFor::all);
  };
  expect_close(logits(*files.model), logits(*models::open_language_model(model, plain).model), 1e-4,
               "a fresh adapter");

  TextTask task(*files.model, {all_learned(ids.data(), 8)}, {}, 512, true, lora.clock());
  TrainerOptions options;
  options.schedule = {.name = "constant", .learning_rate = 2e-2, .total_steps = 60};
  Trainer trainer(task, lora.parameters(), options);
  const double before = trainer.run_step().loss;
  double after = 0;
  while (!trainer.done()) after = trainer.run_step().loss;
  EXPECT_LT(after, 0.5 * before);
  lora.clock()->on = false;
  const Tensor trained = logits(*files.model);

  lora.save(folder.path());
  nn::LoraFile file(folder.path());
  models::OpenOptions with = plain;
  with.lora = file.packed();
  const auto adapted = models::open_language_model(model, with);
  file.check_all_used();
  expect_close(logits(*adapted.model), trained, 2e-4, "opened with the adapter");
  if (fs::is_directory(model)) {
    models::merge_adapter(model, folder.path(), folder / "merged", DType::f32);
    const auto merged = models::open_language_model(folder / "merged", plain);
    expect_close(logits(*merged.model), trained, packed ? 1 : 5e-4, "merged");
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Adapter,
    testing::Values(std::tuple{"llama", "plain"}, std::tuple{"gpt2", "plain"},
                    std::tuple{"gpt_neox", "plain"}, std::tuple{"gguf_llama_q8_0", "packed"},
                    std::tuple{"gguf_llama_q4_0", "packed"}, std::tuple{"llama", "packed"}),
    [](const auto& param) {
      return std::string(std::get<0>(param.param)) + "_" + std::get<1>(param.param);
    });

TEST(Adapter, UnknownTargetsAreRefusedWithThoseThereAre) {
  nn::LoraConfig config;
  config.targets = {"q_proj", "c_attn"};
  TrainableLora lora(config, LoraInit::gaussian, 1);
  models::OpenOptions open;
  open.lora = lora.source();
  const auto files = models::open_language_model(kModels + "llama", open);
  try {
    lora.check_targets();
    ADD_FAILURE();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("c_attn"), std::string::npos) << message;
    EXPECT_NE(message.find("down_proj"), std::string::npos) << message;
  }
}

TEST(Pieces, OfABatchGiveTheStepOfTheWhole) {
  const std::vector<int32_t> ids = {5, 9, 3, 77, 20, 41, 8, 100, 6, 13, 14, 15, 90, 2, 7};
  const std::vector<TrainingText> texts = {all_learned(ids.data(), 4), all_learned(ids.data() + 4, 8),
                                           all_learned(ids.data() + 12, 3)};
  std::vector<double> losses;
  for (const int64_t tokens_at_once : {1000, 11, 1}) {
    models::OpenOptions open;
    open.trainable = true;
    const auto files = models::open_language_model(kModels + "llama", open);
    TextTask task(*files.model, texts, {}, tokens_at_once, false, nullptr);
    const std::vector<int64_t> batch = {0, 1, 2};
    EXPECT_EQ(task.pieces(batch).size(), tokens_at_once == 1000 ? 1u : tokens_at_once == 11 ? 2u : 3u);
    std::vector<Parameter> parameters;
    for (const auto& [name, tensor] : files.model->parameters()) parameters.push_back({name, tensor});
    TrainerOptions options;
    options.batch_size = 3;
    options.schedule = {.name = "constant", .learning_rate = 1e-2, .total_steps = 3};
    Trainer trainer(task, parameters, options);
    while (!trainer.done()) losses.push_back(trainer.run_step().loss);
    EXPECT_NEAR(mean_loss(task, 3, false), mean_loss(task, 1, false), 1e-5);
  }
  for (size_t i = 3; i < losses.size(); ++i) EXPECT_NEAR(losses[i], losses[i % 3], 1e-4 * losses[i % 3]);
}

TEST(Order, EachEpochIsAnotherPermutation) {
  ExampleOrder order(7, 42), again(7, 42);
  std::vector<std::vector<int64_t>> epochs(3);
  for (int64_t place = 0; place < 21; ++place)
    epochs[static_cast<size_t>(place / 7)].push_back(order.at(place));
  EXPECT_EQ(again.at(15), epochs[2][1]);  // a place alone says it
  EXPECT_NE(epochs[0], epochs[1]);
  for (auto& epoch : epochs) {
    std::sort(epoch.begin(), epoch.end());
    EXPECT_EQ(epoch, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}));
  }
}

TextTrainingOptions tiny_run(const cli::Folder& model, const std::string& data,
                             const std::string& folder, const std::string& method) {
  TextTrainingOptions options;
  options.model = model.path();
  options.data = data;
  options.method = method;
  options.lora.rank = 4;
  options.lora.dropout = 0.2;
  options.lora.targets = {kAllLinear};
  options.eval_split = 0.2;
  options.trainer.batch_size = 2;
  options.trainer.accumulation = 2;
  options.trainer.ema_decay = 0.5;
  options.trainer.schedule.learning_rate = 5e-3;
  options.steps = 12;
  options.warmup_ratio = 0.2;
  options.samples = 0;
  options.run.folder = folder;
  options.run.save_every = 5;
  options.run.log_every = 1;
  return options;
}

void write_dialogues(const std::string& path) {
  std::string lines;
  for (int i = 0; i < 10; ++i)
    lines += fmt::format(
        R"({{"messages": [{{"role": "user", "content": "{0}?"}}, {{"role": "assistant", "content": "it is {1}"}}]}})"
        "\n",
        i, i * i);
  cli::spill(path, lines);
}

class Resume : public testing::TestWithParam<const char*> {};

TEST_P(Resume, StoppedAndGoneOnIsAsNeverStopped) {
  const cli::ModelFolder model;
  const cli::Folder folder;
  write_dialogues(folder / "data.jsonl");
  const std::atomic<bool> never{false};
  const std::string weights =
      std::string(GetParam()) == "full" ? "/model.safetensors" : "/adapter_model.safetensors";
  TextTrainingOptions whole = tiny_run(model, folder / "data.jsonl", folder / "whole", GetParam());
  double first = 0, last = 0;
  RunHooks hooks;
  hooks.evaluated = [&](int64_t step, double loss) { (step == 0 ? first : last) = loss; };
  EXPECT_TRUE(TextTraining(whole).run(hooks, {}, never));
  EXPECT_LT(last, first);

  TextTrainingOptions cut = whole;
  cut.run.folder = folder / "cut";
  for (const int64_t stop_after : {1, 7, 100}) {
    std::atomic<bool> stop{false};
    RunHooks stopping;
    stopping.progress = [&](const RunProgress& p) { stop = p.report.step >= stop_after; };
    TextTraining training(cut);
    EXPECT_EQ(training.run(stopping, {}, stop), stop_after == 100);
    cut.run.resume = true;
  }
  EXPECT_EQ(cli::slurp(folder / "cut" + weights), cli::slurp(folder / "whole" + weights));
  for (const char* file : {"weights", "optimizer", "ema"}) {
    const std::string part = std::string("/checkpoint-12/") + file + ".safetensors";
    EXPECT_EQ(cli::slurp(folder / "cut" + part), cli::slurp(folder / "whole" + part)) << file;
  }
  cut.trainer.schedule.learning_rate = 1e-3;
  try {
    TextTraining(cut).run({}, {}, never);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("learning_rate"), std::string::npos) << error.what();
  }
  cut.run.resume = false;
  EXPECT_THROW(TextTraining(cut).run({}, {}, never), Error);
}

INSTANTIATE_TEST_SUITE_P(Methods, Resume, testing::Values("full", "lora", "qlora"),
                         [](const auto& param) { return std::string(param.param); });

TEST(Checkpoints, KeepTheLastAndSweepLeftovers) {
  const cli::Folder folder;
  fs::create_directory(folder / ".writing-1");
  fs::create_directory(folder / ".removing-1");
  Checkpoints checkpoints(folder.path(), 2);
  EXPECT_FALSE(checkpoints.latest());
  for (const int64_t step : {9, 10, 100})
    checkpoints.save(step, 10, [&](const std::string& to) { cli::spill(to + "/a", "x"); });
  EXPECT_EQ(checkpoints.latest(), 100);
  size_t entries = 0;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    ++entries;
    EXPECT_TRUE(entry.path().filename() == "checkpoint-10" ||
                entry.path().filename() == "checkpoint-100");
  }
  EXPECT_EQ(entries, 2u);
  try {
    checkpoints.save(101, size_t{1} << 60, [](const std::string&) { FAIL(); });
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("MB are free"), std::string::npos);
  }
  // A write that fails leaves what was there.
  EXPECT_THROW(checkpoints.save(102, 1, [](const std::string&) { fail("no"); }), Error);
  EXPECT_EQ(checkpoints.latest(), 100);
}

}  // namespace
}  // namespace sumi::train
