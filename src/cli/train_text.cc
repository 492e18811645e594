// sumi train text: fine-tuning of language models.

#include <cmath>

#include "base/progress.h"
#include "cli/train.h"
#include "text/unicode.h"
#include "train/text_training.h"

namespace sumi::cli {

namespace {

struct Flags {
  train::TextTrainingOptions options;
  std::optional<double> learning_rate;
  bool gaussian = false, dry_run = false;
  std::string save_dtype = "f32", dtype = "f32";
  ComputeFlags compute;
};

void describe(const train::TextTrainingSizes& s) {
  note(fmt::format("{} texts, {} tokens, {} of them to learn{}{}", s.texts, s.tokens, s.targets,
                   s.eval_texts > 0 ? fmt::format("; {} texts held out", s.eval_texts) : "",
                   s.left_out > 0 ? fmt::format("; {} rows have nothing to learn", s.left_out)
                                  : ""));
  note(fmt::format("{} steps; {} weights are trained", s.steps, s.trained_weights));
}

// The beginning of a long text, cut between characters.
std::string beginning(const std::string& whole) {
  constexpr size_t kMost = 500;
  if (whole.size() <= kMost) return whole;
  const size_t end = text::finished_utf8(std::string_view(whole).substr(0, kMost));
  return fmt::format("{} ... ({} more bytes)", whole.substr(0, end), whole.size() - end);
}

void print_sample(int64_t step, const train::Sample& sample) {
  note(fmt::format("--- step {}: {}\n{}\n--- expected: {}", step, beginning(sample.prompt), sample.answer,
                   beginning(sample.expected)));
}

int run_train_text(Flags flags, const std::vector<const CLI::Option*>& lora_only) {
  train::TextTrainingOptions& o = flags.options;
  if (o.method == "full") refuse_given(lora_only, "is for adapters, not for --method full");
  if (o.method != "full" && flags.save_dtype != "f32")
    throw CLI::ValidationError("--save-dtype", "is for --method full");
  check_optimizer_flags(o.trainer.optimizer);
  if (flags.gaussian) o.lora_init = train::LoraInit::gaussian;
  if (flags.dtype == "bf16") o.products = ops::Products::bf16;
  o.save_dtype = save_dtype(flags.save_dtype);
  // transformers' and trl's SFT for all weights; peft's examples and StarChat's for adapters.
  o.trainer.schedule.learning_rate =
      flags.learning_rate.value_or(o.method == "full" ? 2e-5 : 2e-4);
  train::check_text_training(o);
  set_threads(flags.compute);
  auto progress = std::make_unique<base::Progress>("loading the model");
  train::TextTraining training(o, [&](double fraction) { progress->update(fraction); });
  progress.reset();
  describe(training.sizes());
  if (flags.dry_run) return dry_run(training.trainer(), training.sizes(), "tokens");

  const std::atomic<bool>& stop = stop_on_signals();
  train::RunHooks hooks;
  double first_loss = 0, last_loss = 0;
  bool evaluated = false;
  hooks.progress = [](const train::RunProgress& p) { print_progress(p, "tokens"); };
  hooks.evaluated = [&](int64_t step, double loss) {
    note(fmt::format("step {}: held-out loss {:.4f}, perplexity {:.3f}", step, loss,
                     std::exp(loss)));
    if (!evaluated) first_loss = loss;
    evaluated = true;
    last_loss = loss;
  };
  hooks.saved = [](int64_t, const std::string& path) { note("saved " + path); };
  std::function<void(int64_t, const train::Sample&)> on_sample;
  if (o.samples > 0) on_sample = print_sample;
  if (!training.run(hooks, on_sample, stop)) {
    note(fmt::format("stopped at step {}; go on with the same command and --resume",
                     training.trainer().step()));
    return 130;
  }
  write_out(o.run.folder + (o.method == "full" ? ": model written" : ": adapter written"));
  if (evaluated) write_out(fmt::format("; held-out loss {:.4f} -> {:.4f}", first_loss, last_loss));
  write_out("\n");
  return 0;
}

}  // namespace

void add_train_text(CLI::App& train_verb, Run& run) {
  auto flags = std::make_shared<Flags>();
  train::TextTrainingOptions& o = flags->options;
  o.lora.rank = 16;
  o.lora.alpha = 32;
  o.lora.targets = {train::kAllLinear};
  o.trainer.batch_size = 4;
  CLI::App* verb = train_verb.add_subcommand("text", "Fine-tune a language model");
  verb->add_option("MODEL", o.model, "Model: a file, a folder or a name")->required();
  verb->add_option("--data", o.data,
                   "JSON lines: {\"messages\"}, {\"prompt\", \"completion\"} or {\"text\"} each")
      ->required()
      ->type_name("FILE");
  verb->add_option("--eval-data", o.eval_data, "Rows to measure the loss on")->type_name("FILE");
  verb->add_option("--eval-split", o.eval_split, "Or this share of the data, held out")
      ->check(in_range(0.0, 0.99))
      ->type_name("X");
  verb->add_option("--chat-template", o.chat_template,
                   "chatml: give a base model the tokens <|im_start|> and <|im_end|> and a template of "
                   "them (default: the model's own)")
      ->check(CLI::IsMember({"chatml"}))
      ->type_name("NAME");
  verb->add_option("--method", o.method,
                   "full (all weights), lora (an adapter), qlora (an adapter; activations are rounded to "
                   "int8 beside a quantized model's codes, as for answers: faster)")
      ->check(CLI::IsMember({"full", "lora", "qlora"}))
      ->capture_default_str()
      ->type_name("NAME");
  std::vector<const CLI::Option*> lora_only;
  const char* lora = "Adapter";
  lora_only.push_back(verb->add_option("--rank", o.lora.rank, "Rank of the adapter's matrices")
                          ->check(in_range<int64_t>(1, 4096))
                          ->capture_default_str()
                          ->type_name("N")
                          ->group(lora));
  lora_only.push_back(verb->add_option("--alpha", o.lora.alpha, "The change is scaled by alpha / rank")
                          ->capture_default_str()
                          ->type_name("X")
                          ->group(lora));
  lora_only.push_back(verb->add_option("--lora-dropout", o.lora.dropout,
                                       "Share of inputs that an adapter does not see in a step")
                          ->check(in_range(0.0, 0.99))
                          ->capture_default_str()
                          ->type_name("X")
                          ->group(lora));
  lora_only.push_back(verb->add_option("--target-modules", o.lora.targets,
                                       "Layers with an adapter, such as q_proj,v_proj; all-linear: "
                                       "all but the head")
                          ->delimiter(',')
                          ->capture_default_str()
                          ->type_name("NAMES")
                          ->group(lora));
  lora_only.push_back(verb->add_flag("--rslora", o.lora.rank_stabilised,
                                     "Scale by alpha / sqrt(rank)")
                          ->group(lora));
  lora_only.push_back(
      verb->add_flag("--gaussian-init", flags->gaussian, "Normal A, not uniform")->group(lora));
  verb->add_option("--learning-rate", flags->learning_rate,
                   "At its highest (default: 2e-4 for adapters, 2e-5 for all weights)")
      ->type_name("X");
  verb->add_option("--epochs", o.epochs, "Times through the data")
      ->capture_default_str()
      ->type_name("X");
  verb->add_option("--steps", o.steps, "Or this many steps")
      ->check(at_least<int64_t>(1))
      ->type_name("N");
  verb->add_option("--warmup-ratio", o.warmup_ratio, "Share of the steps in which the rate rises")
      ->check(in_range(0.0, 1.0))
      ->capture_default_str()
      ->type_name("X");
  verb->add_option("--max-length", o.max_length, "Tokens of a text; longer ones are cut in pieces")
      ->check(at_least<int64_t>(2))
      ->capture_default_str()
      ->type_name("N");
  verb->add_option("--tokens-at-once", o.tokens_at_once,
                   "Texts of a batch go through the model together up to this many tokens, longer ones as "
                   "with --checkpoint-activations: memory against speed (default: 512 for adapters, 256 "
                   "with --dtype bf16, 2048 for all weights)")
      ->check(at_least<int64_t>(1))
      ->type_name("N");
  verb->add_flag("--packing", o.packing,
                 "Examples are groups of texts of together up to --max-length tokens");
  verb->add_flag("--checkpoint-activations", o.checkpoint_blocks,
                 "Less memory: what is inside the layers is computed twice");
  verb->add_option("--dtype", flags->dtype,
                   "What products are computed in: f32 (default), or bf16, with frozen weights kept in "
                   "bf16 and trained ones in f32")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->type_name("TYPE");
  verb->add_option("--save-dtype", flags->save_dtype, "Type of a whole model: f32, f16 or bf16")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str()
      ->type_name("TYPE");
  verb->add_option("--eval-every", o.run.evaluate_every,
                   "Steps between measurements of the held-out loss (default: first and last)")
      ->check(at_least<int64_t>(1))
      ->type_name("N");
  verb->add_option("--sample-every", o.run.sample_every,
                   "Steps between answers of the model (default: at the end)")
      ->check(at_least<int64_t>(1))
      ->type_name("N");
  verb->add_option("--samples", o.samples, "How many answers (0: none)")
      ->check(at_least<int64_t>(0))
      ->capture_default_str()
      ->type_name("N");
  verb->add_flag("--dry-run", flags->dry_run, "Make a few steps, print memory and time, write nothing");
  add_trainer_flags(*verb, o.trainer, o.run);
  add_threads_flag(*verb, flags->compute);
  verb->footer(
      "Of messages, the assistant's turns are learned, after the model's own chat template; of a "
      "prompt and its\n"
      "completion, the completion; of a text, all of it. Texts never see each other, packed or not. "
      "Ctrl-C and\n"
      "SIGTERM save a checkpoint; --resume goes on from the last one with the same bits as if "
      "nothing had\n"
      "happened. The result is an adapter as peft has it, for `sumi chat --adapter` and `sumi "
      "merge`, or with\n"
      "--method full a Hugging Face folder.\n\n"
      "Examples:\n"
      "  sumi train text SmolLM2-135M-Instruct --data d.jsonl --method qlora --eval-split 0.1 -o run\n"
      "  sumi train text folder --data d.jsonl --method full --optimizer adamw_8bit -o run\n"
      "  sumi train text base-folder --data d.jsonl --chat-template chatml -o run\n"
      "  sumi chat SmolLM2-135M-Instruct --adapter run\n"
      "  sumi plot run -o loss.svg");
  verb->callback([=, &run] { run = [=] { return run_train_text(*flags, lora_only); }; });
}

}  // namespace sumi::cli
