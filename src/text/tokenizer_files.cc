#include "text/tokenizer_files.h"

#include <bit>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "text/gguf_pre.h"
#include "text/tokenizer_gguf.h"

namespace sumi::text {

namespace {

using OrderedJson = nlohmann::ordered_json;

TokenKind kind_of(const std::vector<int64_t>& kinds, size_t id) {
  return id < kinds.size() ? static_cast<TokenKind>(kinds[id]) : TokenKind::normal;
}

// Tokens that are found in a text whole.
bool is_added(TokenKind kind) {
  return kind == TokenKind::control || kind == TokenKind::user_defined;
}

OrderedJson added_token(const std::string& content, TokenKind kind) {
  return {{"content", content}, {"single_word", false},  {"lstrip", false},
          {"rstrip", false},    {"normalized", false},   {"special", kind == TokenKind::control}};
}

// "<s> text": what stands before and after a text.
OrderedJson post_processor(const formats::GgufFile& file, const Tokenizer& tokenizer) {
  std::vector<int32_t> before = tokenizer.encode(""), after;
  if (!before.empty() && file.get_bool("tokenizer.ggml.add_eos_token", false)) {
    after.push_back(before.back());
    before.pop_back();
  }
  if (before.empty() && after.empty()) return {{"type", "ByteLevel"},
                                               {"add_prefix_space", false},
                                               {"trim_offsets", false},
                                               {"use_regex", false}};
  OrderedJson single = OrderedJson::array(), pair = OrderedJson::array(),
              names = OrderedJson::object();
  const auto add = [&](const std::vector<int32_t>& ids) {
    for (const int32_t id : ids) {
      const std::string token = tokenizer.token_text(id);
      for (OrderedJson* list : {&single, &pair})
        list->push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
      names[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
    }
  };
  const OrderedJson first = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  add(before);
  single.push_back(first);
  pair.push_back(first);
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  add(after);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", names}};
}

void write_byte_level(const formats::GgufFile& file, const Tokenizer& tokenizer,
                      const std::vector<int64_t>& kinds, const std::string& folder) {
  const GgufPre pre =
      gguf_pre_tokenizer(file.get_string("tokenizer.ggml.pre", "default"), file.describe());
  OrderedJson splits = OrderedJson::array();
  for (const std::string& pattern : pre.patterns)
    splits.push_back({{"type", "Split"},
                      {"pattern", {{"Regex", pattern}}},
                      {"behavior", "Isolated"},
                      {"invert", false}});
  splits.push_back({{"type", "ByteLevel"},
                    {"add_prefix_space", false},
                    {"trim_offsets", false},
                    {"use_regex", false}});
  OrderedJson vocab = OrderedJson::object(), added = OrderedJson::array();
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string text = tokenizer.token_text(id);
    vocab[text] = id;
    const TokenKind kind = kind_of(kinds, static_cast<size_t>(id));
    if (!is_added(kind)) continue;
    OrderedJson token = {{"id", id}};
    token.update(added_token(text, kind));
    added.push_back(token);
  }
  OrderedJson merges = OrderedJson::array();
  for (const std::string_view line : file.get_strings("tokenizer.ggml.merges"))
    merges.push_back(line);
  const OrderedJson json = {{"version", "1.0"},
                     {"truncation", nullptr},
                     {"padding", nullptr},
                     {"added_tokens", added},
                     {"normalizer", nullptr},
                     {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", splits}}},
                     {"post_processor", post_processor(file, tokenizer)},
                     {"decoder", splits.back()},
                     {"model",
                      {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", nullptr},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", false},
                       {"byte_fallback", false},
                       {"ignore_merges", pre.ignore_merges},
                       {"vocab", vocab},
                       {"merges", merges}}}};
  formats::write_text_file(folder + "/tokenizer.json", json.dump(1) + "\n");
}

// Fields of a protocol buffer's message (sentencepiece_model.proto gives the numbers).
class Message {
 public:
  Message& bytes(int field, const std::string& value) {
    varint(static_cast<uint64_t>(field) << 3 | 2);
    varint(value.size());
    text_ += value;
    return *this;
  }
  Message& real(int field, float value) {
    varint(static_cast<uint64_t>(field) << 3 | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int i = 0; i < 4; ++i) text_ += static_cast<char>(bits >> (8 * i));
    return *this;
  }
  Message& integer(int field, int64_t value) {
    varint(static_cast<uint64_t>(field) << 3);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

// The tokens that were added to the model; null where the file does not tell those from the model's own.
using AddedIds = std::optional<std::set<int64_t>>;

AddedIds read_searched(const formats::GgufFile& file) {
  if (!file.get_bool(kGgufSentencePiece, false)) return std::nullopt;
  if (!file.has_key(kGgufSearchedIds)) return std::set<int64_t>();
  const std::vector<int64_t> ids = file.get_ints(kGgufSearchedIds);
  return std::set<int64_t>(ids.begin(), ids.end());
}

// unigram: T5's; else BPE.
void write_sentencepiece(const formats::GgufFile& file, const Tokenizer& tokenizer,
                         const std::vector<int64_t>& kinds, const AddedIds& searched, bool unigram,
                         const std::string& path) {
  const std::vector<double> scores = file.get_floats("tokenizer.ggml.scores");
  const bool exact = !unigram && searched;  // as sentencepiece reads it
  Message model;
  bool bytes = false;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const auto at = static_cast<size_t>(id);
    TokenKind kind = kind_of(kinds, at);
    bytes = bytes || kind == TokenKind::byte;
    if (kind == TokenKind::undefined) kind = unigram ? TokenKind::unused : TokenKind::normal;
    // BPE models have no unused pieces; one that is found whole is in nobody's way.
    if (kind == TokenKind::unused && !unigram) kind = TokenKind::user_defined;
    if (unigram && tokenizer.unk_id == id) kind = TokenKind::unknown;
    if (kind == TokenKind::user_defined && searched && searched->count(id) > 0)
      kind = TokenKind::control;
    Message piece;
    piece.bytes(1, tokenizer.token_text(id));
    piece.real(2, at < scores.size() ? static_cast<float>(scores[at]) : 0.0f);
    piece.integer(3, static_cast<int64_t>(kind));
    model.bytes(1, piece.text());
  }
  constexpr int64_t kUnigram = 1, kBpe = 2;
  Message trainer, normalizer;
  trainer.integer(3, unigram ? kUnigram : kBpe).integer(4, tokenizer.vocab_size()).integer(35, bytes);
  const std::pair<int, std::optional<int32_t>> ids[] = {
      {40, tokenizer.unk_id}, {41, tokenizer.bos_id}, {42, tokenizer.eos_id},
      {43, tokenizer.pad_id}};
  for (const auto& [field, id] : ids) trainer.integer(field, id ? *id : -1);
  const std::string charsmap = unigram || exact ? read_charsmap(file) : "";
  normalizer.bytes(1, charsmap.empty() ? "identity" : "user_defined");
  if (!charsmap.empty()) normalizer.bytes(2, charsmap);
  normalizer.integer(3, file.get_bool("tokenizer.ggml.add_space_prefix", !unigram));
  normalizer.integer(
      4, (unigram || exact) && file.get_bool("tokenizer.ggml.remove_extra_whitespaces", false));
  normalizer.integer(5, true);
  model.bytes(2, trainer.text()).bytes(3, normalizer.text());
  formats::write_text_file(path, model.text());
}

}  // namespace

void write_tokenizer_files(const formats::GgufFile& file, const Tokenizer& tokenizer,
                           const std::string& folder) {
  std::vector<int64_t> kinds;
  if (file.has_key("tokenizer.ggml.token_type")) kinds = file.get_ints("tokenizer.ggml.token_type");
  const std::string model = file.get_string("tokenizer.ggml.model");
  const bool unigram = model == "t5", spm = model == "llama" || unigram;
  if (!spm && model != "gpt2")
    fail("{}: tokenizer.ggml.model: writing {} as files is not known; gpt2, llama and t5 are",
         file.describe(), model);
  const AddedIds searched = read_searched(file);
  if (spm)
    write_sentencepiece(file, tokenizer, kinds, searched, unigram,
                        folder + (unigram ? "/spiece.model" : "/tokenizer.model"));
  else
    write_byte_level(file, tokenizer, kinds, folder);
  OrderedJson config = {{"tokenizer_class", unigram ? "T5Tokenizer"
                                            : spm   ? "LlamaTokenizer"
                                                    : "PreTrainedTokenizerFast"}};
  const std::pair<const char*, std::optional<int32_t>> named[] = {{"bos_token", tokenizer.bos_id},
                                                                  {"eos_token", tokenizer.eos_id},
                                                                  {"unk_token", tokenizer.unk_id},
                                                                  {"pad_token", tokenizer.pad_id}};
  for (const auto& [name, id] : named)
    if (id) config[name] = tokenizer.token_text(*id);
  config["add_bos_token"] = tokenizer.adds_bos;
  config["add_eos_token"] = file.get_bool("tokenizer.ggml.add_eos_token", unigram);
  config["clean_up_tokenization_spaces"] = false;
  if (unigram) config["extra_ids"] = 0;  // those that there are lie in the vocabulary
  if (spm) {
    // After a special token, text gets the space before it again.
    config["legacy"] = file.get_bool(kGgufPrefixEach, true);
    config["added_tokens_decoder"] = OrderedJson::object();
    for (size_t id = 0; id < kinds.size(); ++id)
      if (is_added(static_cast<TokenKind>(kinds[id])) &&
          (!searched || searched->count(static_cast<int64_t>(id)) > 0))
        config["added_tokens_decoder"][std::to_string(id)] =
            added_token(tokenizer.token_text(static_cast<int32_t>(id)),
                        static_cast<TokenKind>(kinds[id]));
  }
  if (!tokenizer.chat_template.empty()) config["chat_template"] = tokenizer.chat_template;
  formats::write_text_file(folder + "/tokenizer_config.json", config.dump(1) + "\n");
}

}  // namespace sumi::text
