#include "models/language/gguf_output.h"

#include <filesystem>

#include "models/language/output.h"
#include "text/tokenizer_export.h"

namespace sumi::models {

namespace fs = std::filesystem;

void begin_gguf(const std::string& architecture, const std::string& folder,
                formats::GgufWriter* writer) {
  writer->set_string("general.architecture", architecture);
  writer->set_string("general.name", fs::path(folder).lexically_normal().filename().string());
  writer->set_uint32("general.quantization_version", 2);
}

void write_tokenizer(const std::string& folder, const text::Tokenizer* tokenizer,
                     int64_t vocab_size, formats::GgufWriter* writer, ConvertReport* report) {
  if (!tokenizer) {
    writer->set_string("tokenizer.ggml.model", "none");
    report->no_tokenizer = true;
    return;
  }
  const text::GgufTokenizerLoss loss =
      text::write_gguf_tokenizer(folder, *tokenizer, vocab_size, writer);
  report->nfc_lost = loss.nfc;
  report->bytes_ignored = loss.bytes;
  report->prefix_ignored = loss.prefix;
}

DType matrix_dtype(const Shape& shape, DType stored, const ConvertOptions& options,
                   ConvertReport* report) {
  const DType dtype = options.dtype.value_or(stored);
  if (shape[1] % dtype_block_size(dtype) == 0) return dtype;
  ++report->kept;
  return DType::f16;
}

void write_gguf(const formats::GgufWriter& writer, const std::string& out, ConvertReport* report,
                const std::function<void(const formats::GgufFile&)>& check) {
  check_room(out, writer.tensor_bytes());
  Unfinished unfinished(out + ".unfinished");
  writer.write(unfinished.path());
  check(formats::GgufFile(unfinished.path()));
  report->bytes = fs::file_size(unfinished.path());
  unfinished.rename_to(out);
}

}  // namespace sumi::models
