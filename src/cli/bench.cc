// sumi bench: the speed of a model, and what the machine allows.

#include <algorithm>
#include <random>

#include "base/cpu.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/threads.h"
#include "cli/bench_image.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "kernels/elementwise.h"
#include "kernels/limits.h"
#include "ops/work.h"

namespace sumi::cli {

namespace {

struct Flags {
  std::string model;
  int64_t prefill = 512, decode = 128, repeat = 3;
  bool limits = false, json = false;
  ComputeFlags compute;
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

int32_t most_likely(const Tensor& logits) {
  const float *row = logits.f32(), *end = row + logits.numel();
  const float largest = kernels::elementwise_kernels().maximum(row, logits.numel());
  return static_cast<int32_t>(std::min(std::find(row, end, largest), end - 1) - row);
}

int bench_limits(const Flags& flags) {
  set_threads(flags.compute);
  const kernels::MachineLimits limits = kernels::measure_limits();
  if (flags.json) {
    write_json({{"instructions", base::isa_name(base::active_isa())},
                {"processor", base::cpu_model_name()},
                {"threads", base::num_threads()},
                {"read_bytes_per_second", limits.read_bytes_per_second},
                {"int8_products_per_second", limits.int8_products_per_second},
                {"f32_products_per_second", limits.f32_products_per_second},
                {"bf16_products_per_second", limits.bf16_products_per_second},
                {"tile_int8_products_per_second", limits.tile_int8_products_per_second},
                {"tile_bf16_products_per_second", limits.tile_bf16_products_per_second}});
    return 0;
  }
  write_out(fmt::format("{} ({}, {} threads)\n", base::cpu_model_name(),
                        base::isa_name(base::active_isa()), base::num_threads()));
  write_out(fmt::format("read      {:10.1f} GB/s\n", limits.read_bytes_per_second / 1e9));
  const auto products = [](const char* what, double rate) {
    if (rate > 0) write_out(fmt::format("{:9} {:10.1f} G multiply-adds/s\n", what, rate / 1e9));
  };
  products("int8", limits.int8_products_per_second);
  products("f32", limits.f32_products_per_second);
  products("bf16", limits.bf16_products_per_second);
  products("int8 AMX", limits.tile_int8_products_per_second);
  products("bf16 AMX", limits.tile_bf16_products_per_second);
  return 0;
}

int run_bench(const Flags& flags) {
  if (flags.limits) return bench_limits(flags);
  if (flags.model.empty()) throw CLI::RequiredError("MODEL or --limits");
  if (flags.prefill + flags.decode == 0)
    throw CLI::ValidationError("bench", "--prefill and --decode are both 0");
  const OpenedModel opened = open_model(flags.model, flags.compute);
  const models::LanguageModel& model = *opened.files.model;
  // A decode run starts from one token if nothing is prefilled.
  const int64_t prompt = std::max<int64_t>(1, flags.prefill);
  if (prompt + flags.decode > model.max_positions())
    fail("bench: prefill {} and decode {} exceed the model's context of {}", prompt, flags.decode,
         model.max_positions());

  std::mt19937 random(1);
  std::vector<double> prefill_speeds, decode_speeds;
  double products = 0;  // multiply-adds of a prompt
  double bytes_read =
      0;  // by one token: every weight it multiplies, and the state (mean over the run)
  for (int64_t round = 0; round <= flags.repeat; ++round) {  // round 0 warms up and does not count
    std::vector<int32_t> ids(static_cast<size_t>(prompt));
    for (int32_t& id : ids)
      id = static_cast<int32_t>(random() % static_cast<uint64_t>(model.vocab_size()));
    const int64_t products_before = ops::products_done();
    auto start = std::chrono::steady_clock::now();
    const models::PromptState read = models::read_prompt(model, ids);
    models::DecodeState* state = read.state.get();
    Tensor logits = model.forward(read.rest, *state, models::LogitsFor::last);
    const double prefill_ms = ms_since(start);
    products = static_cast<double>(ops::products_done() - products_before);
    start = std::chrono::steady_clock::now();
    size_t state_bytes = 0;
    for (int64_t i = 0; i < flags.decode; ++i) {
      const int32_t id = most_likely(logits);
      logits = model.forward({&id, 1}, *state, models::LogitsFor::last);
      state_bytes += state->bytes();
    }
    const double decode_ms = ms_since(start);
    if (flags.decode > 0)
      bytes_read = static_cast<double>(model.bytes_read_per_token()) +
                   static_cast<double>(state_bytes) / static_cast<double>(flags.decode);
    if (round == 0) continue;
    prefill_speeds.push_back(static_cast<double>(prompt) / prefill_ms * 1000);
    decode_speeds.push_back(static_cast<double>(flags.decode) / decode_ms * 1000);
  }
  const double prefill = median(prefill_speeds), decode = median(decode_speeds);
  const double gigabytes = bytes_read * decode / 1e9;
  const double products_per_second = products / static_cast<double>(prompt) * prefill;
  const double peak_mb = static_cast<double>(base::peak_memory_bytes()) / 1e6;
  const double weights_mb = static_cast<double>(model.weight_bytes()) / 1e6;

  if (flags.json) {
    nlohmann::ordered_json object;
    object["model"] = opened.files.path;
    object["architecture"] = opened.files.architecture;
    object["instructions"] = base::isa_name(base::active_isa());
    object["threads"] = base::num_threads();
    object["load_ms"] = opened.load_ms;
    object["weight_bytes"] = model.weight_bytes();
    object["peak_memory_bytes"] = base::peak_memory_bytes();
    if (flags.prefill > 0)
      object["prefill"] = {
          {"tokens", prompt}, {"tokens_per_second", prefill},
          {"products_per_second", products_per_second}, {"runs", prefill_speeds}};
    if (flags.decode > 0)
      object["decode"] = {{"tokens", flags.decode},
                          {"tokens_per_second", decode},
                          {"bytes_read_per_token", bytes_read},
                          {"gigabytes_per_second", gigabytes},
                          {"runs", decode_speeds}};
    write_json(object);
    return 0;
  }
  write_out(fmt::format("{} ({}, {} threads)\n", opened.files.path,
                        base::isa_name(base::active_isa()), base::num_threads()));
  write_out(fmt::format("load      {:10.0f} ms\n", opened.load_ms));
  if (flags.prefill > 0)
    write_out(fmt::format("prefill   {:10.1f} tokens/s   ({} tokens, median of {}; {:.1f} G multiply-adds/s)\n",
                          prefill, prompt, flags.repeat, products_per_second / 1e9));
  if (flags.decode > 0)
    write_out(fmt::format("decode    {:10.1f} tokens/s   ({} tokens, median of {}; {:.1f} GB/s)\n",
                          decode, flags.decode, flags.repeat, gigabytes));
  write_out(
      fmt::format("memory    {:10.0f} MB at most (weights {:.0f} MB)\n", peak_mb, weights_mb));
  return 0;
}

}  // namespace

void add_bench(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("bench", "Measure a model's speed, or the machine's limits");
  verb->add_option("MODEL", flags->model, "Model: a file, a folder or a name");
  verb->add_option("--prefill", flags->prefill, "Tokens of the prompt")
      ->check(in_range<int64_t>(0, 1 << 24))
      ->capture_default_str()
      ->type_name("N");
  verb->add_option("--decode", flags->decode, "Tokens made one by one after it")
      ->check(in_range<int64_t>(0, 1 << 24))
      ->capture_default_str()
      ->type_name("N");
  verb->add_option("--repeat", flags->repeat, "Runs that count, after one that warms up")
      ->check(in_range<int64_t>(1, 1000))
      ->capture_default_str()
      ->type_name("N");
  verb->add_flag("--limits", flags->limits,
                 "Measure the memory's read bandwidth and the arithmetic peak instead");
  add_dtype_flag(*verb, flags->compute);
  add_threads_flag(*verb, flags->compute);
  verb->add_flag("--json", flags->json, "Print one JSON object");
  verb->footer(
      "Each run uses new random token ids. Speeds are medians. GB/s is what one token reads "
      "(weights\n"
      "and cached keys and values) times tokens per second.\n\n"
      "Examples:\n"
      "  sumi bench model.gguf\n"
      "  sumi bench model.gguf --prefill 2048 --decode 0 --threads 2 --json\n"
      "  sumi bench --limits\n"
      "  sumi bench image folder --size 512");
  verb->require_subcommand(0, 1);
  const CLI::App* image = add_bench_image(*verb, run);
  verb->callback([=, &run] {
    if (!image->parsed()) run = [=] { return run_bench(*flags); };
  });
}

}  // namespace sumi::cli
