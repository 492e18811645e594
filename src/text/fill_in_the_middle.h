// Prompts for models that were trained to fill a gap: the code before it and after it, and other
// files of the repository (arXiv:2207.14255). Which tokens mark these parts is read from the
// vocabulary: names of models say nothing reliable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace sumi::text {

struct SourceFile {
  std::string name;  // a path within the repository, as the model shall see it; may be empty
  std::string text;
};

struct FillRequest {
  std::string prefix, suffix;       // what is before and after the gap
  std::string file_name;            // of the file with the gap; empty: not said
  std::string repository;           // its name; empty: not said
  std::vector<SourceFile> context;  // other files; those most related last
};

struct FillPrompt {
  std::vector<int32_t> ids;
  int64_t prefix_cut = 0, suffix_cut = 0;  // tokens left out, those farthest from the gap
  int64_t context_files = 0;               // of request.context that found room: the last ones
};

struct FillStyle;  // a family's tokens and their order

// The tokens of one vocabulary. Texts of a request are plain text whatever they spell.
class FillInTheMiddle {
 public:
  // Throws Error naming `model` and the known sets of tokens if the vocabulary has none of them.
  // The tokenizer must outlive this.
  FillInTheMiddle(const Tokenizer& tokenizer, const std::string& model);

  const char* style() const;  // "StarCoder2" ...: whose tokens these are
  // Tokens that end what is filled in: end of text, the next file, a part's marker.
  const std::vector<int32_t>& stop_ids() const { return stop_ids_; }

  // A prompt of at most max_tokens. When the parts are longer, what is nearest to the gap stays: up
  // to three quarters of the room go to the prefix where both are long, then context files fill
  // what is left, the last one first, whole. Throws Error if the request has a repository or other
  // files and the vocabulary no tokens for them, or max_tokens is too few for the markers.
  FillPrompt prompt(const FillRequest& request, int64_t max_tokens) const;

 private:
  std::vector<int32_t> encode(std::string_view text) const;
  std::vector<int32_t> encode_continuation(std::string_view text) const;
  std::vector<int32_t> encode_file(const SourceFile& file) const;
  void check(const FillRequest& request) const;

  const Tokenizer& tokenizer_;
  std::string model_;
  const FillStyle* style_ = nullptr;
  int32_t prefix_ = -1, suffix_ = -1, middle_ = -1, repository_ = -1, file_ = -1;  // -1: none
  std::vector<int32_t> stop_ids_, never_in_text_;
};

struct Cursor {
  int64_t line = 1;    // from 1
  int64_t column = 0;  // characters, from 1: before the first; 0: the line's end
};
// Byte offset of a cursor in a text. Throws Error naming `file` if the text has no such place.
size_t cursor_offset(std::string_view text, const Cursor& cursor, const std::string& file);

}  // namespace sumi::text
