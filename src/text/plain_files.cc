#include "text/plain_files.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "text/model_files.h"
#include "text/sentencepiece.h"
#include "text/unicode.h"
#include "text/word_piece.h"

namespace sumi::text {
namespace {

namespace fs = std::filesystem;

// From transformers' models/auto/tokenization_auto.py.
constexpr std::array<std::pair<std::string_view, const char*>, 26> kClassOfModel = {{
    {"baichuan", "BaichuanTokenizer"},
    {"bart", "RobertaTokenizer"},
    {"bert", "BertTokenizer"},
    {"chatglm", "ChatGLMTokenizer"},
    {"clip", "CLIPTokenizer"},
    {"clip_text_model", "CLIPTokenizer"},
    {"codegen", "GPT2Tokenizer"},
    {"distilbert", "BertTokenizer"},
    {"gpt2", "GPT2Tokenizer"},
    {"gpt_bigcode", "GPT2Tokenizer"},
    {"gpt_neo", "GPT2Tokenizer"},
    {"gptj", "GPT2Tokenizer"},
    {"internlm2", "InternLM2Tokenizer"},
    {"llama", "LlamaTokenizer"},
    {"mistral", "LlamaTokenizer"},
    {"mt5", "T5Tokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"phi", "GPT2Tokenizer"},
    {"qwen", "QWenTokenizer"},
    {"qwen2", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},
    {"roberta", "RobertaTokenizer"},
    {"t5", "T5Tokenizer"},
    {"umt5", "T5Tokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},
}};

// openai/CLIP, clip/simple_tokenizer.py.
constexpr const char* kClipPattern =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";
constexpr const char* kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

// The lines of merges.txt without its heading.
Json read_merge_lines(const std::string& path) {
  const std::string text = formats::read_text_file(path);
  if (!is_valid_utf8(text)) fail("{}: not UTF-8", path);
  Json lines = Json::array();
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || line.compare(0, 8, "#version") == 0) continue;
    lines.push_back(std::move(line));
  }
  return lines;
}

Json around(const Json& tokens, const char* before, const char* after, const Json& vocabulary,
            const std::string& where) {
  const auto pair = [&](const char* key) {
    const auto token = token_member(tokens, key, where);
    if (!token) fail("{}: its tokenizer needs a {}", where, key);
    return Json::array({*token, require_int(vocabulary, *token, where)});
  };
  return {{"type", "RobertaProcessing"}, {"cls", pair(before)}, {"sep", pair(after)}};
}

// Byte-level BPE as GPT-2 writes it, and the classes made from it.
PlainFiles read_byte_level(const fs::path& folder, const std::string& tokenizer_class,
                           const Json& config, const Json& tokens) {
  PlainFiles files;
  files.name = (folder / "vocab.json").string();
  const std::string config_name = (folder / "tokenizer_config.json").string();
  Json vocabulary = formats::read_json_file(files.name);
  const bool prefix_space = optional_bool(config, "add_prefix_space", false, config_name);
  Json model = {{"type", "BPE"}, {"merges", read_merge_lines((folder / "merges.txt").string())}};
  const Json byte_level = {{"type", "ByteLevel"}};
  Json bytes_only = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto split = [&](const char* pattern, const char* behavior, bool invert, Json bytes) {
    const Json regex = {{"type", "Split"},
                        {"pattern", {{"Regex", pattern}}},
                        {"behavior", behavior},
                        {"invert", invert}};
    return Json{{"type", "Sequence"}, {"pretokenizers", {regex, std::move(bytes)}}};
  };
  Json& result = files.description;
  result["decoder"] = byte_level;
  if (tokenizer_class == "CLIPTokenizer") {
    model["end_of_word_suffix"] = "</w>";
    model["unk_token"] = token_member(tokens, "unk_token", config_name).value_or("");
    const Json spaces = {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}};
    result["normalizer"] = {{"type", "Sequence"},
                            {"normalizers", {{{"type", "NFC"}}, spaces, {{"type", "Lowercase"}}}}};
    bytes_only["use_regex"] = true;
    result["pre_tokenizer"] = split(kClipPattern, "Removed", true, bytes_only);
    result["post_processor"] = around(tokens, "bos_token", "eos_token", vocabulary, files.name);
    // A word's end is a space, but not before the first word nor after the last.
    const Json ends = {{"type", "Replace"}, {"pattern", {{"String", "</w>"}}}, {"content", "Ġ"}};
    const Json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1000}, {"stop", 1000}};
    result["decoder"] = {{"type", "Sequence"}, {"decoders", {ends, byte_level, strip}}};
  } else if (tokenizer_class == "Qwen2Tokenizer") {
    result["normalizer"] = {{"type", "NFC"}};
    result["pre_tokenizer"] = split(kQwen2Pattern, "Isolated", false, bytes_only);
  } else {
    result["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}};
    if (tokenizer_class == "RobertaTokenizer") {
      result["post_processor"] = around(tokens, "cls_token", "sep_token", vocabulary, files.name);
    }
  }
  model["vocab"] = std::move(vocabulary);
  result["model"] = std::move(model);
  return files;
}

// BERT's vocab.txt: a token a line, its id the number of lines before.
PlainFiles read_word_pieces(const fs::path& folder, const std::string& tokenizer_class,
                            const Json& config, const Json& tokens) {
  PlainFiles files;
  files.name = (folder / "vocab.txt").string();
  if (tokenizer_class != "BertTokenizer") {
    fail("{}: of tokenizer class \"{}\": Sumi reads those of BertTokenizer", files.name,
         tokenizer_class);
  }
  const std::string config_name = (folder / "tokenizer_config.json").string();
  const std::string text = formats::read_text_file(files.name);
  if (!is_valid_utf8(text)) fail("{}: not UTF-8", files.name);
  TokenTable table;
  int64_t id = 0;
  for (size_t begin = 0; begin < text.size(); ++id) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!table.insert(line, id)) fail("{}: line {}: \"{}\" occurs twice", files.name, id + 1, line);
  }
  const auto name_of = [&](const char* key) {
    const auto token = token_member(tokens, key, config_name);
    if (!token || table.find(*token) < 0) fail("{}: {} is not in it", files.name, key);
    return *token;
  };
  const auto id_of = [&](const std::string& token) { return table.find(token); };
  const std::string unknown = name_of("unk_token");
  Json normalizer = {
      {"type", "BertNormalizer"},
      {"handle_chinese_chars", optional_bool(config, "tokenize_chinese_chars", true, config_name)},
      {"lowercase", optional_bool(config, "do_lower_case", true, config_name)}};
  if (const Json* strip = find_field(config, "strip_accents")) normalizer["strip_accents"] = *strip;
  files.description = {
      {"normalizer", normalizer},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"decoder", {{"type", "WordPiece"}}},
      {"post_processor", around_template({name_of("cls_token")}, {name_of("sep_token")}, id_of)}};
  WordPieceOptions options;
  options.unknown = unknown;
  files.parts.model = std::make_unique<WordPiece>(std::move(table), options, files.name);
  return files;
}

}  // namespace

std::optional<std::string> token_member(const Json& config, const char* key,
                                        const std::string& where) {
  const Json* value = find_field(config, key);
  if (!value) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  return require_string(*value, "content", where + " " + key);
}

std::string tokenizer_class(const std::string& folder, const Json& config) {
  const fs::path base(folder);
  std::string name =
      optional_string(config, "tokenizer_class", "", (base / "tokenizer_config.json").string());
  if (name.size() > 4 && name.compare(name.size() - 4, 4, "Fast") == 0)
    name.resize(name.size() - 4);
  if (!name.empty()) return name == "BartTokenizer" ? "RobertaTokenizer" : name;
  const std::string model_name = (base / "config.json").string();
  if (!formats::file_exists(model_name)) return "";
  const std::string type =
      optional_string(formats::read_json_file(model_name), "model_type", "", model_name);
  for (const auto& [model, tokenizer] : kClassOfModel) {
    if (type == model) return tokenizer;
  }
  return "";
}

Json default_tokens(const std::string& folder, const std::string& tokenizer_class) {
  if (tokenizer_class == "CLIPTokenizer") {
    return {{"bos_token", "<|startoftext|>"},
            {"eos_token", "<|endoftext|>"},
            {"unk_token", "<|endoftext|>"},
            {"pad_token", "<|endoftext|>"}};
  }
  if (tokenizer_class == "GPT2Tokenizer" || tokenizer_class == "CodeGenTokenizer") {
    return {{"bos_token", "<|endoftext|>"},
            {"eos_token", "<|endoftext|>"},
            {"unk_token", "<|endoftext|>"}};
  }
  if (tokenizer_class == "Qwen2Tokenizer") {
    return {{"eos_token", "<|endoftext|>"},
            {"unk_token", "<|endoftext|>"},
            {"pad_token", "<|endoftext|>"}};
  }
  if (tokenizer_class == "RobertaTokenizer" || tokenizer_class == "XLMRobertaTokenizer") {
    return {{"bos_token", "<s>"},    {"eos_token", "</s>"},  {"sep_token", "</s>"},
            {"cls_token", "<s>"},    {"unk_token", "<unk>"}, {"pad_token", "<pad>"},
            {"mask_token", "<mask>"}};
  }
  if (tokenizer_class == "BertTokenizer") {
    return {{"unk_token", "[UNK]"},
            {"sep_token", "[SEP]"},
            {"pad_token", "[PAD]"},
            {"cls_token", "[CLS]"},
            {"mask_token", "[MASK]"}};
  }
  if (tokenizer_class == "T5Tokenizer") {
    return {{"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"pad_token", "<pad>"}};
  }
  if (tokenizer_class == "QWenTokenizer") return {{"eos_token", "<|endoftext|>"}};
  constexpr std::array kSentencePiece = {"LlamaTokenizer", "CodeLlamaTokenizer",
                                         "BaichuanTokenizer", "InternLM2Tokenizer",
                                         "InternLMTokenizer"};
  if (std::find(kSentencePiece.begin(), kSentencePiece.end(), tokenizer_class) !=
      kSentencePiece.end()) {
    const std::string model = (fs::path(folder) / "tokenizer.model").string();
    if (formats::file_exists(model) && !is_sentencepiece(formats::read_text_file(model))) {
      return {{"bos_token", "<|begin_of_text|>"}, {"eos_token", "<|end_of_text|>"}};  // LLaMA 3
    }
    return {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  }
  if (tokenizer_class == "ChatGLMTokenizer") return {{"eos_token", "</s>"}, {"unk_token", "<unk>"}};
  return Json::object();
}

std::string find_plain_vocabulary(const std::string& folder) {
  const fs::path base(folder);
  const auto has = [&](const char* file) { return formats::file_exists((base / file).string()); };
  if (has("vocab.json") && has("merges.txt")) return "vocab.json";
  for (const char* name : {kRwkvVocabulary, "vocab.txt", "spiece.model", "sentencepiece.bpe.model",
                           "tokenizer.model", "ice_text.model", "qwen.tiktoken"}) {
    if (has(name)) return name;
  }
  return "";
}

PlainFiles read_plain_files(const std::string& folder, const std::string& tokenizer_class,
                            const Json& config, const Json& tokens) {
  const fs::path base(folder);
  const std::string vocabulary = find_plain_vocabulary(folder);
  constexpr std::array kByteLevel = {"CLIPTokenizer", "GPT2Tokenizer", "CodeGenTokenizer",
                                     "Qwen2Tokenizer", "RobertaTokenizer"};
  if (vocabulary == "vocab.json") {
    for (const char* name : kByteLevel) {
      if (tokenizer_class == name) return read_byte_level(base, tokenizer_class, config, tokens);
    }
    fail("{}: vocab.json and merges.txt of tokenizer class \"{}\": Sumi reads those of {}", folder,
         tokenizer_class, fmt::join(kByteLevel, ", "));
  }
  if (vocabulary == "vocab.txt") return read_word_pieces(base, tokenizer_class, config, tokens);
  if (!vocabulary.empty()) {
    const std::string path = (base / vocabulary).string();
    const std::string bytes = formats::read_text_file(path);
    return is_sentencepiece(bytes) ? read_sentencepiece_files(bytes, path, tokenizer_class, config)
                                   : read_tiktoken_files(bytes, path, tokenizer_class, config);
  }
  fail("{}: no tokenizer.json, vocab.json with merges.txt, vocab.txt, .model, qwen.tiktoken or {}",
       folder, kRwkvVocabulary);
}

}  // namespace sumi::text
