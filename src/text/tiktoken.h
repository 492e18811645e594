// tiktoken's vocabularies: lines of a token in base64 and its rank, which is its id.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "text/bpe.h"

namespace sumi::text {

// Tokens are spelled in GPT-2's byte alphabet, as are the pieces to encode.
// Throws Error naming file and line, or a byte without a token.
std::unique_ptr<TokenModel> read_tiktoken(std::string_view text, const std::string& where);

}  // namespace sumi::text
