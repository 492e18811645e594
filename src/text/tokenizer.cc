#include "text/tokenizer.h"

namespace sumi::text {

void Tokenizer::decode_next(DecodeState*, int32_t id, bool skip_special, std::string* text) const {
  *text += decode(std::span<const int32_t>(&id, 1), skip_special);
}

void Tokenizer::decode_end(DecodeState*, std::string*) const {}

}  // namespace sumi::text
