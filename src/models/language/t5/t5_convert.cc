#include "models/language/t5/t5_convert.h"

#include "base/error.h"
#include "formats/weights_folder.h"
#include "models/language/gguf_output.h"
#include "models/language/output.h"
#include "models/language/t5/t5.h"
#include "models/language/t5/t5_gguf.h"
#include "models/language/t5/t5_names.h"
#include "text/tokenizer_export.h"

namespace sumi::models {

namespace {

Tensor times(const Tensor& x, float factor) {
  Tensor y = Tensor::empty(x.shape());
  for (int64_t i = 0; i < x.numel(); ++i) y.f32()[i] = x.f32()[i] * factor;
  return y;
}

// The producers of all tensors. Vectors and the tables of biases are f32.
void add_tensors(const T5Spec& spec, bool head, const formats::TensorSource& source,
                 const ConvertOptions& options, formats::GgufWriter* writer,
                 ConvertReport* report) {
  const auto progress = std::make_shared<ByteProgress>(source, options.progress);
  for (const std::string& name : t5_tensor_names(spec, head)) {
    const std::string file = name + ".weight";
    const Tensor stored = source.get(file);
    const bool bias = name.find("relative_attention_bias") != std::string::npos;
    DType dtype = DType::f32;
    if (stored.dim() == 2 && !bias)
      dtype = matrix_dtype(stored.shape(), stored.dtype(), options, report);
    // llama.cpp scales no logits: the last norm does.
    const float factor = name == "decoder.final_layer_norm" ? spec.output_scale : 1;
    ++report->tensors;
    writer->add_tensor(
        {t5_gguf_name(name) + ".weight", stored.shape(), dtype, [=, &source] {
           Tensor x = recoded(source.get(file), dtype, file);
           if (factor != 1) x = times(x, factor);
           progress->done(source, file);
           return x;
         }});
  }
}

// `spec` is the folder's.
void check_written(const formats::GgufFile& file, const std::string& folder, T5Spec spec,
                   bool head, const text::Tokenizer* tokenizer) {
  const T5Spec read = t5_spec(file);
  spec.output_scale = 1;  // in the weights
  spec.tied_head = !head;
  const std::string difference = spec_difference(spec, read);
  if (!difference.empty())
    fail("{}: GGUF cannot express this model: {}", folder, difference);
  T5::check_names(read, file, true);
  if (tokenizer)
    text::check_same_tokenizer(*tokenizer, *text::tokenizer_from_gguf(file), folder);
}

}  // namespace

ConvertReport convert_t5_to_gguf(const Config& config, const std::string& folder,
                                 const std::string& out, const ConvertOptions& options) {
  const T5Spec spec = t5_spec(config);
  const auto source = formats::open_weights_folder(folder);
  T5::check_names(spec, *source, false);
  const bool head = t5_has_head(spec, *source, false);
  formats::GgufWriter writer;
  begin_gguf(t5_architecture(spec), folder, &writer);
  write_t5_metadata(spec, &writer);
  ConvertReport report;
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (text::has_tokenizer(folder)) tokenizer = text::open_tokenizer(folder);
  write_tokenizer(folder, tokenizer.get(), spec.vocab_size, &writer, &report);
  add_tensors(spec, head, *source, options, &writer, &report);
  write_gguf(writer, out, &report, [&](const formats::GgufFile& file) {
    check_written(file, folder, spec, head, tokenizer.get());
  });
  return report;
}

}  // namespace sumi::models
