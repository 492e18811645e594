// What several verbs share: flags, opening models, reading files, writing results.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/progress.h"
#include "generate/generator.h"
#include "models/language/open.h"

namespace sumi::cli {

// When the program started: some times count everything the user waits for.
std::chrono::steady_clock::time_point program_start();
double ms_since(std::chrono::steady_clock::time_point start);

// Standard output.
struct OutputClosed {};  // thrown when nobody reads it any more: the program then ends quietly
void write_out(std::string_view text);  // throws OutputClosed, or Error if it cannot be written
void flush_out();
void write_json(
    const nlohmann::ordered_json& object);  // on one line; bytes that are not UTF-8 become U+FFFD

// The whole file, of at most 1 GiB ("-" is standard input). Throws Error if it cannot be read, or
// holds a zero byte and thus is no text.
std::string read_text_file(const std::string& path);

// "1,2,3" (blanks allowed) -> ids. Throws CLI::ValidationError naming `option` and the part that is
// no id.
std::vector<int32_t> parse_ids(const std::string& text, const char* option);

// Checks that a flag's value is a number from low to high.
template <class Number>
CLI::Validator in_range(Number low, Number high) {
  return CLI::Validator(
      [low, high](std::string& text) {
        Number value{};
        if (CLI::detail::lexical_cast(text, value) && value >= low && value <= high)
          return std::string();
        return fmt::format("expected {} to {}, found '{}'", low, high, text);
      },
      "");
}
// The same without an upper end.
template <class Number>
CLI::Validator at_least(Number low) {
  return CLI::Validator(
      [low](std::string& text) {
        Number value{};
        if (CLI::detail::lexical_cast(text, value) && value >= low) return std::string();
        return fmt::format("expected a number of {} or more, found '{}'", low, text);
      },
      "");
}

// --threads, --dtype, --tokenizer and --adapter.
struct ComputeFlags {
  int threads = 0;  // 0: as many as the processors
  std::string dtype = "auto";
  std::string tokenizer;  // a file; empty: the model's own
  std::string adapter;    // a folder; empty: none
};
void add_threads_flag(CLI::App& verb, ComputeFlags& flags);
void add_dtype_flag(CLI::App& verb, ComputeFlags& flags);
void add_tokenizer_flag(CLI::App& verb, ComputeFlags& flags);
void add_adapter_flag(CLI::App& verb, ComputeFlags& flags);
void set_threads(const ComputeFlags& flags);

// Opens a model, with a progress line if that takes long.
struct OpenedModel {
  models::LanguageModelFiles files;
  double load_ms = 0;
};
OpenedModel open_model(const std::string& model, const ComputeFlags& flags);
// Its tokenizer only, without loading weights; model is a path or name as open_language_model()
// takes it.
std::unique_ptr<text::Tokenizer> open_model_tokenizer(const std::string& model);

// Sampling flags; those not given take the model's suggestions.
struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p, typical_p;
  std::optional<double> repetition_penalty, frequency_penalty, presence_penalty;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;
  std::vector<std::string> logit_bias;  // "ID=BIAS"
};
bool given(const SamplingFlags& flags);  // whether any was
void add_sampling_flags(
    CLI::App& verb, SamplingFlags& flags,
    const char* group = "Sampling (not given: what the model's files suggest)");
// The seed is random when none is given. Throws CLI::ValidationError on a bias that is not
// "ID=BIAS".
text::SamplerOptions sampler_options(const SamplingFlags& flags,
                                     const models::GenerationDefaults& defaults);
uint64_t random_seed();

// Shows a text while it comes: prints its pieces, or nothing when `quiet`, and takes the progress line of
// the prompt away before the first.
class TextStream {
 public:
  TextStream(const char* reading, bool quiet);  // `reading` says what the progress is of
  // Sets the options' progress and cancelling by Ctrl-C. The stream must outlive the generation.
  void attach(generate::GenerateOptions& options);
  generate::StreamCallback pieces();
  void finish() { progress_.reset(); }
  double first_token_ms() const { return first_token_ms_; }  // from the program's start

 private:
  std::unique_ptr<base::Progress> progress_;
  bool quiet_;
  double first_token_ms_ = 0;
};

// A result as generate and complete print it; first_token_ms counts from the program's start.
nlohmann::ordered_json result_json(const generate::GenerateResult& result, uint64_t seed,
                                   double load_ms, double first_token_ms);

// Ctrl-C. Between the two calls it sets interrupted() instead of ending the program; pressed again
// before the flag was cleared, it ends it.
const std::atomic<bool>& interrupted();
void catch_interrupts();
void release_interrupts();

}  // namespace sumi::cli
