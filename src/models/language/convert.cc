#include "models/language/convert.h"

#include <filesystem>

#include "base/error.h"
#include "formats/safetensors.h"
#include "formats/weights_folder.h"
#include "models/language/decoder.h"
#include "models/language/family.h"
#include "models/language/gguf_metadata.h"
#include "models/language/gguf_output.h"
#include "models/language/output.h"
#include "models/language/t5/t5_convert.h"
#include "models/language/t5/t5_spec.h"
#include "models/language/tensor_moves.h"
#include "models/language/text_part.h"
#include "nn/float_rows.h"
#include "text/tokenizer_export.h"

namespace sumi::models {

namespace {

namespace fs = std::filesystem;

// The producers of a GGUF file's tensors.
void add_tensors(const std::vector<TensorMove>& moves, const DecoderSpec& spec,
                 const formats::TensorSource& source, const ConvertOptions& options,
                 formats::GgufWriter* writer, ConvertReport* report) {
  const auto progress = std::make_shared<ByteProgress>(source, options.progress);
  for (const TensorMove& move : moves) {
    // llama.cpp wants vectors and positions in f32.
    DType dtype = DType::f32;
    if (move.shape().size() == 2 && move.slot() != Slot::position_embedding)
      dtype = matrix_dtype(move.shape(), move.stored(), options, report);
    ++report->tensors;
    const float offset = is_norm(move.slot()) ? spec.norm_offset : 0;  // GGUF's norms include it
    const bool unit_rows = move.slot() == Slot::head && spec.unit_head_rows;
    writer->add_tensor({move.name(), move.shape(), dtype, [=, &source] {
                          Tensor x = move.make();
                          if (unit_rows) x = nn::unit_rows(x);
                          x = recoded(x, dtype, move.parts()[0].name);
                          if (offset != 0) x = plus(x, offset);
                          for (const TensorMove::Part& part : move.parts())
                            progress->done(source, part.name);
                          return x;
                        }});
  }
}

// In tokens, 0 if no layer has one that matters.
int64_t smallest_window(const DecoderSpec& spec) {
  int64_t smallest = 0;
  for (const int64_t window : spec.windows)
    if (window > 0 && window < spec.max_positions && (smallest == 0 || window < smallest))
      smallest = window;
  return smallest;
}

std::string gguf_architecture(const Family& family, const std::string& folder) {
  if (family.gguf_written) return family.gguf_written;
  if (family.gguf_architectures.empty())
    fail("{}: GGUF has no architecture for {}", folder, family.name);
  return family.gguf_architectures[0];
}

// Compares what was written.
void check_written(const formats::GgufFile& file, const std::string& folder,
                   const DecoderSpec& spec, const text::Tokenizer* tokenizer, bool nfc_lost) {
  const Family& reader = family_for(file);
  const DecoderSpec read = reader.from_gguf(file);
  DecoderSpec expected = spec;
  expected.norm_offset = 0;  // added to the weights
  const std::string difference = spec_difference(expected, read);
  if (!difference.empty())
    fail("{}: GGUF cannot express this model: {}", folder, difference);
  Decoder::check_names(read, reader.weights, file, true);
  if (tokenizer) text::check_same_tokenizer(*tokenizer, *text::tokenizer_from_gguf(file), folder,
                                            nfc_lost);
}

}  // namespace

ConvertReport convert_to_gguf(const std::string& folder, const std::string& out,
                              const ConvertOptions& options) {
  check_target(out, options.overwrite);
  const Config whole = Config::read(folder + "/config.json");
  const Config config = text_part(whole);
  if (is_t5(config)) return convert_t5_to_gguf(config, folder, out, options);
  const Family& family = family_for(config);
  const std::string architecture = gguf_architecture(family, folder);
  const DecoderSpec spec = family.from_config(config);
  check_spec(spec, config.file());
  const auto source = open_text_weights(whole, folder);
  Decoder::check_names(spec, family.weights, *source, false);

  formats::GgufWriter writer;
  begin_gguf(architecture, folder, &writer);
  DecoderSpec written = spec;
  written.intermediate_size *= family.gguf_mlp_widths;
  written.max_positions /= family.gguf_stretch;
  write_gguf_metadata(written, architecture, folder, &writer);
  ConvertReport report;
  report.text_part = has_text_part(whole);
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (text::has_tokenizer(folder)) tokenizer = text::open_tokenizer(folder);
  write_tokenizer(folder, tokenizer.get(), spec.vocab_size, &writer, &report);
  const WeightNames names(family.weights, spec, *source, false);
  const std::vector<TensorMove> moves =
      tensor_moves(names, spec, *source, false, family.weights);
  add_tensors(moves, spec, *source, options, &writer, &report);
  if (!family.gguf_windows) report.ignored_window = smallest_window(spec);
  write_gguf(writer, out, &report, [&](const formats::GgufFile& file) {
    check_written(file, folder, spec, tokenizer.get(), report.nfc_lost);
    if (tokenizer && !report.nfc_lost)
      report.other_ids = text::llama_cpp_difference(*tokenizer, file);
  });
  return report;
}

ConvertReport convert_to_safetensors(const std::string& folder, const std::string& out,
                                     const ConvertOptions& options) {
  check_folder_target(out, options);
  const auto source = formats::open_weights_folder(folder);
  ConvertReport report;
  std::vector<formats::TensorProducer> tensors;
  uint64_t bytes = 0;
  ByteProgress progress(*source, options.progress);
  for (const formats::TensorInfo& info : source->tensors()) {
    const DType dtype = is_float(info.dtype) ? options.dtype.value_or(info.dtype) : info.dtype;
    bytes += static_cast<uint64_t>(tensor::byte_count(info.shape, dtype));
    tensors.push_back({info.name, info.shape, dtype, [&, dtype, name = info.name] {
                         Tensor x = recoded(source->get(name), dtype, name);
                         progress.done(*source, name);
                         return x;
                       }});
    ++report.tensors;
  }
  check_room(out, bytes);
  Unfinished unfinished(out + ".unfinished");
  fs::create_directory(unfinished.path());
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string(), extension = entry.path().extension();
    const bool described = extension == ".json" || extension == ".jinja" || extension == ".txt" ||
                           extension == ".model" || extension == ".tiktoken";
    if (entry.is_regular_file() && described && name.find(".index.json") == std::string::npos)
      fs::copy_file(entry.path(), fs::path(unfinished.path()) / name);
  }
  formats::write_safetensors(unfinished.path() + "/model.safetensors", tensors,
                             {{"format", "pt"}});
  report.bytes = fs::file_size(unfinished.path() + "/model.safetensors");
  if (fs::exists(out)) fs::remove(out);
  unfinished.rename_to(out);
  return report;
}

}  // namespace sumi::models
