#include "cli/common.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>

#include "base/error.h"
#include "base/threads.h"
#include "models/language/text_part.h"
#include "nn/lora_file.h"

namespace sumi::cli {

namespace {

using Clock = std::chrono::steady_clock;
const Clock::time_point kProgramStart = Clock::now();

[[noreturn]] void output_failed() {
  const int error = errno;
  std::clearerr(stdout);
  if (error == EPIPE || error == EBADF) throw OutputClosed{};
  fail("standard output: {}", std::strerror(error));
}

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

std::atomic<bool> interrupt_flag{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

void on_interrupt(int) {
  if (interrupt_flag.exchange(true)) {  // asked twice: the loop does not listen
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
}

}  // namespace

Clock::time_point program_start() { return kProgramStart; }

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void write_out(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) output_failed();
}

void flush_out() {
  if (std::fflush(stdout) != 0) output_failed();
}

void write_json(const nlohmann::ordered_json& object) {
  write_out(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  flush_out();
}

std::string read_text_file(const std::string& path) {
  constexpr size_t kLargest = size_t{1} << 30;
  struct stat info {};
  if (path != "-" && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
    fail("{}: is a folder", path);
  const std::unique_ptr<std::FILE, CloseFile> file(path == "-" ? stdin
                                                               : std::fopen(path.c_str(), "rb"));
  if (!file) fail("{}: cannot open: {}", path, std::strerror(errno));
  std::string text;
  std::vector<char> buffer(1 << 16);
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), file.get())) {
    if (std::memchr(buffer.data(), 0, count)) fail("{}: not a text: it holds a zero byte", path);
    text.append(buffer.data(), count);
    if (text.size() > kLargest) fail("{}: larger than 1 GiB", path);
  }
  if (std::ferror(file.get())) fail("{}: cannot read: {}", path, std::strerror(errno));
  return text;
}

std::vector<int32_t> parse_ids(const std::string& text, const char* option) {
  std::vector<int32_t> ids;
  size_t begin = 0;
  while (begin <= text.size()) {
    size_t end = text.find(',', begin);
    if (end == std::string::npos) end = text.size();
    std::string part = text.substr(begin, end - begin);
    const size_t from = part.find_first_not_of(" \t\r\n"), to = part.find_last_not_of(" \t\r\n");
    part = from == std::string::npos ? "" : part.substr(from, to - from + 1);
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(part.data(), part.data() + part.size(), id);
    if (error != std::errc() || stop != part.data() + part.size() || id < 0)
      throw CLI::ValidationError(option,
                                 fmt::format("expected token ids such as 1,2,3, found '{}'", part));
    ids.push_back(id);
    begin = end + 1;
  }
  return ids;
}

void add_threads_flag(CLI::App& verb, ComputeFlags& flags) {
  verb.add_option("--threads", flags.threads,
                  "Threads to compute with (default: one per processor)")
      ->check(in_range<int64_t>(1, 1024))
      ->type_name("N");
}

void add_dtype_flag(CLI::App& verb, ComputeFlags& flags) {
  verb.add_option("--dtype", flags.dtype,
                  "Type to compute in: f32, bf16, or auto (as the weights are stored)")
      ->check(CLI::IsMember({"auto", "f32", "bf16"}))
      ->type_name("TYPE");
}

void add_tokenizer_flag(CLI::App& verb, ComputeFlags& flags) {
  verb.add_option("--tokenizer", flags.tokenizer,
                  "Use the tokenizer of this file instead of the model's own")
      ->type_name("FILE");
}

void add_adapter_flag(CLI::App& verb, ComputeFlags& flags) {
  verb.add_option("--adapter", flags.adapter,
                  "LoRA adapter for the model: a folder that sumi train or peft wrote")
      ->type_name("DIR");
}

void set_threads(const ComputeFlags& flags) {
  if (flags.threads > 0) base::set_num_threads(flags.threads);
}

OpenedModel open_model(const std::string& model, const ComputeFlags& flags) {
  set_threads(flags);
  models::OpenOptions options;
  if (flags.dtype == "f32") options.compute = models::ComputeType::f32;
  if (flags.dtype == "bf16") options.compute = models::ComputeType::bf16;
  base::Progress progress("loading the model");
  options.tokenizer = flags.tokenizer;
  options.progress = [&](double fraction) { progress.update(fraction); };
  const auto start = Clock::now();
  OpenedModel opened;
  std::optional<nn::LoraFile> adapter;
  if (!flags.adapter.empty()) {
    options.lora = adapter.emplace(flags.adapter, models::text_part_module).packed();
    options.token_rows = adapter->token_rows();
  }
  opened.files = models::open_language_model(model, options);
  if (adapter) adapter->check_all_used();
  // An adapter may bring a tokenizer with tokens and a chat template of its own.
  if (adapter && flags.tokenizer.empty() && text::has_tokenizer(flags.adapter))
    opened.files.tokenizer = text::open_tokenizer(flags.adapter);
  opened.load_ms = ms_since(start);
  return opened;
}

std::unique_ptr<text::Tokenizer> open_model_tokenizer(const std::string& model) {
  const std::string path = models::resolve_model(model);
  if (!std::filesystem::is_directory(path))
    return models::open_file_tokenizer(path);
  return text::open_tokenizer(path);
}

bool given(const SamplingFlags& flags) {
  return flags.temperature || flags.top_p || flags.min_p || flags.typical_p ||
         flags.repetition_penalty || flags.frequency_penalty || flags.presence_penalty ||
         flags.top_k || flags.seed || !flags.logit_bias.empty();
}

void add_sampling_flags(CLI::App& verb, SamplingFlags& flags, const char* group) {
  verb.add_option("--temperature", flags.temperature,
                  "0 always takes the most likely token; higher is wilder")
      ->check(in_range(0.0, 1000.0))
      ->type_name("T")
      ->group(group);
  verb.add_option("--top-k", flags.top_k, "Keep the K most likely tokens (0: off)")
      ->check(at_least<int64_t>(0))
      ->type_name("K")
      ->group(group);
  verb.add_option("--top-p", flags.top_p,
                  "Keep the fewest tokens with this much probability (1: off)")
      ->check(in_range(0.0, 1.0))
      ->type_name("P")
      ->group(group);
  verb.add_option("--min-p", flags.min_p, "Keep tokens this likely relative to the best (0: off)")
      ->check(in_range(0.0, 1.0))
      ->type_name("P")
      ->group(group);
  verb.add_option("--typical-p", flags.typical_p,
                  "Locally typical sampling with this much probability (1: off)")
      ->check(in_range(0.0, 1.0))
      ->type_name("P")
      ->group(group);
  verb.add_option("--repetition-penalty", flags.repetition_penalty,
                  "Divides the logits of tokens already in the text (1: off)")
      ->check(in_range(0.01, 100.0))
      ->type_name("X")
      ->group(group);
  verb.add_option("--frequency-penalty", flags.frequency_penalty,
                  "Lowers a token's logit for each time it is in the answer (0: off)")
      ->check(in_range(-100.0, 100.0))
      ->type_name("X")
      ->group(group);
  verb.add_option("--presence-penalty", flags.presence_penalty,
                  "Lowers a token's logit once if it is in the answer (0: off)")
      ->check(in_range(-100.0, 100.0))
      ->type_name("X")
      ->group(group);
  verb.add_option("--logit-bias", flags.logit_bias,
                  "Add BIAS to the logit of token ID; -inf bans it; may be repeated")
      ->allow_extra_args(false)
      ->type_name("ID=BIAS")
      ->group(group);
  verb.add_option("--seed", flags.seed, "The same seed gives the same text (default: random)")
      ->type_name("S")
      ->group(group);
}

uint64_t random_seed() {
  std::random_device device;
  return device();  // 32 bits: short enough to type again
}

text::SamplerOptions sampler_options(const SamplingFlags& flags,
                                     const models::GenerationDefaults& defaults) {
  text::SamplerOptions options;
  options.temperature = flags.temperature.value_or(defaults.temperature);
  options.top_k = flags.top_k.value_or(defaults.top_k);
  options.top_p = flags.top_p.value_or(defaults.top_p);
  options.repetition_penalty = flags.repetition_penalty.value_or(defaults.repetition_penalty);
  options.min_p = flags.min_p.value_or(options.min_p);
  options.typical_p = flags.typical_p.value_or(options.typical_p);
  options.frequency_penalty = flags.frequency_penalty.value_or(0);
  options.presence_penalty = flags.presence_penalty.value_or(0);
  options.seed = flags.seed ? *flags.seed : random_seed();
  for (const std::string& entry : flags.logit_bias) {
    const size_t equals = entry.find('=');
    const std::string value = equals == std::string::npos ? "" : entry.substr(equals + 1);
    char* end = nullptr;
    const float bias = std::strtof(value.c_str(), &end);
    if (value.empty() || *end != '\0' || std::isnan(bias))
      throw CLI::ValidationError(
          "--logit-bias", fmt::format("expected ID=BIAS such as 42=-1.5, found '{}'", entry));
    const std::vector<int32_t> ids = parse_ids(entry.substr(0, equals), "--logit-bias");
    if (ids.size() != 1)
      throw CLI::ValidationError("--logit-bias", fmt::format("expected one id, found '{}'", entry));
    options.logit_bias.emplace_back(ids[0], bias);
  }
  return options;
}

TextStream::TextStream(const char* reading, bool quiet)
    : progress_(std::make_unique<base::Progress>(reading)), quiet_(quiet) {}

void TextStream::attach(generate::GenerateOptions& options) {
  options.cancel = &interrupted();
  options.prefill_progress = [this](double fraction) { progress_->update(fraction); };
}

generate::StreamCallback TextStream::pieces() {
  return [this](const generate::StreamPiece& piece) {
    if (progress_) {
      progress_.reset();
      first_token_ms_ = ms_since(program_start());
    }
    if (!quiet_ && !piece.text.empty()) {
      write_out(piece.text);
      flush_out();
    }
    return true;
  };
}

nlohmann::ordered_json result_json(const generate::GenerateResult& result, uint64_t seed,
                                   double load_ms, double first_token_ms) {
  nlohmann::ordered_json object;
  object["prompt_ids"] = result.prompt_ids;
  object["ids"] = result.ids;
  object["text"] = result.text;
  object["finish_reason"] = result.finish_reason;
  object["seed"] = seed;
  const generate::Timings& timings = result.timings;
  object["timings"] = {{"load_ms", load_ms},
                       {"prefill_ms", timings.prefill_ms},
                       {"prefill_tokens", timings.prompt_tokens - timings.cached_tokens},
                       {"prefill_tokens_per_second", timings.prefill_tokens_per_second()},
                       {"first_token_ms", first_token_ms},
                       {"decode_ms", timings.decode_ms},
                       {"decode_tokens", timings.decoded_tokens},
                       {"decode_tokens_per_second", timings.decode_tokens_per_second()}};
  return object;
}

const std::atomic<bool>& interrupted() { return interrupt_flag; }

void catch_interrupts() {
  interrupt_flag = false;
  std::signal(SIGINT, on_interrupt);
}

void release_interrupts() {
  std::signal(SIGINT, SIG_DFL);
  interrupt_flag = false;
}

}  // namespace sumi::cli
