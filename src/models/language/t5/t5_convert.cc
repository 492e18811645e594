#include "models/language/t5/t5_convert.h"

#include <filesystem>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/safetensors.h"
#include "formats/weights_folder.h"
#include "models/language/gguf_output.h"
#include "models/language/output.h"
#include "models/language/t5/t5.h"
#include "models/language/t5/t5_gguf.h"
#include "models/language/t5/t5_names.h"
#include "text/tokenizer_export.h"
#include "text/tokenizer_files.h"

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

// The configuration of a model from a GGUF file: spec has the format's activations and distances.
nlohmann::ordered_json config_json(const T5Spec& spec, const text::Tokenizer* tokenizer) {
  const std::string family = spec.bias_per_layer ? "UMT5" : "T5";
  const bool writes = spec.decoder_layers > 0;
  nlohmann::ordered_json config = {
      {"architectures", {family + (writes ? "ForConditionalGeneration" : "EncoderModel")}},
      {"model_type", spec.bias_per_layer ? "umt5" : "t5"},
      {"vocab_size", spec.vocab_size},
      {"d_model", spec.hidden_size},
      {"d_kv", spec.head_dim},
      {"d_ff", spec.intermediate_size},
      {"num_layers", spec.encoder_layers},
      {"num_decoder_layers", writes ? spec.decoder_layers : spec.encoder_layers},
      {"num_heads", spec.num_heads},
      {"relative_attention_num_buckets", spec.buckets.count},
      {"relative_attention_max_distance", spec.buckets.max_distance},
      {"layer_norm_epsilon", std::strtod(fmt::format("{}", spec.norm_eps).c_str(), nullptr)},
      {"feed_forward_proj", spec.gated_mlp ? "gated-gelu" : "relu"},
      {"tie_word_embeddings", spec.tied_head},
      {"n_positions", spec.trained_length},
      {"is_encoder_decoder", writes},
      {"decoder_start_token_id", spec.start_id}};
  if (tokenizer && tokenizer->eos_id) config["eos_token_id"] = *tokenizer->eos_id;
  if (tokenizer && tokenizer->pad_id) config["pad_token_id"] = *tokenizer->pad_id;
  return config;
}

}  // namespace

ConvertReport t5_gguf_to_folder(const formats::GgufFile& file, const std::string& out,
                                const ConvertOptions& options) {
  const T5Spec spec = t5_spec(file);
  T5::check_names(spec, file, true);
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (file.get_string("tokenizer.ggml.model", "none") != "none")
    tokenizer = text::tokenizer_from_gguf(file);
  nlohmann::ordered_json config = config_json(spec, tokenizer.get());
  const T5Spec written =
      t5_spec(Config(nlohmann::json::parse(config.dump()), "config.json"));
  ConvertReport report;
  ByteProgress progress(file, options.progress);
  std::vector<formats::TensorProducer> tensors;
  uint64_t bytes = 0;
  DType usual = DType::f32;
  for (const std::string& name : t5_tensor_names(spec, t5_has_head(spec, file, true))) {
    const std::string stored_name = t5_gguf_name(name) + ".weight";
    const Tensor stored = file.get(stored_name);
    const DType dtype =
        options.dtype.value_or(is_float(stored.dtype()) ? stored.dtype() : DType::f16);
    if (name == "shared") usual = dtype;
    const float factor =
        name == "decoder.final_layer_norm" ? spec.output_scale / written.output_scale : 1;
    bytes += static_cast<uint64_t>(tensor::byte_count(stored.shape(), dtype));
    tensors.push_back({name + ".weight", stored.shape(), dtype, [&, dtype, factor, stored_name] {
                         Tensor x = file.get(stored_name);
                         if (factor != 1) x = times(recoded(x, DType::f32, stored_name), factor);
                         x = recoded(x, dtype, stored_name);
                         progress.done(file, stored_name);
                         return x;
                       }});
    ++report.tensors;
  }
  config["torch_dtype"] = torch_name(usual);
  check_room(out, bytes);
  Unfinished unfinished(out + ".unfinished");
  namespace fs = std::filesystem;
  fs::create_directory(unfinished.path());
  if (tokenizer) {
    text::write_tokenizer_files(file, *tokenizer, unfinished.path());
    text::check_same_tokenizer(*tokenizer, *text::open_tokenizer(unfinished.path()),
                               file.describe());
  }
  formats::write_text_file(unfinished.path() + "/config.json", config.dump(2) + "\n");
  const std::string weights = unfinished.path() + "/model.safetensors";
  formats::write_safetensors(weights, tensors, {{"format", "pt"}});
  T5Spec expected = spec;
  expected.output_scale = written.output_scale;  // the rest is in the norm
  const T5Spec read = t5_spec(Config::read(unfinished.path() + "/config.json"));
  const std::string difference = spec_difference(expected, read);
  if (!difference.empty())
    fail("{}: config.json cannot express this model: {}", file.describe(), difference);
  T5::check_names(read, formats::SafetensorsFile(weights), false);
  report.bytes = fs::file_size(weights);
  if (fs::exists(out)) fs::remove(out);
  unfinished.rename_to(out);
  return report;
}

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
