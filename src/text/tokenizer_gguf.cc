#include "text/tokenizer_gguf.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "text/gguf_pre.h"
#include "text/sentencepiece.h"
#include "text/spm.h"
#include "text/unicode.h"

namespace sumi::text {
namespace {

constexpr const char* kPrefix = "tokenizer.ggml.";

std::string key(const char* name) { return std::string(kPrefix) + name; }

TokenTable read_tokens(const formats::GgufFile& file) {
  const auto& tokens = file.get_strings(key("tokens"));
  if (tokens.empty() || static_cast<int64_t>(tokens.size()) > TokenTable::kMaxId) {
    fail("{}: tokenizer.ggml.tokens: {} tokens", file.describe(), tokens.size());
  }
  size_t bytes = 0;
  for (const std::string_view token : tokens) bytes += token.size();
  TokenTable table;
  table.reserve(tokens.size(), bytes);
  for (size_t id = 0; id < tokens.size(); ++id) {
    // Empty texts stand for ids that are not used; llama.cpp gives them this name.
    std::string text =
        tokens[id].empty() ? "[EMPTY_" + std::to_string(id) + "]" : std::string(tokens[id]);
    if (!is_valid_utf8(text)) {
      fail("{}: tokenizer.ggml.tokens: token {} is not UTF-8", file.describe(), id);
    }
    if (!table.insert(text, static_cast<int64_t>(id))) {
      fail("{}: tokenizer.ggml.tokens: token {} \"{}\" occurs twice", file.describe(), id,
           tokens[id]);
    }
  }
  return table;
}

MergeTable read_merges(const formats::GgufFile& file, const TokenTable& table) {
  const auto& lines = file.get_strings(key("merges"));
  MergeTable merges;
  merges.reserve(lines.size());
  std::string merged;
  for (size_t rank = 0; rank < lines.size(); ++rank) {
    const std::string_view line = lines[rank];
    // The first token may itself start with a space.
    const size_t space = line.find(' ', 1);
    if (space == std::string_view::npos) {
      fail("{}: tokenizer.ggml.merges: entry {}: expected two tokens, found \"{}\"",
           file.describe(), rank, line);
    }
    const std::string_view left = line.substr(0, space), right = line.substr(space + 1);
    const auto id_of = [&](std::string_view text) {
      const int32_t id = table.find(text);
      if (id < 0) {
        fail("{}: tokenizer.ggml.merges: entry {}: \"{}\" is not a token", file.describe(), rank,
             text);
      }
      return id;
    };
    const int32_t left_id = id_of(left), right_id = id_of(right);
    if (merges.find(left_id, right_id)) continue;  // the first of equals counts
    merged.assign(left).append(right);
    merges.set(left_id, right_id, {static_cast<int32_t>(rank), id_of(merged)});
  }
  return merges;
}

// One for each token; zeros if the file has none.
std::vector<float> read_scores(const formats::GgufFile& file, int64_t tokens) {
  std::vector<float> scores(static_cast<size_t>(tokens), 0.0f);
  if (!file.has_key(key("scores"))) return scores;
  const auto values = file.get_floats(key("scores"));
  if (values.size() < scores.size()) {
    fail("{}: tokenizer.ggml.scores: expected {} values, found {}", file.describe(),
         scores.size(), values.size());
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(values[i]))
      fail("{}: tokenizer.ggml.scores: value {} is not a number", file.describe(), i);
    scores[i] = static_cast<float>(values[i]);
  }
  return scores;
}

// A vocabulary of SentencePiece's BPE as its file would have it. searched: tokens that are found in text whole.
SentencePieceModel read_merged_pieces(const formats::GgufFile& file, const TokenTable& table,
                                      const std::vector<TokenKind>& kinds,
                                      const std::vector<int32_t>& searched) {
  using Type = SentencePieceModel::Type;
  SentencePieceModel model;
  model.kind = SentencePieceModel::Kind::bpe;
  const std::vector<float> scores = read_scores(file, table.size());
  for (size_t id = 0; id < scores.size(); ++id) {
    const bool unused = kinds[id] == TokenKind::undefined || kinds[id] == TokenKind::unused;
    model.byte_fallback = model.byte_fallback || kinds[id] == TokenKind::byte;
    // What is not used is in nobody's way as a control piece: text does not find such.
    model.pieces.push_back({std::string(table.text(static_cast<int32_t>(id))), scores[id],
                            unused ? Type::control : static_cast<Type>(kinds[id])});
  }
  for (const int32_t id : searched) {  // added to the model, not of it
    Type& type = model.pieces[static_cast<size_t>(id)].type;
    if (type == Type::user_defined) type = Type::control;
  }
  model.charsmap = read_charsmap(file);
  model.add_dummy_prefix = file.get_bool(key("add_space_prefix"), true);
  model.remove_extra_whitespaces = file.get_bool(key("remove_extra_whitespaces"), false);
  return model;
}

// T5's vocabulary as SentencePiece's file would have it.
SentencePieceModel read_unigram(const formats::GgufFile& file, const TokenTable& table,
                                const std::vector<TokenKind>& kinds, int32_t unknown) {
  if (!file.has_key(key("scores"))) fail("{}: no tokenizer.ggml.scores", file.describe());
  SentencePieceModel model;
  const std::vector<float> scores = read_scores(file, table.size());
  size_t bytes = 0;
  for (size_t id = 0; id < scores.size(); ++id) {
    if (!std::isfinite(scores[id]))
      fail("{}: tokenizer.ggml.scores: value {} is infinite", file.describe(), id);
    auto type = static_cast<SentencePieceModel::Type>(kinds[id]);
    if (kinds[id] == TokenKind::undefined) type = SentencePieceModel::Type::unused;
    if (static_cast<int32_t>(id) == unknown) type = SentencePieceModel::Type::unknown;
    bytes += kinds[id] == TokenKind::byte ? 1 : 0;
    model.pieces.push_back({std::string(table.text(static_cast<int32_t>(id))), scores[id], type});
  }
  model.charsmap = read_charsmap(file);
  model.add_dummy_prefix = file.get_bool(key("add_space_prefix"), false);
  model.remove_extra_whitespaces = file.get_bool(key("remove_extra_whitespaces"), false);
  // Only a vocabulary that was trained for it has bytes. llama.cpp leaves them out.
  model.byte_fallback = bytes == 256;
  model.double_sums = true;
  return model;
}

bool contains_any(std::string text, std::initializer_list<const char*> parts) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return std::any_of(parts.begin(), parts.end(),
                     [&](const char* part) { return text.find(part) != std::string::npos; });
}

// Tokens that end a turn or a text in the chat formats of the models that exist.
constexpr std::array kEndTexts = {"<|eot_id|>",
                                  "<|im_end|>",
                                  "<|end|>",
                                  "<|return|>",
                                  "<|call|>",
                                  "<|flush|>",
                                  "<|calls|>",
                                  "<end_of_turn>",
                                  "<|endoftext|>",
                                  "</s>",
                                  "<|eom_id|>",
                                  "<EOT>",
                                  "_<EOT>",
                                  "[EOT]",
                                  "[EOS]",
                                  "<|end_of_text|>",
                                  "<end_of_utterance>",
                                  "<eos>",
                                  "<turn|>",
                                  "<|tool_response>",
                                  "<｜end▁of▁sentence｜>",
                                  "[e~["};

bool is_c_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

std::string read_charsmap(const formats::GgufFile& file) {
  const std::string name = key("precompiled_charsmap");
  std::string bytes;
  if (!file.has_key(name)) return bytes;
  for (const int64_t value : file.get_ints(name)) {
    if (value < -128 || value > 255) {
      fail("{}: {}: expected bytes, found {}", file.describe(), name, value);
    }
    bytes += static_cast<char>(value);
  }
  return bytes;
}

GgufTokenizer::GgufTokenizer(const formats::GgufFile& file, bool as_llama_cpp)
    : name_(file.describe()) {
  const std::string& model = file.get_string(key("model"));
  const bool spm = model == "llama", unigram = model == "t5";
  if (!spm && !unigram && model != "gpt2" && model != "gemma4") {
    fail("{}: tokenizer.ggml.model: unknown tokenizer {}", name_, model);
  }
  TokenTable table = read_tokens(file);
  read_kinds(file, table.size());
  read_special_ids(file, table, spm ? SpecialIds{1, 2, 0, -1}
                                    : unigram ? SpecialIds{-1, 1, 2, 0} : SpecialIds{});
  sentencepiece_ = spm && !as_llama_cpp && file.get_bool(kGgufSentencePiece, false);
  if (sentencepiece_) {
    std::vector<int32_t> searched = read_ids(file, kGgufSearchedIds, table.size());
    const SentencePieceModel pieces = read_merged_pieces(file, table, kinds_, searched);
    model_ = make_sentencepiece_model(pieces, name_);
    pre_tokenizer_ =
        make_sentencepiece_cleaner(pieces, file.get_bool(kGgufPrefixEach, true), name_);
    cleans_ = escape_spaces_ = true;
    adds_bos = true;
    partition_ids_ = std::move(searched);
  } else if (spm) {
    std::vector<float> scores = read_scores(file, table.size());
    SpmOptions options;
    options.unknown = unk_id.value_or(-1);
    model_ = std::make_unique<Spm>(std::move(table), std::move(scores), std::move(options), name_);
    escape_spaces_ = true;
    adds_bos = true;
  } else if (unigram) {
    const SentencePieceModel pieces = read_unigram(file, table, kinds_, unk_id.value_or(-1));
    model_ = make_sentencepiece_model(pieces, name_);
    pre_tokenizer_ = make_sentencepiece_cleaner(pieces, true, name_);
    cleans_ = escape_spaces_ = adds_eos_ = true;
  } else {
    MergeTable merges = read_merges(file, table);
    BpeOptions options;
    if (model == "gemma4") {
      // SentencePiece's alphabet with ranked merges; lines are cut apart.
      options.byte_fallback = true;
      escape_spaces_ = true;
      pre_tokenizer_ = make_regex_splits({"[^\\n]+|\\n+"}, name_);
    } else {
      const std::string pre_name = file.get_string(key("pre"), "default");
      const GgufPre pre = gguf_pre_tokenizer(pre_name, name_);
      options.ignore_merges = pre.ignore_merges;
      adds_bos = pre.add_bos;
      byte_symbols_ = true;
      pre_tokenizer_ = make_regex_splits(pre.patterns, name_ + " pre-tokenizer " + pre_name);
    }
    model_ = std::make_unique<Bpe>(std::move(table), std::move(merges), options, name_);
  }
  add_space_prefix_ = file.get_bool(key("add_space_prefix"), spm);
  adds_bos = file.get_bool(key("add_bos_token"), adds_bos) || model == "gemma4";
  if (!as_llama_cpp && file.has_key(kGgufPrefixIds)) {
    if (adds_bos) fail("{}: {} and add_bos_token are set both", name_, kGgufPrefixIds);
    prefix_ids_ = read_ids(file, kGgufPrefixIds, vocab_size());
  }
  adds_eos_ = file.get_bool(key("add_eos_token"), adds_eos_);
  if (adds_bos && !bos_id) fail("{}: add_bos_token is set but there is no BOS token", name_);
  if (adds_eos_ && !eos_id) fail("{}: add_eos_token is set but there is no EOS token", name_);
  find_end_ids(file);
  find_partition_tokens(file);
  chat_template = file.get_string("tokenizer.chat_template", "");
}

void GgufTokenizer::read_kinds(const formats::GgufFile& file, int64_t tokens) {
  kinds_.assign(static_cast<size_t>(tokens), TokenKind::normal);
  if (!file.has_key(key("token_type"))) return;
  const auto types = file.get_ints(key("token_type"));
  if (types.size() < kinds_.size()) {
    fail("{}: tokenizer.ggml.token_type: expected {} values, found {}", name_, tokens,
         types.size());
  }
  for (size_t i = 0; i < kinds_.size(); ++i) {
    kinds_[i] =
        types[i] >= 1 && types[i] <= 6 ? static_cast<TokenKind>(types[i]) : TokenKind::undefined;
  }
}

std::vector<int32_t> GgufTokenizer::read_ids(const formats::GgufFile& file, const char* name,
                                             int64_t tokens) const {
  std::vector<int32_t> ids;
  if (!file.has_key(name)) return ids;
  for (const int64_t id : file.get_ints(name)) {
    if (id < 0 || id >= tokens)
      fail("{}: {}: {} is not in the vocabulary of {}", name_, name, id, tokens);
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

void GgufTokenizer::read_special_ids(const formats::GgufFile& file, const TokenTable& table,
                                     const SpecialIds& missing_ids) {
  const auto read = [&](const char* name, int64_t missing) -> std::optional<int32_t> {
    const int64_t id = file.get_int(key(name), missing);
    if (table.has(id)) return static_cast<int32_t>(id);
    if (file.has_key(key(name))) {
      fail("{}: {}{}: {} is not in the vocabulary of {}", name_, kPrefix, name, id, table.size());
    }
    return std::nullopt;
  };
  bos_id = read("bos_token_id", missing_ids.bos);
  eos_id = read("eos_token_id", missing_ids.eos);
  unk_id = read("unknown_token_id", missing_ids.unknown);
  pad_id = read("padding_token_id", missing_ids.padding);
}

void GgufTokenizer::find_end_ids(const formats::GgufFile& file) {
  const auto add = [&](int32_t id) {
    if (std::find(end_ids.begin(), end_ids.end(), id) == end_ids.end()) end_ids.push_back(id);
  };
  if (eos_id) add(*eos_id);
  for (const char* name : {"eot_token_id", "eom_token_id"}) {
    const int64_t id = file.get_int(key(name), -1);
    if (table().has(id)) {
      add(static_cast<int32_t>(id));
    } else if (file.has_key(key(name))) {
      fail("{}: {}{}: {} is not in the vocabulary of {}", name_, kPrefix, name, id, vocab_size());
    }
  }
  for (const char* text : kEndTexts) {
    const int32_t id = table().find(text);
    if (id < 0) continue;
    kinds_[static_cast<size_t>(id)] = TokenKind::control;  // files that say otherwise are mistaken
    add(id);
  }
  const auto has = [&](const char* text) {
    const int32_t id = table().find(text);
    return std::find(end_ids.begin(), end_ids.end(), id) != end_ids.end();
  };
  const auto remove = [&](const char* text, TokenKind new_kind) {
    const int32_t id = table().find(text);
    end_ids.erase(std::remove(end_ids.begin(), end_ids.end(), id), end_ids.end());
    kinds_[static_cast<size_t>(id)] = new_kind;
  };
  // In the Harmony and Solar formats <|end|> only closes a message; Gemma 4 has an ordinary </s>.
  const bool calls = has("<|call|>") || has("<|calls|>");
  if (calls && has("<|end|>") && (has("<|return|>") || has("<|flush|>"))) {
    remove("<|end|>", TokenKind::user_defined);
  }
  if (has("<|tool_response>") && has("</s>")) remove("</s>", TokenKind::normal);
}

void GgufTokenizer::find_partition_tokens(const formats::GgufFile& file) {
  for (int32_t id = 0; id < vocab_size() && !sentencepiece_; ++id) {
    const TokenKind k = kind(id);
    if (k == TokenKind::control || k == TokenKind::user_defined || k == TokenKind::unknown) {
      partition_ids_.push_back(id);
    }
  }
  std::stable_sort(partition_ids_.begin(), partition_ids_.end(), [&](int32_t a, int32_t b) {
    return table().text(a).size() > table().text(b).size();
  });
  strips_right_.assign(kinds_.size(), false);
  // Phi-3's added tokens take the white space after them, which GGUF has no field for.
  if (contains_any(file.get_string("general.name", ""), {"phi-3", "phi3"})) {
    for (const int32_t id : partition_ids_) strips_right_[static_cast<size_t>(id)] = true;
    if (const int32_t id = table().find("</s>"); id >= 0)
      strips_right_[static_cast<size_t>(id)] = true;
    for (const char* text : {"<unk>", "<s>", "<|endoftext|>"}) {
      if (const int32_t id = table().find(text); id >= 0)
        strips_right_[static_cast<size_t>(id)] = false;
    }
  }
}

std::vector<GgufTokenizer::Fragment> GgufTokenizer::partition(std::string_view text,
                                                              const EncodeOptions& options) const {
  std::vector<Fragment> fragments;
  if (text.empty()) return fragments;
  fragments.push_back({-1, 0, text.size()});
  // Most tokens do not occur: those whose first three bytes do not occur are skipped without a
  // search.
  const auto hash = [](const char* at) {
    const auto byte = [&](int i) {
      return static_cast<uint32_t>(static_cast<unsigned char>(at[i]));
    };
    return (byte(0) | byte(1) << 8 | byte(2) << 16) * 0x9e3779b1u >> 16;
  };
  std::vector<bool> seen(1 << 16);
  for (size_t i = 0; i + 3 <= text.size(); ++i) seen[hash(text.data() + i)] = true;
  for (const int32_t id : partition_ids_) {
    if (!options.parse_special && kind(id) != TokenKind::user_defined) continue;
    if (std::find(options.as_text.begin(), options.as_text.end(), id) != options.as_text.end())
      continue;
    const std::string_view token = table().text(id);
    if (token.size() >= 3 && !seen[hash(token.data())]) continue;
    if (text.find(token) == std::string_view::npos) continue;
    std::vector<Fragment> next;
    for (const Fragment& fragment : fragments) {
      size_t begin = fragment.begin;
      while (fragment.id < 0 && begin < fragment.end) {
        const size_t found = text.substr(0, fragment.end).find(token, begin);
        if (found == std::string_view::npos) break;
        if (found > begin) next.push_back({-1, begin, found});
        next.push_back({id, found, found + token.size()});
        begin = found + token.size();
        while (strips_right_[static_cast<size_t>(id)] && begin < fragment.end &&
               is_c_space(text[begin])) {
          ++begin;
        }
      }
      if (fragment.id >= 0 || begin < fragment.end)
        next.push_back({fragment.id, begin, fragment.end});
    }
    fragments = std::move(next);
  }
  return fragments;
}

std::vector<int32_t> GgufTokenizer::encode(std::string_view input,
                                           const EncodeOptions& options) const {
  const std::string text = repair_utf8(input);
  std::vector<int32_t> ids;
  std::vector<Piece> pieces;
  if (options.add_special && adds_bos) ids.push_back(*bos_id);
  if (options.add_special) ids.insert(ids.end(), prefix_ids_.begin(), prefix_ids_.end());
  bool after_token = true;
  for (const Fragment& fragment : partition(text, options)) {
    if (fragment.id >= 0) {
      ids.push_back(fragment.id);
      after_token = true;
      continue;
    }
    std::string part = text.substr(fragment.begin, fragment.end - fragment.begin);
    if (!byte_symbols_ && !cleans_) {
      if (add_space_prefix_ && after_token) part.insert(0, " ");
      replace_all(&part, " ", "▁");
    }
    after_token = false;
    pieces.clear();
    pieces.push_back({std::move(part), sentencepiece_ && fragment.begin == 0});
    if (pre_tokenizer_) pre_tokenizer_->apply(&pieces);
    for (Piece& piece : pieces) {
      if (byte_symbols_) {
        std::string symbols;
        for (const char c : piece.text) symbols += byte_symbol(static_cast<uint8_t>(c));
        piece.text = std::move(symbols);
      } else if (pre_tokenizer_ && !cleans_ && piece.text.find_first_not_of('\n') == std::string::npos) {
        // Gemma 4: a run of newlines that is a token is that token.
        if (const int32_t id = table().find(piece.text); id >= 0) {
          ids.push_back(id);
          continue;
        }
      }
      model_->encode(piece.text, &ids);
    }
  }
  if (options.add_special && adds_eos_) ids.push_back(*eos_id);
  return ids;
}

std::string GgufTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  DecodeState state;
  for (const int32_t id : ids) decode_next(&state, id, skip_special, &text);
  return text;
}

// llama.cpp's token_to_piece. The space that encode() puts before the first word is taken away
// again, whether or not a BOS token comes first. No "clean up" of spaces before punctuation: it
// would change texts that have them.
void GgufTokenizer::decode_next(DecodeState* state, int32_t id, bool skip_special,
                                std::string* text) const {
  if (!table().has(id))
    fail("{}: token id {} is not in the vocabulary of {}", name_, id, vocab_size());
  if (skip_special && is_special(id)) return;
  const std::string_view token = table().text(id);
  std::string piece;
  switch (kind(id)) {
    case TokenKind::control:
    case TokenKind::unknown:
    case TokenKind::user_defined:
      piece = token;
      break;
    case TokenKind::byte:
      if (token.size() == 6 && token.compare(0, 3, "<0x") == 0) {
        const auto digit = [&](size_t i) {
          const char c = token[i];
          return c >= '0' && c <= '9'   ? c - '0'
                 : c >= 'A' && c <= 'F' ? c - 'A' + 10
                 : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                        : 0;
        };
        piece.push_back(static_cast<char>(digit(3) * 16 + digit(4)));
      } else {
        piece = token;
      }
      break;
    case TokenKind::normal:
      piece = token;
      if (escape_spaces_) replace_all(&piece, "▁", " ");
      if (byte_symbols_) {
        piece.clear();
        for (size_t at = 0; at < token.size();) {
          const size_t begin = at;
          const int byte = symbol_byte(next_code_point(token, &at));
          if (byte >= 0) {
            piece.push_back(static_cast<char>(byte));
          } else {
            piece.append(token, begin, at - begin);
          }
        }
      }
      break;
    case TokenKind::undefined:
    case TokenKind::unused:
      break;
  }
  if (state->first && add_space_prefix_ && !piece.empty() && piece[0] == ' ') piece.erase(0, 1);
  state->first = false;
  *text += piece;
}

std::string GgufTokenizer::token_text(int32_t id) const {
  if (!table().has(id))
    fail("{}: token id {} is not in the vocabulary of {}", name_, id, vocab_size());
  return std::string(table().text(id));
}

std::optional<int32_t> GgufTokenizer::find_token(std::string_view text) const {
  const int32_t id = table().find(text);
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

bool GgufTokenizer::is_special(int32_t id) const {
  return table().has(id) && (kind(id) == TokenKind::control || kind(id) == TokenKind::unknown);
}

std::unique_ptr<Tokenizer> tokenizer_from_gguf(const formats::GgufFile& file) {
  return std::make_unique<GgufTokenizer>(file);
}

}  // namespace sumi::text
