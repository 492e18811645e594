// Names and behaviour: llama.cpp, src/llama-vocab.cpp. Where llama.cpp approximates a model's own
// pattern because std::regex cannot express it (tekken, gpt-4o), the model's own is used: it is
// what the model was trained with.
#include "text/gguf_pre.h"

#include <array>
#include <string_view>

#include "base/error.h"

namespace sumi::text {
namespace {

// Parts that many models share: contractions, and what follows words and numbers.
#define SUMI_CONTRACTION R"('(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD]))"
#define SUMI_WORD R"([^\r\n\p{L}\p{N}]?\p{L}+)"
#define SUMI_TAIL R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"
#define SUMI_CASED_1 \
  R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
#define SUMI_CASED_2 \
  R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
#define SUMI_CASED_TAIL R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"

constexpr const char* kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 = SUMI_CONTRACTION "|" SUMI_WORD R"(|\p{N}{1,3}|)" SUMI_TAIL;
constexpr const char* kQwen2 = SUMI_CONTRACTION "|" SUMI_WORD R"(|\p{N}|)" SUMI_TAIL;
constexpr const char* kQwen35 = SUMI_CONTRACTION
    R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken = SUMI_CASED_1 "|" SUMI_CASED_2 R"(|\p{N}|)" SUMI_CASED_TAIL;
constexpr const char* kGpt4o =
    SUMI_CASED_1 "(?:" SUMI_CONTRACTION ")?|" SUMI_CASED_2 "(?:" SUMI_CONTRACTION
                 ")?"
                 R"(|\p{N}{1,3}|)" SUMI_CASED_TAIL;
constexpr const char* kSeedCoder =
    SUMI_CONTRACTION "|" SUMI_WORD R"(|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kBailing = R"('(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|)" SUMI_WORD
                                 R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kBloom = " ?[^(\\s|.,!?…。，、।۔،)]+";
constexpr const char* kDeepseek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// The letters of scripts with case, as DeepSeek's tokenizer.json lists them.
constexpr const char* kDeepseekLetters =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-"
    "ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώ"
    "ᾀ-ᾴᾶ-ᾼ\\x{1FBE}ῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\\x{2126}ℨ\\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-"
    "ꙭꚀ-ꚛꜢ-ꝯ"
    "ꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]"
    "+";
constexpr const char* kDeepseekCjk = "[一-龥ࠀ-一가-\\x{D7FF}]+";

// One row per behaviour; names separated by spaces.
struct Row {
  const char* names;
  std::vector<std::string> patterns;
  bool ignore_merges = false, add_bos = false;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"default", {R"([\p{P}$+<=>^~|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
      {"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
       {kLlama3},
       true,
       true},
      {"dbrx smaug-bpe chatglm-bpe", {kLlama3}},
      {"glm4 glm5", {kLlama3}, true},
      {"gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt "
       "olmo "
       "jais trillion granite-docling exaone4 jina-v1-en jina-v2-code roberta-bpe",
       {kGpt2}},
      {"starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
       {R"(\p{N})", kGpt2}},
      {"qwen2 deepseek-r1-qwen kormo f2llmv2 megrez stablelm2 hunyuan solar-open grok-2", {kQwen2}},
      {"qwen35", {kQwen35}},
      {"deepseek-llm",
       {"[\\r\\n]", kDeepseekLetters, "\\s?[!-/:-~！-／：-～‘-‟\\x{3000}-。]+", "\\s+\\z",
        kDeepseekCjk, "\\p{N}+"}},
      {"deepseek-coder", {"[\\r\\n]", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepseekCjk, R"(\p{N})"}},
      {"deepseek-v3 hunyuan-dense joyai-llm hy_v4",
       {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", kDeepseek3}},
      {"falcon", {R"([\p{P}$+<=>^~|`]+)", kGpt2, "[0-9][0-9][0-9]"}},
      {"tekken", {kTekken}, true, true},
      {"gpt-4o llama4 kanana2 talkie minimax-m2", {kGpt4o}},
      {"poro-chat bloom gpt3-finnish", {kBloom}},
      {"viking", {kBloom, R"(\p{N})"}},
      {"bailingmoe bailingmoe2 llada-moe", {kBailing}},
      {"seed-coder", {kSeedCoder}},
  };
  return table;
}

bool names_include(std::string_view names, std::string_view name) {
  for (size_t at = 0; at < names.size();) {
    const size_t end = std::min(names.find(' ', at), names.size());
    if (names.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

GgufPre gguf_pre_tokenizer(const std::string& name, const std::string& where) {
  for (const Row& row : rows()) {
    if (names_include(row.names, name)) return {row.patterns, row.ignore_merges, row.add_bos};
  }
  fail("{}: tokenizer.ggml.pre: unknown pre-tokenizer {}", where, name);
}

}  // namespace sumi::text
