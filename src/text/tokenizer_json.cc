#include "text/tokenizer_json.h"

#include <algorithm>

#include "base/error.h"
#include "text/unicode.h"
#include "text/unigram.h"
#include "text/word_piece.h"

namespace sumi::text {
namespace {

TokenTable read_vocabulary(const Json& model, const std::string& where) {
  const Json& vocab = require_object(model, "vocab", where);
  TokenTable table;
  table.reserve(vocab.size());
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_integer()) fail("{}: vocab: id of \"{}\": expected an integer", where, text);
    const bool huge = id.is_number_unsigned() && id.get<uint64_t>() > INT64_MAX;
    const int64_t value = huge ? INT64_MAX : id.get<int64_t>();
    if (value < 0 || value > TokenTable::kMaxId) {
      fail("{}: vocab: id {} of \"{}\": expected 0 to {}", where, id.dump(), text,
           TokenTable::kMaxId);
    }
    if (!table.insert(text, value)) fail("{}: vocab: id {} is given twice", where, value);
  }
  return table;
}

// A merge is "left right" or ["left", "right"].
std::pair<std::string, std::string> split_merge(const Json& merge, size_t rank,
                                                const std::string& where) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
    return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  }
  if (merge.is_string()) {
    const std::string& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  }
  fail("{}: merges: entry {}: expected two tokens, found {}", where, rank,
       merge.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 100));
}

MergeTable read_merges(const Json& model, const TokenTable& table, const std::string& prefix,
                       const std::string& where) {
  const Json& list = require_array(model, "merges", where);
  MergeTable merges;
  merges.reserve(list.size());
  for (size_t rank = 0; rank < list.size(); ++rank) {
    const auto [left, right] = split_merge(list[rank], rank, where);
    if (right.compare(0, prefix.size(), prefix) != 0) {
      fail("{}: merges: entry {}: \"{}\" lacks continuing_subword_prefix", where, rank, right);
    }
    const auto id_of = [&](const std::string& text) {
      const int32_t id = table.find(text);
      if (id < 0) fail("{}: merges: entry {}: \"{}\" is not in the vocabulary", where, rank, text);
      return id;
    };
    merges.set(id_of(left), id_of(right),
               {static_cast<int32_t>(rank), id_of(left + right.substr(prefix.size()))});
  }
  return merges;
}

std::unique_ptr<TokenModel> make_bpe(const Json& model, const std::string& where) {
  if (const Json* dropout = find_field(model, "dropout")) {
    if (!dropout->is_number() || dropout->get<double>() != 0) {
      fail("{}: dropout: expected null, found {}", where, dropout->dump());
    }
  }
  BpeOptions options;
  options.unknown = optional_string(model, "unk_token", "", where);
  options.continuing_prefix = optional_string(model, "continuing_subword_prefix", "", where);
  options.word_suffix = optional_string(model, "end_of_word_suffix", "", where);
  options.fuse_unknown = optional_bool(model, "fuse_unk", false, where);
  options.byte_fallback = optional_bool(model, "byte_fallback", false, where);
  options.ignore_merges = optional_bool(model, "ignore_merges", false, where);
  TokenTable table = read_vocabulary(model, where);
  MergeTable merges = read_merges(model, table, options.continuing_prefix, where);
  return std::make_unique<Bpe>(std::move(table), std::move(merges), std::move(options), where);
}

std::unique_ptr<TokenModel> make_word_piece(const Json& model, const std::string& where) {
  WordPieceOptions options;
  options.unknown = optional_string(model, "unk_token", options.unknown, where);
  options.continuing_prefix =
      optional_string(model, "continuing_subword_prefix", options.continuing_prefix, where);
  const int64_t longest = optional_int(model, "max_input_chars_per_word", 100, where);
  if (longest < 1 || longest > 10000) {
    fail("{}: max_input_chars_per_word: expected 1 to 10000, found {}", where, longest);
  }
  options.longest_word = static_cast<size_t>(longest);
  return std::make_unique<WordPiece>(read_vocabulary(model, where), std::move(options), where);
}

// "vocab" is a list of [token, score]; a token's place is its id.
std::unique_ptr<TokenModel> make_unigram(const Json& model, const std::string& where) {
  const Json& list = require_array(model, "vocab", where);
  TokenTable table;
  table.reserve(list.size());
  std::vector<double> scores;
  for (const Json& item : list) {
    const size_t id = scores.size();
    if (!item.is_array() || item.size() != 2 || !item[0].is_string() || !item[1].is_number()) {
      fail("{}: vocab: entry {}: expected [token, score]", where, id);
    }
    scores.push_back(item[1].get<double>());
    if (!table.insert(item[0].get<std::string>(), static_cast<int64_t>(id))) {
      fail("{}: vocab: entry {}: token \"{}\" occurs twice, or there are too many", where, id,
           item[0].get<std::string>());
    }
  }
  UnigramOptions options;
  const int64_t unknown = optional_int(model, "unk_id", -1, where);
  if (unknown < -1 || unknown >= table.size()) {
    fail("{}: unk_id {} is not in the vocabulary of {}", where, unknown, table.size());
  }
  options.unknown = static_cast<int32_t>(unknown);
  options.byte_fallback = optional_bool(model, "byte_fallback", false, where);
  return std::make_unique<Unigram>(std::move(table), std::move(scores), std::move(options), where);
}

std::unique_ptr<TokenModel> make_model(const Json& config, const std::string& name) {
  const Json& model = require_field(config, "model", name);
  std::string type = optional_string(model, "type", "", name + " model");
  if (type.empty()) {  // older files do not name it
    type = model.contains("merges")                      ? "BPE"
           : model.contains("unk_id")                    ? "Unigram"
           : model.contains("continuing_subword_prefix") ? "WordPiece"
                                                         : "(missing)";
  }
  const std::string where = name + " model " + type;
  if (type == "BPE") return make_bpe(model, where);
  if (type == "WordPiece") return make_word_piece(model, where);
  if (type == "Unigram") return make_unigram(model, where);
  fail("{}: unknown model type {}", name, type);
}

}  // namespace

JsonTokenizer::JsonTokenizer(const Json& config, const std::string& name, TokenizerParts parts)
    : name_(name),
      model_(parts.model ? std::move(parts.model) : make_model(config, name)),
      pre_tokenizer_(std::move(parts.pre_tokenizer)) {
  if (const Json* value = find_field(config, "normalizer")) {
    normalizer_ = make_normalizer(*value, name + " normalizer");
  }
  if (const Json* value = find_field(config, "pre_tokenizer"); value && !pre_tokenizer_) {
    pre_tokenizer_ = make_pre_tokenizer(*value, name + " pre_tokenizer");
  }
  if (const Json* value = find_field(config, "decoder")) {
    decoder_ = TextDecoder(*value, name + " decoder");
  }
  read_added_tokens(config);
  if (const Json* value = find_field(config, "post_processor")) {
    TokenTable all;  // the template may name any token
    for (int32_t id = 0; id < vocab_size(); ++id) {
      if (model_->table().has(id) || added_.has(id)) all.insert(text_of(id), id);
    }
    post_processor_ = PostProcessor(*value, all, name + " post_processor");
  }
}

void JsonTokenizer::read_added_tokens(const Json& config) {
  const Json* list = find_field(config, "added_tokens");
  if (!list) return;
  const std::string where = name_ + " added_tokens";
  if (!list->is_array()) fail("{}: expected an array, found {}", where, list->type_name());
  for (const Json& item : *list) {
    AddedToken token;
    token.content = require_string(item, "content", where);
    const int64_t id = require_int(item, "id", where);
    token.special = optional_bool(item, "special", false, where);
    token.single_word = optional_bool(item, "single_word", false, where);
    token.lstrip = optional_bool(item, "lstrip", false, where);
    token.rstrip = optional_bool(item, "rstrip", false, where);
    token.normalized = optional_bool(item, "normalized", !token.special, where);
    if (token.content.empty()) continue;
    // A token that the model knows keeps the model's id, as in Hugging Face's reader.
    token.id = model_->table().find(token.content);
    if (token.id < 0 && id == kOfTheModel) continue;
    if (token.id < 0) {
      // Only descriptions that Sumi makes of other files have this field.
      const bool replaces = optional_bool(item, "replaces", false, where);
      if ((model_->table().has(id) && !replaces) || !added_.insert(token.content, id)) {
        fail("{}: \"{}\": id {} is taken or not in 0 to {}", where, token.content, id,
             TokenTable::kMaxId);
      }
      token.id = static_cast<int32_t>(id);
    }
    if (special_.size() <= static_cast<size_t>(token.id)) special_.resize(token.id + 1);
    special_[token.id] = special_[token.id] || token.special;
    std::string pattern = token.content;
    if (token.normalized && normalizer_) {
      normalizer_->apply(&pattern);
      if (pattern != token.content) normalized_texts_[token.id] = pattern;
    }
    if (!optional_bool(item, "found_in_text", true, where)) continue;
    (token.normalized ? normalized_matcher_ : raw_matcher_).add(token, std::move(pattern));
  }
}

std::vector<int32_t> JsonTokenizer::encode(std::string_view input,
                                           const EncodeOptions& options) const {
  const std::string text = repair_utf8(input);
  std::vector<int32_t> ids;
  for (const auto& segment : raw_matcher_.split(text, options.parse_special, options.as_text)) {
    if (segment.id >= 0) {
      ids.push_back(segment.id);
    } else {
      encode_piece_of_text(text.substr(segment.begin, segment.end - segment.begin),
                           segment.begin == 0, options, &ids);
    }
  }
  return options.add_special ? post_processor_.apply(std::move(ids)) : ids;
}

void JsonTokenizer::encode_piece_of_text(std::string text, bool starts_text,
                                         const EncodeOptions& options,
                                         std::vector<int32_t>* ids) const {
  if (normalizer_) normalizer_->apply(&text);
  std::vector<Piece> pieces;
  for (const auto& segment :
       normalized_matcher_.split(text, options.parse_special, options.as_text)) {
    if (segment.id >= 0) {
      ids->push_back(segment.id);
      continue;
    }
    pieces.clear();
    pieces.push_back({text.substr(segment.begin, segment.end - segment.begin),
                      starts_text && segment.begin == 0});
    if (pre_tokenizer_) pre_tokenizer_->apply(&pieces);
    for (const Piece& piece : pieces) model_->encode(piece.text, ids);
  }
}

std::string JsonTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  DecodeState state;
  for (const int32_t id : ids) decode_next(&state, id, skip_special, &text);
  decode_end(&state, &text);
  return text;
}

void JsonTokenizer::decode_next(DecodeState* state, int32_t id, bool skip_special,
                                std::string* text) const {
  const std::string_view token = text_of(id);
  if (skip_special && is_special(id)) return;
  const auto normalized = normalized_texts_.find(id);
  decoder_.append(state, normalized == normalized_texts_.end() ? token : normalized->second, text);
}

void JsonTokenizer::decode_end(DecodeState* state, std::string* text) const {
  decoder_.finish(state, text);
}

int64_t JsonTokenizer::vocab_size() const {
  return std::max(model_->table().size(), added_.size());
}

std::string_view JsonTokenizer::text_of(int32_t id) const {
  if (added_.has(id)) return added_.text(id);  // it may replace the model's
  if (!model_->table().has(id))
    fail("{}: token id {} is not in the vocabulary of {}", name_, id, vocab_size());
  return model_->table().text(id);
}

std::string JsonTokenizer::token_text(int32_t id) const { return std::string(text_of(id)); }

std::optional<int32_t> JsonTokenizer::find_token(std::string_view text) const {
  int32_t id = model_->table().find(text);
  if (id < 0) id = added_.find(text);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

bool JsonTokenizer::is_special(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < special_.size() && special_[id];
}

void JsonTokenizer::find_adds_bos() {
  const auto around = post_processor_.apply({-1});  // -1 stands for the text
  adds_bos = bos_id && around.front() == *bos_id;
}

std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const std::string& name) {
  return std::make_unique<JsonTokenizer>(formats::parse_json(json, name), name);
}

}  // namespace sumi::text
