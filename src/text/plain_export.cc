#include "text/plain_export.h"

#include <algorithm>
#include <tuple>

#include "base/error.h"
#include "text/sentencepiece.h"
#include "text/tokenizer_gguf.h"
#include "text/unigram_export.h"

namespace sumi::text {

namespace {

using Type = SentencePieceModel::Type;

// Pieces that text finds by merging.
bool is_merged(Type type) { return type == Type::normal || type == Type::user_defined; }

}  // namespace

Json tiktoken_as_bpe(const TokenTable& table) {
  Json vocab = Json::object(), merges = Json::array();
  for (int32_t id = 0; id < table.size(); ++id) {
    if (!table.has(id)) continue;
    const std::string text(table.text(id));
    vocab[text] = id;
    std::vector<std::tuple<int32_t, int32_t, size_t>> cuts;  // left id, right id, place
    for (size_t at = 1; at < text.size(); ++at) {
      const std::string_view all = text;
      const int32_t left = table.find(all.substr(0, at)), right = table.find(all.substr(at));
      if (left >= 0 && right >= 0) cuts.emplace_back(left, right, at);
    }
    std::sort(cuts.begin(), cuts.end());
    for (const auto& [left, right, at] : cuts)
      merges.push_back(Json::array({text.substr(0, at), text.substr(at)}));
  }
  // A piece that is a token is that token.
  return {{"type", "BPE"}, {"ignore_merges", true}, {"vocab", vocab}, {"merges", merges}};
}

void write_gguf_sentencepiece(const TokenizerFolder& folder, const std::string& path,
                              const Tokenizer& tokenizer, int64_t vocab_size,
                              formats::GgufWriter* writer) {
  const SentencePieceModel model = read_sentencepiece(formats::read_text_file(path), path);
  const Json& description = folder.files.description;
  check_gguf_spaces(model, path);
  if (find_field(description, "normalizer"))
    fail("{}: GGUF has no place for the replacements of a {}", path, folder.class_name);
  const auto count = static_cast<size_t>(vocab_size);
  GgufPieces pieces{std::vector<std::string>(count), std::vector<float>(count),
                    std::vector<int32_t>(count, static_cast<int32_t>(Type::unused))};
  std::vector<std::string>& texts = pieces.texts;
  std::vector<float>& scores = pieces.scores;
  std::vector<int32_t>& types = pieces.types;
  std::vector<int32_t> searched;
  const auto put = [&](int64_t id, const std::string& text, Type type) {
    if (id >= vocab_size)
      fail("{}: token {} has id {}, beyond the model's vocabulary of {}", path, text, id,
           vocab_size);
    texts[static_cast<size_t>(id)] = text;
    types[static_cast<size_t>(id)] = static_cast<int32_t>(type);
  };
  // llama.cpp merges to any token whatever its type: to those that text does not find it had better merge last.
  float lowest = 0;
  for (const auto& piece : model.pieces) lowest = std::min(lowest, piece.score);
  std::fill(scores.begin(), scores.end(), lowest - 1);
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    put(static_cast<int64_t>(id), piece.text, piece.type);
    if (is_merged(piece.type)) scores[id] = piece.score;
  }
  for (const Json& token : require_array(description, "added_tokens", path)) {
    const std::string text = require_string(token, "content", path);
    const auto id = tokenizer.find_token(text);
    if (!id) continue;  // files name tokens that the vocabulary lacks
    const bool special = optional_bool(token, "special", false, path);
    const bool unknown = static_cast<size_t>(*id) < count &&
                         types[static_cast<size_t>(*id)] == static_cast<int32_t>(Type::unknown);
    // Where the token replaces a piece, text finds that no longer.
    if (static_cast<size_t>(*id) < count) scores[static_cast<size_t>(*id)] = lowest - 1;
    put(*id, text, unknown ? Type::unknown : special ? Type::control : Type::user_defined);
    if (optional_bool(token, "found_in_text", true, path)) searched.push_back(*id);
  }
  for (size_t id = 0; id < count; ++id)
    if (texts[id].empty()) texts[id] = fmt::format("[PAD{}]", id);
  write_gguf_pieces("llama", pieces, model, writer);
  writer->set_bool(kGgufSentencePiece, true);
  writer->set_bool(kGgufPrefixEach, folder.files.prefix_each);
  writer->set_int32s(kGgufSearchedIds, searched);
}

}  // namespace sumi::text
