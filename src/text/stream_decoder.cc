#include "text/stream_decoder.h"

#include "text/unicode.h"

namespace sumi::text {

std::string StreamDecoder::push(int32_t id) {
  tokenizer_.decode_next(&state_, id, skip_special_, &pending_);
  const size_t length = finished_utf8(pending_);
  std::string text = repair_utf8(std::string_view(pending_).substr(0, length));
  pending_.erase(0, length);
  return text;
}

std::string StreamDecoder::finish() {
  tokenizer_.decode_end(&state_, &pending_);
  std::string text = repair_utf8(pending_);
  pending_.clear();
  state_ = DecodeState();
  return text;
}

}  // namespace sumi::text
