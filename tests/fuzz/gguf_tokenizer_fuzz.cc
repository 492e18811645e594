// Any bytes as a GGUF file: refused with an Error, or, if it holds a tokenizer, one that encodes and decodes.
#include "base/error.h"
#include "formats/gguf.h"
#include "input_file.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sumi::fuzz::InputFile input(data, size);
  try {
    const sumi::formats::GgufFile file(input.path());
    const auto tokenizer = sumi::text::tokenizer_from_gguf(file);
    std::string text = "Hello  world's 12345\n\n\xe5\xa2\xa8 \xff</s> <|end|> ";
    // And what the vocabulary itself spells.
    for (int32_t id = 0; id < tokenizer->vocab_size() && text.size() < 200; ++id) text += tokenizer->token_text(id);
    const std::vector<int32_t> ids = tokenizer->encode(text);
    tokenizer->encode(text, {.add_special = false, .parse_special = false});
    tokenizer->decode(ids);
    tokenizer->decode(ids, false);
    for (const int32_t id : ids) tokenizer->token_text(id);
  } catch (const sumi::Error&) {
  }
  return 0;
}
