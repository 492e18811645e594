#include "text/word_piece.h"

#include <algorithm>

#include "base/error.h"

namespace sumi::text {

WordPiece::WordPiece(TokenTable table, WordPieceOptions options, const std::string& where)
    : table_(std::move(table)),
      options_(std::move(options)),
      unknown_(table_.find(options_.unknown)) {
  if (unknown_ < 0) fail("{}: unk_token {} is not in the vocabulary", where, options_.unknown);
}

void WordPiece::encode(std::string_view piece, std::vector<int32_t>* ids) const {
  const auto continues = [&](size_t at) {
    return (static_cast<uint8_t>(piece[at]) & 0xc0) == 0x80;
  };
  size_t characters = 0;
  for (size_t at = 0; at < piece.size(); ++at) characters += !continues(at);
  if (characters > options_.longest_word) {
    ids->push_back(unknown_);
    return;
  }
  const size_t before = ids->size();
  std::string token;
  for (size_t begin = 0; begin < piece.size();) {
    size_t end = std::min(piece.size(), begin + table_.longest());
    int32_t id = -1;
    for (; end > begin; --end) {
      if (end < piece.size() && continues(end)) continue;
      token = begin > 0 ? options_.continuing_prefix : "";
      token += piece.substr(begin, end - begin);
      id = table_.find(token);
      if (id >= 0) break;
    }
    if (id < 0) {
      ids->resize(before);
      ids->push_back(unknown_);
      return;
    }
    ids->push_back(id);
    begin = end;
  }
}

}  // namespace sumi::text
