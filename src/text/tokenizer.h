// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"

namespace sumi::text {

struct EncodeOptions {
  bool add_special = true;  // what the post-processor adds: BOS, EOS, [CLS] ...
  bool parse_special =
      true;  // special tokens written in the text become their ids; off: plain text
  // Tokens that are plain text when the text spells them, special or not: files call the same token
  // special here and ordinary there.
  std::span<const int32_t> as_text = {};
};

// Where a decoding in steps stands; a fresh one starts a text.
struct DecodeState {
  bool first = true;     // no token yet
  bool at_start = true;  // no text yet: spaces may still be stripped
  size_t stripped = 0;   // characters stripped so far
  std::string held;      // text that only the next token lets out
};

// Ids and token texts are exactly those of Hugging Face `tokenizers` for a tokenizer.json, and of
// llama.cpp for a GGUF file.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Invalid UTF-8 is replaced by U+FFFD first, as Python's decode(errors="replace") does.
  virtual std::vector<int32_t> encode(std::string_view text,
                                      const EncodeOptions& options = {}) const = 0;
  // Throws Error on an id outside the vocabulary. The result may hold invalid UTF-8 if ids end amid
  // a character: StreamDecoder (text/stream_decoder.h) holds such bytes back.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = true) const = 0;

  // decode() in steps: the texts appended for each id in turn and for the end make decode() of all
  // ids. The base class decodes each id alone.
  virtual void decode_next(DecodeState* state, int32_t id, bool skip_special,
                           std::string* text) const;
  virtual void decode_end(DecodeState* state, std::string* text) const;

  virtual int64_t vocab_size() const = 0;  // highest id + 1
  virtual std::string token_text(
      int32_t id) const = 0;  // as the vocabulary spells it ("Ġthe", "▁the")
  virtual std::optional<int32_t> find_token(std::string_view text) const = 0;  // by that spelling
  virtual bool is_special(int32_t id) const = 0;

  std::optional<int32_t> bos_id, eos_id, unk_id, pad_id;
  std::vector<int32_t>
      end_ids;  // all that end a generation (end of text, end of turn), eos_id included
  std::string chat_template;  // Jinja source, empty if the files have none
  bool adds_bos = false;      // encode(add_special) puts bos_id first
  int64_t max_length = 0;     // model_max_length of tokenizer_config.json; 0: none
};

// A folder with tokenizer.json, or else the files of a vocabulary that text/plain_files.h knows, and,
// if present, tokenizer_config.json, special_tokens_map.json, added_tokens.json, chat_template.jinja
// and generation_config.json (its eos_token_id). `tokenizer/` of a diffusers pipeline is one.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& folder);
bool has_tokenizer(const std::string& folder);  // whether open_tokenizer finds a vocabulary there
// The contents of a tokenizer.json.
std::unique_ptr<Tokenizer> tokenizer_from_json(std::string_view json, const std::string& name);
// A tokenizer.json alone, whatever its name; or, ending in .txt, an RWKV World vocabulary.
std::unique_ptr<Tokenizer> open_tokenizer_file(const std::string& path);
// The tokenizer inside a GGUF file.
std::unique_ptr<Tokenizer> tokenizer_from_gguf(const formats::GgufFile& file);

}  // namespace sumi::text
