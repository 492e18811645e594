#include "text/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "text/sentencepiece.h"
#include "text/tiktoken.h"

namespace sumi::text {
namespace {

using Pieces = std::vector<SentencePieceModel::Piece>;
using Type = SentencePieceModel::Type;

Json replace_step(const std::string& from, const std::string& to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json special_token(const std::string& content, int64_t id) {
  return {{"content", content}, {"id", id}, {"special", true}};
}

// fairseq's order: <s> <pad> </s> <unk>, then SentencePiece's pieces from the third on, <mask>.
void reorder_as_fairseq(SentencePieceModel* model, const std::string& path) {
  const Pieces& old = model->pieces;
  if (old.size() < 3 || old[0].text != "<unk>" || old[1].text != "<s>" || old[2].text != "</s>") {
    fail("{}: expected the pieces <unk>, <s>, </s> first", path);
  }
  Pieces pieces = {{"<s>", 0, Type::control},
                   {"<pad>", 0, Type::control},
                   {"</s>", 0, Type::control},
                   {"<unk>", 0, Type::unknown}};
  pieces.insert(pieces.end(), old.begin() + 3, old.end());
  pieces.push_back({"<mask>", 0, Type::control});
  model->pieces = std::move(pieces);
}

// THUDM/chatglm-6b, tokenization_chatglm.py: line ends, tabs and runs of spaces are tokens.
Json chatglm_spaces(Json* back) {
  Json steps = Json::array();
  const auto add = [&](const std::string& text, const std::string& token) {
    steps.push_back(replace_step(text, token));
    back->push_back(replace_step(token, text));
  };
  add("\n", "<n>");
  add("\t", "<|tab|>");
  for (size_t count = 80; count > 1; --count) {
    add(std::string(count, ' '), fmt::format("<|blank_{}|>", count));
  }
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

// From the classes' own code: openai/tiktoken's cl100k but for the digits (Qwen), and LLaMA 3's.
constexpr const char* kQwenPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

std::vector<std::string> qwen_specials() {
  std::vector<std::string> names = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
  for (int i = 0; i < 205; ++i) names.push_back(fmt::format("<|extra_{}|>", i));
  return names;
}

// meta-llama/llama3, llama/tokenizer.py.
std::vector<std::string> llama3_specials() {
  const auto reserved = [](int i) { return fmt::format("<|reserved_special_token_{}|>", i); };
  std::vector<std::string> names = {"<|begin_of_text|>", "<|end_of_text|>"};
  for (int i = 0; i < 4; ++i) names.push_back(reserved(i));
  names.insert(names.end(),
               {"<|start_header_id|>", "<|end_header_id|>", reserved(4), "<|eot_id|>"});
  for (int i = 5; i < 251; ++i) names.push_back(reserved(i));
  return names;
}

// The id that added_tokens_decoder gives a token.
int64_t decoder_id(const Json& config, const std::string& content, const std::string& path) {
  if (const Json* list = find_field(config, "added_tokens_decoder"); list && list->is_object()) {
    for (const auto& [id, token] : list->items()) {
      if (optional_string(token, "content", "", path) == content && !id.empty() && id.size() < 10 &&
          std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; })) {
        return std::stoll(id);
      }
    }
  }
  fail("{}: tokenizer_config.json: added_tokens_decoder has no {}", path, content);
}

}  // namespace

PlainFiles read_sentencepiece_files(std::string_view bytes, const std::string& path,
                                    const std::string& tokenizer_class, const Json& config) {
  PlainFiles files;
  files.name = path;
  SentencePieceModel model = read_sentencepiece(bytes, path);
  Json& result = files.description;
  const bool llama = tokenizer_class == "LlamaTokenizer" || tokenizer_class == "CodeLlamaTokenizer";
  const bool chatglm = tokenizer_class == "ChatGLMTokenizer";
  const bool ice = chatglm && std::filesystem::path(path).filename() == "ice_text.model";
  std::vector<std::string> before, after, commands;  // commands are never found in text
  Json back = Json::array();
  if (tokenizer_class == "T5Tokenizer") {
    const int64_t extra = optional_int(config, "extra_ids", 100, path);
    if (extra < 0 || extra > 10000) {
      fail("{}: extra_ids: expected 0 to 10000, found {}", path, extra);
    }
    const auto has_first = [](const auto& piece) { return piece.text == "<extra_id_0>"; };
    if (std::none_of(model.pieces.begin(), model.pieces.end(), has_first)) {
      for (int64_t i = extra - 1; i >= 0; --i) {
        model.pieces.push_back({fmt::format("<extra_id_{}>", i), 0, Type::control});
      }
    }
    after = {"</s>"};
  } else if (tokenizer_class == "XLMRobertaTokenizer") {
    reorder_as_fairseq(&model, path);
    before = {"<s>"};
    after = {"</s>"};
  } else if (ice) {
    const int64_t images = optional_int(config, "num_image_tokens", 20000, path);
    if (images < 0 || images > 1000000) {
      fail("{}: num_image_tokens: expected 0 to 1000000, found {}", path, images);
    }
    model.pieces.insert(model.pieces.begin(), static_cast<size_t>(images), {});
    result["normalizer"] = chatglm_spaces(&back);
    after = {"[gMASK]", "<sop>"};
  } else if (chatglm) {
    commands = {"[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"};
    for (const auto& name : commands) model.pieces.push_back({name, 0, Type::control});
    before = {"[gMASK]", "sop"};
  } else if (!llama && tokenizer_class != "BaichuanTokenizer" &&
             tokenizer_class != "InternLMTokenizer" && tokenizer_class != "InternLM2Tokenizer") {
    fail("{}: SentencePiece model of tokenizer class \"{}\", which Sumi does not know", path,
         tokenizer_class);
  }
  Json added = Json::array();
  const auto id_of = [&](const std::string& name) -> int64_t {
    for (size_t id = 0; id < model.pieces.size(); ++id) {
      if (model.pieces[id].text == name) return static_cast<int64_t>(id);
    }
    fail("{}: no piece {}", path, name);
  };
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.text.empty() || (piece.type != Type::control && piece.type != Type::unknown))
      continue;
    Json token = special_token(piece.text, static_cast<int64_t>(id));
    token["found_in_text"] =
        std::find(commands.begin(), commands.end(), piece.text) == commands.end();
    // as BERT's and RoBERTa's: the space before a mask is its own
    if (tokenizer_class == "XLMRobertaTokenizer" && piece.text == "<mask>") token["lstrip"] = true;
    added.push_back(std::move(token));
  }
  result["added_tokens"] = std::move(added);
  if (!before.empty() || !after.empty()) {
    result["post_processor"] = around_template(before, after, id_of);
  }
  Json& steps = back;
  steps.push_back(replace_step("▁", " "));
  if (model.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  // The dummy prefix is taken away again; and where runs of spaces do not occur, so are all at the
  // start.
  const bool all = model.remove_extra_whitespaces && !ice;
  const int strip = all ? 1000 : model.add_dummy_prefix ? 1 : 0;
  if (strip > 0) {
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", strip}, {"stop", 0}});
  }
  result["decoder"] = {{"type", "Sequence"}, {"decoders", steps}};
  files.prefix_each = optional_bool(config, "legacy", !llama, path);
  files.parts.pre_tokenizer = make_sentencepiece_cleaner(model, files.prefix_each, path);
  files.parts.model = make_sentencepiece_model(model, path);
  return files;
}

PlainFiles read_tiktoken_files(std::string_view bytes, const std::string& path,
                               const std::string& tokenizer_class, const Json& config) {
  PlainFiles files;
  files.name = path;
  files.parts.model = read_tiktoken(bytes, path);
  Json& result = files.description;
  const char* pattern = kLlama3Pattern;
  std::vector<std::string> specials;
  if (tokenizer_class == "QWenTokenizer") {
    pattern = kQwenPattern;
    specials = qwen_specials();
    result["normalizer"] = {{"type", "NFC"}};
  } else if (tokenizer_class == "ChatGLM4Tokenizer") {
    const auto id_of = [&](const std::string& token) { return decoder_id(config, token, path); };
    result["post_processor"] = around_template({"[gMASK]", "<sop>"}, {}, id_of);
  } else if (tokenizer_class == "LlamaTokenizer") {
    if (!find_field(config, "added_tokens_decoder")) specials = llama3_specials();
  } else {
    fail("{}: tiktoken ranks of tokenizer class \"{}\", which Sumi does not know", path,
         tokenizer_class);
  }
  const Json split = {{"type", "Split"},
                      {"pattern", {{"Regex", pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}};
  const Json symbols = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  result["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, symbols}}};
  result["decoder"] = {{"type", "ByteLevel"}};
  int64_t id = files.parts.model->table().size();
  result["added_tokens"] = Json::array();
  for (const std::string& name : specials)
    result["added_tokens"].push_back(special_token(name, id++));
  return files;
}

}  // namespace sumi::text
