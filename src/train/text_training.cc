#include "train/text_training.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "formats/json.h"
#include "models/language/export.h"
#include "train/checkpoints.h"

namespace sumi::train {
namespace {

// FNV-1a: whether a run goes on with the data it began with.
uint64_t hash_of(const std::string& path) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : formats::read_text_file(path, size_t{4} << 30))
    hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  return hash;
}

// Every so many-th row of a shuffled order is held out.
void split(std::vector<TextRow>& rows, double share, uint64_t seed,
           std::vector<TextRow>& held_out) {
  const auto count = static_cast<int64_t>(rows.size());
  const auto out = static_cast<int64_t>(std::llround(share * static_cast<double>(count)));
  if (out < 1 || out >= count)
    fail("evaluation split: {} of {} rows leaves nothing to {}", share, count,
         out < 1 ? "evaluate" : "train on");
  ExampleOrder order(count, seed);
  std::vector<bool> is_out(rows.size(), false);
  for (int64_t i = 0; i < out; ++i) is_out[static_cast<size_t>(order.at(i))] = true;
  std::vector<TextRow> kept;
  for (size_t i = 0; i < rows.size(); ++i)
    (is_out[i] ? held_out : kept).push_back(std::move(rows[i]));
  rows = std::move(kept);
}

}  // namespace

void check_text_training(const TextTrainingOptions& o) {
  if (o.method != "full" && o.method != "lora" && o.method != "qlora")
    fail("method: expected full, lora or qlora, found {}", o.method);
  if (o.method == "qlora" && o.products == ops::Products::bf16)
    fail("dtype: a packed model computes in the types it is stored in; bf16 is for full and lora");
  if (!o.chat_template.empty() && o.chat_template != "chatml")
    fail("chat template: expected chatml, found {}", o.chat_template);
  if (!o.eval_data.empty() && o.eval_split > 0)
    fail("evaluation data are given twice: as a file and as a share of the data");
  if (!(o.eval_split >= 0 && o.eval_split < 1))
    fail("evaluation split: expected 0 to less than 1, found {}", o.eval_split);
  if (o.max_length < 2) fail("maximal length: expected 2 tokens or more, found {}", o.max_length);
  if (o.tokens_at_once < 0)
    fail("tokens at once: expected 0 or more, found {}", o.tokens_at_once);
  if (!(o.warmup_ratio >= 0 && o.warmup_ratio <= 1))
    fail("warm-up ratio: expected 0 to 1, found {}", o.warmup_ratio);
  check_run(o.run, o.trainer, o.steps, o.epochs);
}

TextTraining::TextTraining(TextTrainingOptions options,
                           const std::function<void(double)>& load_progress)
    : options_(std::move(options)) {
  check_text_training(options_);
  std::vector<TextRow> rows = read_text_rows(options_.data), held_out;
  if (!options_.eval_data.empty()) {
    held_out = read_text_rows(options_.eval_data);
    if (held_out[0].kind != rows[0].kind)
      fail("{}: has other columns than {}", options_.eval_data, options_.data);
  } else if (options_.eval_split > 0) {
    split(rows, options_.eval_split, options_.trainer.seed, held_out);
  }
  data_hash_ = hash_of(options_.data);

  const bool full = options_.method == "full";
  // Each piece of a batch costs a pass over the gradients, which adapters hardly have, and over the weights, which take
  // longer to unpack than plain ones.
  const bool packed = !full && options_.products == ops::Products::f32;
  if (options_.tokens_at_once == 0) options_.tokens_at_once = full ? 2048 : packed ? 512 : 256;
  const std::string path = models::resolve_model(options_.model);
  if (full) models::check_exportable(path, "training all weights");
  models::OpenOptions open;
  open.trainable = full;
  open.products = options_.products;
  open.frozen = !full && !packed;
  open.separate_parts = packed;
  // As they are stored, frozen weights take least memory: `lora` multiplies the numbers that they stand for.
  if (options_.method == "lora") open.compute = models::ComputeType::f32;
  open.progress = load_progress;
  if (!full) {
    options_.lora.base_model = options_.model;
    lora_ =
        std::make_unique<TrainableLora>(options_.lora, options_.lora_init, options_.trainer.seed);
    open.lora = lora_->source();
  }
  std::unique_ptr<text::Tokenizer> chat_tokenizer = add_chat_tokens(path, open);
  files_ = models::open_language_model(options_.model, open);
  if (lora_) lora_->check_targets();
  if (tokens_) tokens_->check_used();
  if (chat_tokenizer) files_.tokenizer = std::move(chat_tokenizer);
  if (!files_.tokenizer) fail("{}: the model has no tokenizer", files_.path);
  if (options_.max_length > files_.model->max_positions())
    options_.max_length = files_.model->max_positions();
  prepare_texts(rows, held_out);
  choose_samples(held_out.empty() ? rows : held_out);

  std::vector<Parameter> parameters;
  if (lora_) {
    parameters = lora_->parameters();
    if (tokens_)
      for (Parameter& rows : tokens_->parameters()) parameters.push_back(std::move(rows));
  } else {
    for (const auto& [name, tensor] : files_.model->parameters())
      parameters.push_back({name, tensor});
    decay_matrices_only(parameters);
  }
  TrainerOptions& trainer = options_.trainer;
  trainer.schedule.total_steps =
      options_.steps > 0 ? options_.steps
                         : steps_for_epochs(options_.epochs, task_->size(), trainer);
  if (options_.warmup_ratio > 0 && trainer.schedule.warmup_steps == 0)
    trainer.schedule.warmup_steps = static_cast<int64_t>(
        std::ceil(options_.warmup_ratio * static_cast<double>(trainer.schedule.total_steps)));
  sizes_.steps = trainer.schedule.total_steps;
  sizes_.trained_weights = count_weights(parameters);
  sizes_.model_bytes = files_.model->weight_bytes();
  sizes_.gradient_bytes = static_cast<size_t>(sizes_.trained_weights) * sizeof(float);
  trainer_ = std::make_unique<Trainer>(*task_, std::move(parameters), trainer);
  sizes_.optimizer_bytes = trainer_->optimizer_bytes();
}

// ChatML's tokenizer, from files as the result will have them; null if the model keeps its own.
std::unique_ptr<text::Tokenizer> TextTraining::add_chat_tokens(const std::string& path,
                                                               models::OpenOptions& open) {
  if (options_.chat_template.empty()) return nullptr;
  const base::TemporaryFolder folder;
  const ChatTokens added = write_chatml_tokenizer(path, folder.path());
  if (added.count > 0) {
    tokens_ = std::make_unique<TokenTraining>(added.begin, added.count, options_.method == "full",
                                              options_.trainer.seed);
    open.token_rows = tokens_->source();
  }
  return text::open_tokenizer(folder.path());
}

std::vector<TrainingText> TextTraining::tokenized(const std::vector<TextRow>& rows,
                                                  const text::ChatTemplate* chat_template,
                                                  int64_t* left_out) {
  std::vector<TrainingText> texts;
  for (const TextRow& row : rows) {
    std::vector<TrainingText> pieces =
        cut(tokenize_row(row, *files_.tokenizer, chat_template), options_.max_length);
    if (pieces.empty()) ++*left_out;
    std::move(pieces.begin(), pieces.end(), std::back_inserter(texts));
  }
  return texts;
}

void TextTraining::prepare_texts(const std::vector<TextRow>& rows,
                                 const std::vector<TextRow>& held_out) {
  std::optional<text::ChatTemplate> chat_template;
  if (rows[0].kind == TextRow::Kind::messages && files_.tokenizer->chat_template.empty())
    fail("{}: the model has no chat template for messages: it may be a base model, which can be given "
         "one (--chat-template chatml)",
         files_.path);
  if (rows[0].kind == TextRow::Kind::messages)
    chat_template.emplace(generate::open_chat_template(*files_.tokenizer, files_.path));
  const text::ChatTemplate* format = chat_template ? &*chat_template : nullptr;
  std::vector<TrainingText> texts = tokenized(rows, format, &sizes_.left_out);
  if (texts.empty()) fail("{}: none of the rows has a token to learn", options_.data);
  for (const TrainingText& text : texts) {
    sizes_.tokens += static_cast<int64_t>(text.ids.size());
    sizes_.targets += text.targets();
  }
  sizes_.texts = static_cast<int64_t>(texts.size());
  std::vector<std::vector<int64_t>> groups;
  if (options_.packing) groups = pack(texts, options_.max_length);
  const auto clock = lora_ ? lora_->clock() : nullptr;
  task_ = std::make_unique<TextTask>(*files_.model, std::move(texts), std::move(groups),
                                     options_.tokens_at_once, options_.checkpoint_blocks, clock);
  if (held_out.empty()) return;
  int64_t ignored = 0;
  std::vector<TrainingText> eval_texts = tokenized(held_out, format, &ignored);
  sizes_.eval_texts = static_cast<int64_t>(eval_texts.size());
  if (eval_texts.empty()) fail("none of the rows held out has a token to predict");
  eval_task_ = std::make_unique<TextTask>(*files_.model, std::move(eval_texts),
                                          std::vector<std::vector<int64_t>>(), options_.tokens_at_once,
                                          false, clock);
}

void TextTraining::choose_samples(const std::vector<TextRow>& rows) {
  for (const TextRow& row : rows)
    if (static_cast<int64_t>(sample_rows_.size()) < options_.samples) sample_rows_.push_back(row);
}

// The model's own continuation: of a dialogue, its answer to the first question.
Sample TextTraining::sample(size_t index, const std::atomic<bool>& cancel) {
  const TextRow& row = sample_rows_[index];
  Sample out;
  std::vector<int32_t> prompt;
  if (row.kind == TextRow::Kind::messages) {
    size_t answer = 0;
    while (row.messages[answer].role != "assistant") ++answer;
    const std::vector<generate::ChatMessage> before(
        row.messages.begin(), row.messages.begin() + static_cast<int64_t>(answer));
    out.prompt = before.empty() ? "" : before.back().content;
    out.expected = row.messages[answer].content;
    prompt = generate::chat_prompt_ids(
        before, *files_.tokenizer, generate::open_chat_template(*files_.tokenizer, files_.path));
  } else {
    out.prompt = row.kind == TextRow::Kind::prompt ? row.prompt : row.text.substr(0, 40);
    out.expected = row.kind == TextRow::Kind::prompt
                       ? row.text
                       : row.text.substr(std::min<size_t>(40, row.text.size()));
    prompt = files_.tokenizer->encode(out.prompt, {.add_special = true, .parse_special = false});
  }
  if (prompt.empty()) return out;
  generate::Generator generator(*files_.model, files_.tokenizer.get());
  generate::GenerateOptions generation;
  generation.max_tokens = std::clamp<int64_t>(
      generate::room_after(*files_.model, static_cast<int64_t>(prompt.size())), 1,
      options_.sample_tokens);
  generation.sampling.temperature = 0;
  generation.cancel = &cancel;
  out.answer = generator.generate(prompt, generation).text;
  return out;
}

// What a run that goes on must have in common with the one that began.
nlohmann::json TextTraining::identity() const {
  nlohmann::json identity = trainer_identity(options_.trainer);
  identity.update({{"task", "text"},
                   {"method", options_.method},
                   {"chat_template", options_.chat_template},
                   {"dtype", options_.products == ops::Products::bf16 ? "bf16" : "f32"},
                   {"data", data_hash_},
                   {"texts", sizes_.texts},
                   {"eval_split", options_.eval_split},
                   {"max_length", options_.max_length},
                   {"packing", options_.packing},
                   {"tokens_at_once", options_.tokens_at_once},
                   {"weights", sizes_.trained_weights}});
  if (lora_) identity.update(lora_identity(options_.lora));
  return identity;
}

void TextTraining::write_result() {
  const AveragedWeights averaged(trainer_->ema());
  const std::string& folder = options_.run.folder;
  if (lora_) {
    lora_->save(folder, tokens_ ? tokens_->modules()
                                : std::vector<std::pair<std::string, nn::TokenRows>>());
  } else {
    check_disk_space(folder, sizes_.gradient_bytes);
    models::write_model_folder(*files_.model, files_.path, folder, options_.save_dtype);
  }
  if (!options_.chat_template.empty()) write_chatml_tokenizer(files_.path, folder);
}

bool TextTraining::run(RunHooks hooks, const std::function<void(int64_t, const Sample&)>& on_sample,
                       const std::atomic<bool>& cancel) {
  if (eval_task_)
    hooks.evaluate = [&] { return mean_loss(*eval_task_, options_.trainer.batch_size, cancel); };
  if (on_sample && !sample_rows_.empty())
    hooks.sample = [&](int64_t step) {
      const AveragedWeights averaged(trainer_->ema());
      if (lora_) lora_->clock()->on = false;
      for (size_t i = 0; i < sample_rows_.size() && !cancel; ++i)
        on_sample(step, sample(i, cancel));
    };
  const bool finished = train::run(*trainer_, options_.run, identity(), hooks, cancel);
  if (finished) write_result();
  return finished;
}

}  // namespace sumi::train
