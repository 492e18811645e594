#include "text/unigram_export.h"

#include "base/error.h"
#include "text/charsmap.h"
#include "text/plain_files.h"

namespace sumi::text {

namespace {

using Type = SentencePieceModel::Type;

constexpr float kUnusedScore = -10000;  // llama.cpp finds unused tokens in text, too

// What a replacement may look for: spaces, as many as may be.
bool is_spaces(const Json& step, const std::string& where) {
  const Json& pattern = require_object(step, "pattern", where);
  for (const auto& [kind, value] : pattern.items())
    if (!value.is_string() ||
        value.get<std::string>().find_first_not_of(" +{}0123456789,▁") != std::string::npos)
      return false;
  return true;
}

// Finds the table of replacements. Steps that only move spaces are GGUF's remove_extra_whitespaces.
void read_normalizer(const Json& step, const std::string& where, SentencePieceModel* model) {
  const std::string type = require_string(step, "type", where);
  if (type == "Sequence") {
    for (const Json& one : require_array(step, "normalizers", where))
      read_normalizer(one, where, model);
  } else if (type == "Precompiled" && model->charsmap.empty()) {
    model->charsmap = decode_base64(require_string(step, "precompiled_charsmap", where), where);
  } else if (type != "Strip" && !(type == "Replace" && is_spaces(step, where))) {
    fail("{}: GGUF has no place for the step {} of a unigram vocabulary", where, type);
  }
}

bool is_byte_token(const std::string& text) {
  return text.size() == 6 && text.compare(0, 3, "<0x") == 0 && text.back() == '>';
}

SentencePieceModel from_json(const Json& config, const std::string& where,
                             const Tokenizer& tokenizer) {
  SentencePieceModel model;
  const Json& unigram = require_field(config, "model", where);
  model.byte_fallback = optional_bool(unigram, "byte_fallback", false, where);
  for (const Json& entry : require_array(unigram, "vocab", where)) {  // the tokenizer checked them
    const std::string text = entry[0].get<std::string>();
    const bool byte = model.byte_fallback && is_byte_token(text);
    model.pieces.push_back({text, entry[1].get<float>(), byte ? Type::byte : Type::normal});
  }
  if (const Json* added = find_field(config, "added_tokens"))
    for (const Json& token : *added) {
      const std::string text = require_string(token, "content", where);
      const auto id = static_cast<size_t>(tokenizer.find_token(text).value_or(0));
      if (id >= model.pieces.size()) model.pieces.resize(id + 1, {"", kUnusedScore, Type::unused});
      model.pieces[id].text = text;
      model.pieces[id].type =
          optional_bool(token, "special", false, where) ? Type::control : Type::user_defined;
    }
  const int64_t unknown = optional_int(unigram, "unk_id", -1, where);
  if (unknown >= 0) model.pieces[static_cast<size_t>(unknown)].type = Type::unknown;
  if (const Json* normalizer = find_field(config, "normalizer"))
    read_normalizer(*normalizer, where + " normalizer", &model);
  // Several steps together do these: what they do shows.
  const auto ids = [&](const char* text) {
    return tokenizer.encode(text, {.add_special = false});
  };
  const std::vector<int32_t> one = ids("x");
  model.add_dummy_prefix = !one.empty() && tokenizer.token_text(one[0]).rfind("▁", 0) == 0;
  model.remove_extra_whitespaces = ids("x  x") == ids("x x") && ids("x ") == one;
  return model;
}

}  // namespace

std::optional<SentencePieceModel> folder_unigram(const std::string& folder,
                                                 const Tokenizer& tokenizer) {
  const std::string json = folder + "/tokenizer.json";
  if (formats::file_exists(json)) {
    const Json config = formats::read_json_file(json);
    const Json& model = require_field(config, "model", json);
    const bool named = model.contains("type");
    if (named ? model["type"] != "Unigram" : !model.contains("unk_id")) return std::nullopt;
    return from_json(config, json, tokenizer);
  }
  const std::string name = find_plain_vocabulary(folder);
  if (name.empty()) return std::nullopt;
  const std::string path = folder + "/" + name, bytes = formats::read_text_file(path);
  if (!is_sentencepiece(bytes)) return std::nullopt;
  SentencePieceModel model = read_sentencepiece(bytes, path);
  if (model.kind != SentencePieceModel::Kind::unigram) return std::nullopt;
  check_gguf_spaces(model, path);
  for (size_t id = 0; id < model.pieces.size(); ++id)
    if (tokenizer.token_text(static_cast<int32_t>(id)) != model.pieces[id].text)
      fail("{}: its pieces are not the folder's tokens: GGUF has no place for that", path);
  for (auto id = static_cast<int32_t>(model.pieces.size()); id < tokenizer.vocab_size(); ++id)
    model.pieces.push_back({tokenizer.token_text(id), 0,
                            tokenizer.is_special(id) ? Type::control : Type::user_defined});
  return model;
}

void write_gguf_unigram(const SentencePieceModel& model, int64_t vocab_size,
                        const std::string& where, formats::GgufWriter* writer) {
  const auto count = static_cast<int64_t>(model.pieces.size());
  if (count > vocab_size)
    fail("{}: token {} has id {}, beyond the model's vocabulary of {}", where,
         model.pieces.back().text, count - 1, vocab_size);
  GgufPieces pieces;
  for (int64_t id = 0; id < vocab_size; ++id) {
    const bool used = id < count && !model.pieces[static_cast<size_t>(id)].text.empty();
    SentencePieceModel::Piece piece{fmt::format("[PAD{}]", id), kUnusedScore, Type::unused};
    if (used) piece = model.pieces[static_cast<size_t>(id)];
    pieces.texts.push_back(piece.text);
    pieces.scores.push_back(piece.score);
    pieces.types.push_back(static_cast<int32_t>(piece.type));
  }
  write_gguf_pieces("t5", pieces, model, writer);
}

void check_gguf_spaces(const SentencePieceModel& model, const std::string& path) {
  if (model.whitespace_as_suffix || !model.escape_whitespaces)
    fail("{}: GGUF has no place for spaces that are {}", path,
         model.escape_whitespaces ? "put behind words" : "not spelled ▁");
}

void write_gguf_pieces(const char* kind, const GgufPieces& pieces, const SentencePieceModel& model,
                       formats::GgufWriter* writer) {
  writer->set_string("tokenizer.ggml.model", kind);
  writer->set_string("tokenizer.ggml.pre", "default");
  writer->set_strings("tokenizer.ggml.tokens", pieces.texts);
  writer->set_float32s("tokenizer.ggml.scores", pieces.scores);
  writer->set_int32s("tokenizer.ggml.token_type", pieces.types);
  writer->set_bool("tokenizer.ggml.add_space_prefix", model.add_dummy_prefix);
  writer->set_bool("tokenizer.ggml.remove_extra_whitespaces", model.remove_extra_whitespaces);
  if (!model.charsmap.empty())
    writer->set_bytes("tokenizer.ggml.precompiled_charsmap", model.charsmap);
}

}  // namespace sumi::text
