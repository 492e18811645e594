// sumi generate: a prompt in, its continuation out.

#include <algorithm>

#include "base/error.h"
#include "base/progress.h"
#include "cli/common.h"
#include "cli/verbs.h"
#include "generate/beam_search.h"
#include "generate/chat_session.h"
#include "generate/saved_text.h"

namespace sumi::cli {

namespace {

constexpr int64_t kDefaultMaxTokens = 256;

struct Flags {
  std::string model, prompt, prompt_file, prompt_ids;
  std::string load_state, save_state;
  std::optional<int64_t> max_tokens;
  int64_t logprobs = -1;
  int64_t beams = 0, results = 1;  // beams 0: no beam search
  double length_penalty = 1;
  std::string early_stopping = "no";
  std::vector<std::string> stop;
  std::vector<int32_t> stop_ids;
  bool has_ids = false, ignore_eos = false, chat = false, json = false;
  SamplingFlags sampling;
  ComputeFlags compute;
};

nlohmann::ordered_json logprob_json(const text::TokenLogprob& token) {
  return {{"id", token.id}, {"logprob", token.logprob}};
}

void add_logprobs(const generate::GenerateResult& result, nlohmann::ordered_json& object) {
  object["token_logprobs"] = nlohmann::ordered_json::array();
  object["logprobs"] = nlohmann::ordered_json::array();
  for (const text::TokenLogprob& token : result.chosen_logprobs)
    object["token_logprobs"].push_back(token.logprob);
  for (const std::vector<text::TokenLogprob>& best : result.best_logprobs) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const text::TokenLogprob& token : best) list.push_back(logprob_json(token));
    object["logprobs"].push_back(list);
  }
}

std::vector<int32_t> prompt_ids(const Flags& flags, const std::string& text,
                                const models::LanguageModelFiles& files) {
  if (!flags.load_state.empty() && text.empty() && !flags.has_ids) return {};
  if (flags.has_ids) return parse_ids(flags.prompt_ids, "--prompt-ids");
  if (!files.tokenizer) fail("{}: the model has no tokenizer; use --prompt-ids", files.path);
  const bool starts = flags.load_state.empty();  // else the text goes on
  if (!flags.chat) return files.tokenizer->encode(text, {.add_special = starts});
  return generate::chat_prompt_ids({{"user", text}}, *files.tokenizer,
                                   generate::open_chat_template(*files.tokenizer, files.path));
}

// What --beams does instead of sampling.
int run_beams(const Flags& flags, const models::LanguageModelFiles& files,
              const std::vector<int32_t>& ids, int64_t max_tokens) {
  generate::BeamOptions options;
  options.beams = flags.beams;
  options.results = flags.results;
  options.max_tokens = max_tokens;
  options.length_penalty = flags.length_penalty;
  options.early_stopping = flags.early_stopping == "yes"     ? generate::EarlyStopping::yes
                           : flags.early_stopping == "never" ? generate::EarlyStopping::never
                                                             : generate::EarlyStopping::no;
  options.end_ids = flags.stop_ids;
  if (!flags.ignore_eos && files.tokenizer)
    options.end_ids.insert(options.end_ids.end(), files.tokenizer->end_ids.begin(),
                           files.tokenizer->end_ids.end());
  options.cancel = &interrupted();
  catch_interrupts();
  const std::vector<generate::BeamText> texts = generate::beam_search(*files.model, ids, options);
  release_interrupts();
  const bool cancelled = interrupted();
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const generate::BeamText& text : texts) {
    const std::vector<int32_t> kept(text.ids.begin(), text.ids.end() - (text.ended ? 1 : 0));
    std::string shown;
    if (files.tokenizer)
      shown = files.tokenizer->decode(kept, true);
    else
      for (size_t i = 0; i < text.ids.size(); ++i)
        shown += fmt::format("{}{}", i ? "," : "", text.ids[i]);
    if (!flags.json)
      write_out(shown + "\n");
    else
      list.push_back({{"ids", text.ids},
                      {"text", files.tokenizer ? shown : ""},
                      {"score", text.score},
                      {"finish_reason", text.ended ? "stop" : "length"}});
  }
  if (flags.json) write_json({{"prompt_ids", ids}, {"texts", list}});
  return cancelled ? 130 : 0;
}

int run_generate(const Flags& flags, int prompts) {
  if (prompts > 1 || (prompts == 0 && flags.load_state.empty()))
    throw CLI::RequiredError("exactly one of --prompt, --prompt-file and --prompt-ids");
  if (flags.chat && flags.has_ids)
    throw CLI::ValidationError("--chat", "needs a prompt as text, not --prompt-ids");
  if (flags.beams > 0 && (flags.logprobs >= 0 || !flags.stop.empty() || given(flags.sampling)))
    throw CLI::ValidationError("--beams", "goes with no sampling option, --stop or --logprobs");
  if (flags.beams > 0 && !(flags.load_state.empty() && flags.save_state.empty()))
    throw CLI::ValidationError("--beams", "goes with neither --load-state nor --save-state");
  if (flags.beams == 0 && flags.results > 1)
    throw CLI::ValidationError("--results", "needs --beams");
  if (flags.beams > 0 && flags.results > flags.beams)
    throw CLI::ValidationError(
        "--results", fmt::format("expected at most {}, the number of beams", flags.beams));
  if (flags.logprobs >= 0 && !flags.json) throw CLI::ValidationError("--logprobs", "needs --json");
  // What can be wrong is found before the weights are loaded.
  if (flags.has_ids) parse_ids(flags.prompt_ids, "--prompt-ids");
  const text::SamplerOptions early = sampler_options(flags.sampling, {});
  text::check_sampler_options(early, std::numeric_limits<int32_t>::max() / 64);
  const std::string text =
      flags.prompt_file.empty() ? flags.prompt : read_text_file(flags.prompt_file);

  const OpenedModel opened = open_model(flags.model, flags.compute);
  const models::LanguageModelFiles& files = opened.files;
  generate::GenerateOptions options;
  options.sampling = sampler_options(flags.sampling, files.defaults);
  options.sampling.seed = early.seed;
  options.stop = flags.stop;
  options.stop_ids = flags.stop_ids;
  options.ignore_eos = flags.ignore_eos;
  options.logprobs = flags.logprobs;
  std::vector<int32_t> ids = prompt_ids(flags, text, files);
  generate::Generator generator(*files.model, files.tokenizer.get());
  if (!flags.save_state.empty()) files.model->model_identity();  // an Error if there is no saving
  if (!flags.load_state.empty()) {
    generate::SavedText saved = generate::load_text(flags.load_state, *files.model);
    const auto known = saved.ids.begin() + saved.state->length();
    generator.adopt(std::move(saved.state), {saved.ids.begin(), known});
    ids.insert(ids.begin(), saved.ids.begin(), saved.ids.end());
    if (ids.size() == generator.cached_ids().size())
      fail("{}: all of the text was processed; a prompt must go on from it", flags.load_state);
  }
  options.max_tokens = flags.max_tokens.value_or(std::min(
      kDefaultMaxTokens, generate::room_after(*files.model, static_cast<int64_t>(ids.size()))));
  if (flags.beams > 0) return run_beams(flags, files, ids, options.max_tokens);
  TextStream stream("reading the prompt", flags.json);
  stream.attach(options);
  catch_interrupts();
  const generate::GenerateResult result = generator.generate(ids, options, stream.pieces());
  release_interrupts();
  stream.finish();
  if (!flags.save_state.empty()) {
    ids.insert(ids.end(), result.ids.begin(), result.ids.end());
    generate::save_text(flags.save_state, *files.model, ids, generator.state());
  }
  if (flags.json) {
    nlohmann::ordered_json object =
        result_json(result, options.sampling.seed, opened.load_ms, stream.first_token_ms());
    if (flags.logprobs >= 0) add_logprobs(result, object);
    write_json(object);
  } else {
    if (!files.tokenizer)
      for (size_t i = 0; i < result.ids.size(); ++i)
        write_out(fmt::format("{}{}", i ? "," : "", result.ids[i]));
    write_out("\n");
  }
  return result.finish_reason == "cancelled" ? 130 : 0;
}

}  // namespace

void add_generate(CLI::App& app, Run& run) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("generate", "Continue a prompt");
  verb->add_option("MODEL", flags->model, "Model: a file, a folder or a name")->required();
  CLI::Option* prompt =
      verb->add_option("--prompt", flags->prompt, "The prompt")->type_name("TEXT");
  CLI::Option* file = verb->add_option("--prompt-file", flags->prompt_file,
                                       "Read the prompt from this file (-: standard input)")
                          ->type_name("FILE");
  CLI::Option* ids = verb->add_option("--prompt-ids", flags->prompt_ids, "The prompt as token ids")
                         ->type_name("1,2,3");
  verb->add_flag("--chat", flags->chat,
                 "Put the prompt into the model's chat template, as a user's message");
  verb->add_option("--max-tokens", flags->max_tokens,
                   "Make at most this many tokens (default: 256, or what the context has room for)")
      ->check(at_least<int64_t>(1))
      ->type_name("N");
  verb->add_option("--stop", flags->stop, "End before this text; may be repeated")
      ->allow_extra_args(false)
      ->type_name("TEXT");
  verb->add_option("--stop-id", flags->stop_ids, "End at this token id; may be repeated")
      ->allow_extra_args(false)
      ->check(at_least<int64_t>(0))
      ->type_name("ID");
  verb->add_flag("--ignore-eos", flags->ignore_eos, "Go on when the model ends the text");
  add_sampling_flags(*verb, flags->sampling);
  verb->add_option("--beams", flags->beams,
                   "Search for the most likely text with this many beams, without sampling")
      ->check(in_range<int64_t>(1, 1024))
      ->type_name("N");
  verb->add_option("--results", flags->results, "With --beams: print this many texts, best first")
      ->check(in_range<int64_t>(1, 1024))
      ->type_name("N");
  verb->add_option("--length-penalty", flags->length_penalty,
                   "With --beams: texts are ranked by log-probability / length^X (default: 1)")
      ->check(in_range<double>(-100, 100))
      ->type_name("X");
  verb->add_option("--early-stopping", flags->early_stopping,
                   "With --beams: stop when enough texts have ended (yes), when the rest is "
                   "unlikely to beat them (no), "
                   "or when it cannot (never)")
      ->check(CLI::IsMember({"no", "yes", "never"}))
      ->type_name("WHEN");
  verb->add_option("--load-state", flags->load_state,
                   "Go on after the text of this file, without reading it again (RWKV); the prompt, "
                   "if any, follows it")
      ->type_name("FILE");
  verb->add_option("--save-state", flags->save_state,
                   "Write the text with the model's state to this file when done (RWKV)")
      ->type_name("FILE");
  add_adapter_flag(*verb, flags->compute);
  add_dtype_flag(*verb, flags->compute);
  add_tokenizer_flag(*verb, flags->compute);
  add_threads_flag(*verb, flags->compute);
  verb->add_option("--logprobs", flags->logprobs,
                   "With --json: the N best log-probabilities at each token, before sampling")
      ->check(in_range<int64_t>(0, 1000000))
      ->type_name("N");
  verb->add_flag("--json", flags->json,
                 "Print one JSON object when done instead of text as it comes");
  verb->footer(
      "JSON: {\"prompt_ids\", \"ids\" (with the token that ended the text), \"text\", "
      "\"finish_reason\" (stop,\n"
      "length or cancelled), \"seed\", \"timings\" (first_token_ms counts from the program's "
      "start)}; with\n"
      "--logprobs also \"logprobs\": for each token a list of {\"id\", \"logprob\"}, most likely "
      "first, and\n"
      "\"token_logprobs\": of the tokens taken. Logarithms are natural. With --beams: "
      "{\"prompt_ids\", \"texts\": a "
      "list of\n"
      "{\"ids\", \"text\", \"score\", \"finish_reason\"}}.\n\n"
      "Examples:\n"
      "  sumi generate model.gguf --prompt \"The capital of France is\" --max-tokens 8 "
      "--temperature 0\n"
      "  sumi generate org/name --chat --prompt \"Write a haiku\" --seed 1\n"
      "  sumi generate model.gguf --prompt \"Translate: Haus\" --beams 4 --results 2 --json\n"
      "  sumi generate rwkv.pth --prompt-file book.txt --max-tokens 1 --save-state book.state\n"
      "  sumi generate rwkv.pth --load-state book.state --prompt \"In short:\"\n"
      "  sumi generate folder --prompt-ids 1,2,3 --json --logprobs 5");
  verb->callback([=, &run] {
    const int prompts = (prompt->count() > 0) + (file->count() > 0) + (ids->count() > 0);
    flags->has_ids = ids->count() > 0;
    run = [=] { return run_generate(*flags, prompts); };
  });
}

}  // namespace sumi::cli
