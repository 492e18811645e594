// The tokenizer of the RWKV World models: at each byte of the text the longest token that fits.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace sumi::text {

// Vocabulary: rwkv_vocab_v20230424.txt of BlinkDL/ChatRWKV, whose lines are an id, a Python string
// or bytes literal, and its length in bytes. Id 0 is not in it: it ends a text.
class WorldTokenizer : public Tokenizer {
 public:
  // Throws Error naming file and line, or a byte that no token spells.
  WorldTokenizer(std::string_view vocabulary, const std::string& name);

  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override;
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(texts_.size()); }
  std::string token_text(int32_t id) const override;
  std::optional<int32_t> find_token(std::string_view text) const override;
  bool is_special(int32_t id) const override { return id == 0; }

 private:
  void add_line(std::string_view line, const std::string& where);
  // The longest token that `text` begins with; -1 if none does.
  int32_t longest_at(std::string_view text) const;

  std::string name_;
  std::vector<std::string> texts_;  // by id; empty: no such token
  std::vector<int32_t> sorted_;     // ids by their texts
};

}  // namespace sumi::text
