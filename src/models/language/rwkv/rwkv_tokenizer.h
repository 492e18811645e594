// The tokenizer of an RWKV checkpoint that is one file: it lies beside it.
#pragma once

#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace sumi::models {

// In the checkpoint's folder, the first that is there of rwkv_vocab_v20230424.txt (World, for its
// 65,536 ids), 20B_tokenizer.json and tokenizer.json (Pile and Raven, for other vocabularies). Null
// if there is none. Id 0 ends a text in all of them.
std::unique_ptr<text::Tokenizer> rwkv_tokenizer_beside(const std::string& checkpoint,
                                                       int64_t vocab_size);

}  // namespace sumi::models
