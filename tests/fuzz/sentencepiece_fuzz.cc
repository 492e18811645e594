// Any bytes as a SentencePiece model: refused with an Error, or a model that cleans and cuts a
// text.
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/sentencepiece.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sumi::text;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const SentencePieceModel model = read_sentencepiece(input, "fuzz");
    const auto cleaner = make_sentencepiece_cleaner(model, true, "fuzz");
    const auto cutter = make_sentencepiece_model(model, "fuzz");
    std::vector<Piece> pieces = {
        {" Hello  world's \xef\xbd\xb6\xef\xbe\x9e 12345\n\xe5\xa2\xa8 e\xcc\x81", true}};
    cleaner->apply(&pieces);
    std::vector<int32_t> ids;
    for (const Piece& piece : pieces) cutter->encode(piece.text, &ids);
  } catch (const sumi::Error&) {
  }
  return 0;
}
