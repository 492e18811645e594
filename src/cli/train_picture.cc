// Flags and course of the verbs that train picture models.

#include "cli/train_picture.h"

#include "base/large_blocks.h"
#include "base/progress.h"

namespace sumi::cli {

namespace {

void describe(const train::PictureTrainingSizes& s) {
  note(fmt::format("{} pictures{}{}", s.pictures,
                   s.class_pictures > 0 ? fmt::format(", {} of the class", s.class_pictures) : "",
                   s.eval_pictures > 0 ? fmt::format("; {} held out", s.eval_pictures) : ""));
  note(fmt::format("{} steps; {} weights are trained", s.steps, s.trained_weights));
}

}  // namespace

int run_picture_training(PictureFlags flags) {
  train::PictureTrainingOptions& o = flags.options;
  o.trainer.schedule.learning_rate = flags.learning_rate.value_or(flags.usual_rate);
  o.cache = !flags.no_cache && !o.loss.random_crop;
  if (flags.dtype == "bf16") o.nets.products = ops::Products::bf16;
  o.save_dtype = save_dtype(flags.save_dtype);
  if (o.nets.lora && o.nets.lora_config.alpha == 0)
    o.nets.lora_config.alpha = static_cast<double>(o.nets.lora_config.rank);
  check_optimizer_flags(o.trainer.optimizer);
  set_threads(flags.compute);
  if (o.nets.checkpoint_blocks) base::return_large_blocks();
  const std::atomic<bool>& stop = stop_on_signals();
  auto encoding = std::make_unique<base::Progress>("encoding pictures and prompts");
  train::PictureTrainingHooks opening;
  opening.class_picture = [](int64_t drawn, int64_t of) {
    note(fmt::format("drew class picture {} of {}", drawn, of));
  };
  opening.caching = [&](double share) {
    if (stop) throw train::Cancelled();
    encoding->update(share);
  };
  opening.cache_was_there = [] { note("pictures and prompts were encoded before"); };
  try {
    train::PictureTraining training(o, flags.dry_run, opening, stop);
    encoding.reset();
    describe(training.sizes());
    if (flags.dry_run) return dry_run(training.trainer(), training.sizes(), "pictures");
    train::RunHooks hooks;
    hooks.progress = [](const train::RunProgress& p) { print_progress(p, "pictures"); };
    hooks.evaluated = [](int64_t step, double loss) {
      note(fmt::format("step {}: held-out loss {:.5f}", step, loss));
    };
    hooks.saved = [](int64_t, const std::string& path) { note("saved " + path); };
    const auto sampled = [](const std::string& path) { note("drew " + path); };
    if (!training.run(hooks, sampled, stop)) {
      note(fmt::format("stopped at step {}; go on with the same command and --resume",
                       training.trainer().step()));
      return 130;
    }
  } catch (const train::Cancelled&) {
    note("stopped before the first step");
    return 130;
  }
  write_out(fmt::format("{}: {} written\n", o.run.folder,
                        train::PictureNets::result_name(o.nets)));
  return 0;
}

void add_picture_flags(CLI::App& verb, PictureFlags& flags, bool data_set) {
  train::PictureTrainingOptions& o = flags.options;
  o.trainer.schedule.name = "constant";  // as diffusers' scripts
  verb.add_option("MODEL", o.model, "Model: a diffusers folder")->required();
  const char* data = "Data";
  if (data_set) {
    verb.add_option("--data", o.data,
                    "Folder with metadata.jsonl or metadata.csv, or a WebDataset .tar")
        ->required()
        ->type_name("PATH")
        ->group(data);
    verb.add_option("--eval-data", o.eval_data, "Pictures to measure the loss on, and to draw")
        ->type_name("PATH")
        ->group(data);
    verb.add_option("--image-column", o.columns.image, "Name of the column (image, file_name)")
        ->type_name("NAME")
        ->group(data);
    verb.add_option("--prompt-column", o.columns.prompt, "Name of the column (prompt, text)")
        ->type_name("NAME")
        ->group(data);
  }
  verb.add_option("--resolution", o.resolution, "Pixels of a side (default: the model's)")
      ->check(in_range<int64_t>(1, 8192))
      ->type_name("N")
      ->group(data);
  verb.add_flag("--random-flip", o.loss.random_flip, "Mirror half of the pictures")->group(data);
  verb.add_flag("--random-crop", o.loss.random_crop,
                "Cut anywhere, not from the middle; nothing can be encoded in advance")
      ->group(data);
  verb.add_flag("--no-cache", flags.no_cache,
                "Encode pictures and prompts in each step, not once into DIR/cache.safetensors")
      ->group(data);
  const char* loss = "Loss";
  verb.add_option("--snr-gamma", o.loss.snr_gamma, "Min-SNR weights, 5 is usual (default: none)")
      ->check(in_range(0.0, 1000.0))
      ->type_name("G")
      ->group(loss);
  verb.add_option("--noise-offset", o.loss.noise_offset, "Noise of whole channels, 0.1 is usual")
      ->check(in_range(0.0, 1.0))
      ->type_name("X")
      ->group(loss);
  verb.add_option("--learning-rate", flags.learning_rate,
                  fmt::format("At its highest (default: {})", flags.usual_rate))
      ->type_name("X");
  verb.add_option("--epochs", o.epochs, "Times through the data")
      ->capture_default_str()
      ->type_name("X");
  verb.add_option("--steps", o.steps, "Or this many steps")
      ->check(at_least<int64_t>(1))
      ->type_name("N");
  verb.add_flag("--checkpoint-activations", o.nets.checkpoint_blocks,
                "Less memory: what is inside the blocks is computed twice");
  verb.add_option("--dtype", flags.dtype,
                  "What products and convolutions are computed in: f32 (default), or bf16, with frozen weights kept "
                  "in bf16 and trained ones in f32")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->type_name("TYPE");
  verb.add_option("--save-dtype", flags.save_dtype, "Type of the result: f32, f16 or bf16")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}))
      ->capture_default_str()
      ->type_name("TYPE");
  const char* samples = "Samples";
  verb.add_option("--samples", o.samples, "Pictures to draw, for the first prompts (0: none)")
      ->check(in_range<int64_t>(0, 64))
      ->capture_default_str()
      ->type_name("N")
      ->group(samples);
  verb.add_option("--sample-every", o.run.sample_every, "Steps between them (default: at the end)")
      ->check(at_least<int64_t>(1))
      ->type_name("N")
      ->group(samples);
  verb.add_option("--sample-steps", o.sample_steps, "Steps from noise to picture")
      ->check(in_range<int64_t>(1, 1000))
      ->capture_default_str()
      ->type_name("N")
      ->group(samples);
  verb.add_option("--sample-guidance", o.sample_guidance, "Guidance scale; 1: none")
      ->check(in_range(0.0, 1000.0))
      ->capture_default_str()
      ->type_name("X")
      ->group(samples);
  if (data_set)
    verb.add_option("--eval-every", o.run.evaluate_every,
                    "Steps between measurements of the held-out loss (default: first and last)")
        ->check(at_least<int64_t>(1))
        ->type_name("N")
        ->group(samples);
  verb.add_flag("--dry-run", flags.dry_run,
                "Make a few steps, print memory and time, write nothing");
  add_trainer_flags(verb, o.trainer, o.run);
  add_threads_flag(verb, flags.compute);
}

std::vector<const CLI::Option*> add_picture_lora_flags(CLI::App& verb, PictureFlags& flags) {
  nn::LoraConfig& lora = flags.options.nets.lora_config;
  lora.rank = 4;
  lora.targets = {"to_q", "to_k", "to_v", "to_out.0"};
  const char* group = "Adapter";
  std::vector<const CLI::Option*> options;
  options.push_back(verb.add_option("--rank", lora.rank, "Rank of the adapter's matrices")
                        ->check(in_range<int64_t>(1, 4096))
                        ->capture_default_str()
                        ->type_name("N")
                        ->group(group));
  lora.alpha = 0;  // the rank
  options.push_back(verb.add_option("--alpha", lora.alpha,
                                    "The change is scaled by alpha / rank (default: the rank)")
                        ->check(at_least(0.0))
                        ->type_name("X")
                        ->group(group));
  options.push_back(verb.add_option("--lora-dropout", lora.dropout,
                                    "Share of inputs that an adapter does not see in a step")
                        ->check(in_range(0.0, 0.99))
                        ->type_name("X")
                        ->group(group));
  options.push_back(verb.add_option("--target-modules", lora.targets,
                                    "Linear layers of the UNet with an adapter; all-linear: all")
                        ->delimiter(',')
                        ->capture_default_str()
                        ->type_name("NAMES")
                        ->group(group));
  return options;
}

}  // namespace sumi::cli
