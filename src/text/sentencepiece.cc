#include "text/sentencepiece.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "text/byte_trie.h"
#include "text/charsmap.h"
#include "text/spm.h"
#include "text/unicode.h"
#include "text/unigram.h"

namespace sumi::text {
namespace {

using Type = SentencePieceModel::Type;

// Fields of one message. Nested messages are read by another reader over their bytes.
class ProtoReader {
 public:
  ProtoReader(std::string_view bytes, std::string where)
      : bytes_(bytes), where_(std::move(where)) {}

  // Moves to the next field; false at the end.
  bool next() {
    if (at_ == bytes_.size()) return false;
    const uint64_t key = varint();
    number_ = key >> 3;
    wire_ = static_cast<int>(key & 7);
    if (wire_ == 0) {
      value_ = varint();
    } else if (wire_ == 1) {
      data_ = take(8);
    } else if (wire_ == 2) {
      data_ = take(varint());
    } else if (wire_ == 5) {
      data_ = take(4);
    } else {
      fail("{}: byte {}: field {} has wire type {}", where_, at_, number_, wire_);
    }
    return true;
  }
  uint64_t number() const { return number_; }
  std::string_view data() const { return data_of(2); }
  float real() const {
    uint32_t bits = 0;
    for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(data_of(5)[i]);
    return std::bit_cast<float>(bits);
  }
  uint64_t integer() const {
    if (wire_ != 0) fail("{}: byte {}: field {} is not an integer", where_, at_, number_);
    return value_;
  }

 private:
  std::string_view data_of(int wire) const {
    if (wire_ != wire) {
      fail("{}: byte {}: field {} has wire type {}, expected {}", where_, at_, number_, wire_,
           wire);
    }
    return data_;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    fail("{}: byte {}: a number has more than ten bytes", where_, at_);
  }
  std::string_view take(uint64_t count) {
    if (count > bytes_.size() - at_) {
      fail("{}: byte {}: a field of {} bytes, {} are left", where_, at_, count,
           bytes_.size() - at_);
    }
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }

  std::string_view bytes_, data_;
  std::string where_;
  uint64_t number_ = 0, value_ = 0;
  size_t at_ = 0;
  int wire_ = 0;
};

void read_piece(std::string_view bytes, SentencePieceModel* model, const std::string& where) {
  const std::string here = where + " piece " + std::to_string(model->pieces.size());
  SentencePieceModel::Piece piece;
  for (ProtoReader reader(bytes, here); reader.next();) {
    if (reader.number() == 1) piece.text = reader.data();
    if (reader.number() == 2) piece.score = reader.real();
    if (reader.number() == 3) {
      const uint64_t type = reader.integer();
      if (type < 1 || type > 6) fail("{}: unknown type {}", here, type);
      piece.type = static_cast<Type>(type);
    }
  }
  if (piece.text.empty()) fail("{}: its text is empty", here);
  if (!is_valid_utf8(piece.text)) fail("{}: its text is not UTF-8", here);
  if (!std::isfinite(piece.score)) fail("{}: its score is not a number", here);
  model->pieces.push_back(std::move(piece));
}

void read_trainer(std::string_view bytes, SentencePieceModel* model, const std::string& where) {
  for (ProtoReader reader(bytes, where + " trainer_spec"); reader.next();) {
    if (reader.number() == 3) {
      const uint64_t kind = reader.integer();
      if (kind < 1 || kind > 4) fail("{}: unknown model_type {}", where, kind);
      model->kind = static_cast<SentencePieceModel::Kind>(kind);
    }
    if (reader.number() == 24) model->whitespace_as_suffix = reader.integer() != 0;
    if (reader.number() == 35) model->byte_fallback = reader.integer() != 0;
  }
}

void read_normalizer(std::string_view bytes, SentencePieceModel* model, const std::string& where) {
  for (ProtoReader reader(bytes, where + " normalizer_spec"); reader.next();) {
    if (reader.number() == 2) model->charsmap = reader.data();
    if (reader.number() == 3) model->add_dummy_prefix = reader.integer() != 0;
    if (reader.number() == 4) model->remove_extra_whitespaces = reader.integer() != 0;
    if (reader.number() == 5) model->escape_whitespaces = reader.integer() != 0;
  }
}

ByteTrie user_defined_trie(const SentencePieceModel& model) {
  std::vector<std::pair<std::string, int32_t>> entries;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].type == Type::user_defined) {
      entries.emplace_back(model.pieces[id].text, static_cast<int32_t>(id));
    }
  }
  return ByteTrie(std::move(entries));
}

constexpr std::string_view kSpace = "▁";

// src/normalizer.cc of sentencepiece.
class Cleaner : public PreTokenizer {
 public:
  Cleaner(const SentencePieceModel& model, bool prefix_each, const std::string& where)
      : map_(model.charsmap, where),
        user_defined_(user_defined_trie(model)),
        space_(model.escape_whitespaces ? kSpace : " "),
        dummy_(model.add_dummy_prefix),
        shrink_(model.remove_extra_whitespaces),
        suffix_(model.whitespace_as_suffix),
        prefix_each_(prefix_each) {}

  void apply(std::vector<Piece>* pieces) const override {
    std::vector<Piece> result;
    for (Piece& piece : *pieces) {
      piece.text = clean(piece.text, dummy_ && (prefix_each_ || piece.starts_text));
      if (!piece.text.empty()) result.push_back(std::move(piece));
    }
    *pieces = std::move(result);
  }

 private:
  // What the next bytes of the text become, and how many they are.
  std::pair<std::string_view, size_t> step(std::string_view text) const {
    size_t length = 0;
    user_defined_.prefixes(text, [&](size_t found, int32_t) { length = found; });
    if (length > 0) return {text.substr(0, length), length};
    if (const auto match = map_.longest(text)) return {match->replacement, match->length};
    length = std::min(utf8_length(text[0]), text.size());
    return {text.substr(0, length), length};
  }

  std::string clean(std::string_view text, bool dummy) const {
    while (shrink_ && !text.empty()) {
      const auto [part, length] = step(text);
      if (part != " ") break;
      text.remove_prefix(length);
    }
    std::string result;
    if (text.empty()) return result;
    if (dummy && !suffix_) result += space_;
    bool after_space = shrink_;
    while (!text.empty()) {
      auto [part, length] = step(text);
      while (after_space && !part.empty() && part[0] == ' ') part.remove_prefix(1);
      for (const char c : part) {
        if (c == ' ') {
          result += space_;
        } else {
          result += c;
        }
      }
      if (!part.empty()) after_space = shrink_ && part.back() == ' ';
      text.remove_prefix(length);
    }
    while (shrink_ && result.size() >= space_.size() &&
           result.compare(result.size() - space_.size(), space_.size(), space_) == 0) {
      result.resize(result.size() - space_.size());
    }
    if (dummy && suffix_) result += space_;
    return result;
  }

  Charsmap map_;
  ByteTrie user_defined_;
  std::string space_;
  bool dummy_, shrink_, suffix_, prefix_each_;
};

}  // namespace

bool is_sentencepiece(std::string_view bytes) { return !bytes.empty() && bytes[0] == '\n'; }

SentencePieceModel read_sentencepiece(std::string_view bytes, const std::string& where) {
  SentencePieceModel model;
  for (ProtoReader reader(bytes, where); reader.next();) {
    if (reader.number() == 1) read_piece(reader.data(), &model, where);
    if (reader.number() == 2) read_trainer(reader.data(), &model, where);
    if (reader.number() == 3) read_normalizer(reader.data(), &model, where);
    if (reader.number() == 5) {  // what it writes back is not asked for by any model that is known
      for (ProtoReader spec(reader.data(), where + " denormalizer_spec"); spec.next();) {
        if (spec.number() == 2 && !spec.data().empty()) {
          fail("{}: a denormalizer is not supported", where);
        }
      }
    }
  }
  if (model.pieces.empty()) fail("{}: no piece", where);
  return model;
}

std::unique_ptr<TokenModel> make_sentencepiece_model(const SentencePieceModel& model,
                                                     const std::string& where) {
  TokenTable table;
  table.reserve(model.pieces.size());
  std::vector<bool> searchable(model.pieces.size()), user_defined(model.pieces.size());
  int32_t unknown = -1;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.text.empty()) continue;
    if (!table.insert(piece.text, static_cast<int64_t>(id))) {
      fail("{}: piece {} \"{}\" occurs twice, or there are too many", where, id, piece.text);
    }
    if (piece.type == Type::unknown) unknown = static_cast<int32_t>(id);
    if (piece.type == Type::unused && model.kind == SentencePieceModel::Kind::bpe) {
      fail("{}: piece {} \"{}\": unused pieces of BPE are not supported", where, id, piece.text);
    }
    user_defined[id] = piece.type == Type::user_defined;
    searchable[id] = piece.type == Type::normal || user_defined[id];
  }
  if (model.kind == SentencePieceModel::Kind::unigram) {
    UnigramOptions options;
    options.unknown = unknown;
    options.byte_fallback = model.byte_fallback;
    options.sentencepiece = true;
    options.float_sums = !model.double_sums;
    options.searchable = std::move(searchable);
    options.user_defined = std::move(user_defined);
    std::vector<double> scores;
    for (const auto& piece : model.pieces) scores.push_back(piece.score);
    return std::make_unique<Unigram>(std::move(table), std::move(scores), std::move(options),
                                     where);
  }
  if (model.kind != SentencePieceModel::Kind::bpe) {
    fail("{}: models of words or of characters are not supported", where);
  }
  SpmOptions options;
  options.unknown = unknown;
  options.sentencepiece = true;
  options.byte_fallback = model.byte_fallback;
  options.searchable = std::move(searchable);
  options.user_defined = user_defined_trie(model);
  std::vector<float> scores;
  for (const auto& piece : model.pieces) scores.push_back(piece.score);
  return std::make_unique<Spm>(std::move(table), std::move(scores), std::move(options), where);
}

std::unique_ptr<PreTokenizer> make_sentencepiece_cleaner(const SentencePieceModel& model,
                                                         bool prefix_each,
                                                         const std::string& where) {
  return std::make_unique<Cleaner>(model, prefix_each, where);
}

}  // namespace sumi::text
