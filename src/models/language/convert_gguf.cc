// Conversions of GGUF files.
#include <filesystem>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include "models/language/convert.h"
#include "models/language/decoder.h"
#include "models/language/gguf_metadata.h"
#include "models/language/hf_config.h"
#include "models/language/output.h"
#include "models/language/t5/t5_convert.h"
#include "models/language/t5/t5_gguf.h"
#include "models/language/tensor_moves.h"
#include "text/tokenizer_export.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_gguf.h"

namespace sumi::models {

namespace {

namespace fs = std::filesystem;

// Set anew, or not true of the new file.
bool is_own_key(const std::string& key) {
  return key == "general.alignment" || key == "general.file_type" ||
         key == "general.quantization_version";
}

bool is_matrix(const formats::TensorInfo& info) {
  return info.shape.size() > 1 && info.name != "position_embd.weight" &&
         info.name.find("attn_rel_b.weight") == std::string::npos &&
         (is_float(info.dtype) || is_quantized(info.dtype));
}

// Weights without a configuration: a folder's, or RWKV's checkpoints.
void check_is_gguf(const std::string& path) {
  const std::string extension = fs::path(path).extension().string();
  if (formats::TorchFile::recognizes(path) || extension == ".safetensors")
    fail("{}: is a {} file alone; expected a Hugging Face folder, with the weights' config.json, or a GGUF file "
         "(RWKV's .pth files are opened as they are, and have no other form)",
         path, extension == ".safetensors" ? "safetensors" : "PyTorch");
}

// Of rows of any rank.
Tensor recoded_rows(const Tensor& x, DType dtype, const std::string& name) {
  const Tensor rows = x.view({x.numel() / x.shape().back(), x.shape().back()});
  return recoded(rows, dtype, name).view(x.shape());
}

}  // namespace

ConvertReport recode_gguf(const std::string& path, const std::string& out,
                          const ConvertOptions& options) {
  check_target(out, options.overwrite);
  check_is_gguf(path);
  const formats::GgufFile file(path);
  formats::GgufWriter writer;
  for (const std::string& key : file.keys()) {
    if (is_own_key(key)) continue;
    if (key == "tokenizer.ggml.precompiled_charsmap")
      writer.set_bytes(key, text::read_charsmap(file));
    else
      writer.set(key, file.value(key));
  }
  writer.set_uint32("general.quantization_version", 2);
  ConvertReport report;
  ByteProgress progress(file, options.progress);
  for (const formats::TensorInfo& info : file.tensors()) {
    DType dtype = is_matrix(info) ? options.dtype.value_or(info.dtype) : info.dtype;
    if (!info.shape.empty() && info.shape.back() % dtype_block_size(dtype) != 0) {
      dtype = DType::f16;
      ++report.kept;
    }
    ++report.tensors;
    writer.add_tensor({info.name, info.shape, dtype, [&, dtype, name = info.name] {
                         Tensor x = file.get(name);
                         if (x.dtype() != dtype) x = recoded_rows(x, dtype, name);
                         progress.done(file, name);
                         return x;
                       }});
  }
  check_room(out, writer.tensor_bytes());
  Unfinished unfinished(out + ".unfinished");
  writer.write(unfinished.path());
  formats::GgufFile(unfinished.path()).tensors();  // its header is checked
  report.bytes = fs::file_size(unfinished.path());
  unfinished.rename_to(out);
  return report;
}

ConvertReport gguf_to_folder(const std::string& path, const std::string& out,
                             const ConvertOptions& options) {
  check_folder_target(out, options);
  check_is_gguf(path);
  const formats::GgufFile file(path);
  if (is_t5(file)) return t5_gguf_to_folder(file, out, options);
  const Family& family = family_for(file);
  const DecoderSpec spec = family.from_gguf(file);
  check_spec(spec, path);
  Decoder::check_names(spec, family.weights, file, true);
  HuggingFaceConfig config =
      hugging_face_config(spec, file.get_string("general.architecture"), path);
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (file.get_string("tokenizer.ggml.model", "none") != "none")
    tokenizer = text::tokenizer_from_gguf(file);

  const WeightNames names(family.weights, spec, file, true);
  const std::vector<TensorMove> moves =
      tensor_moves(names, spec, file, true, config.family->weights);
  ConvertReport report;
  ByteProgress progress(file, options.progress);
  std::vector<formats::TensorProducer> tensors;
  uint64_t bytes = 0;
  DType usual = DType::f32;
  for (const TensorMove& move : moves) {
    const DType stored = is_float(move.stored()) ? move.stored() : DType::f16;
    const DType dtype = options.dtype.value_or(stored);
    if (move.shape().size() == 2) usual = dtype;
    const float offset = is_norm(move.slot()) ? config.spec.norm_offset : 0;
    bytes += static_cast<uint64_t>(tensor::byte_count(move.shape(), dtype));
    tensors.push_back({move.name(), move.shape(), dtype, [&, dtype, offset] {
                         Tensor x = move.make();
                         if (offset != 0) x = plus(recoded(x, DType::f32, move.name()), -offset);
                         x = recoded(x, dtype, move.name());
                         for (const TensorMove::Part& part : move.parts())
                           progress.done(file, part.name);
                         return x;
                       }});
    ++report.tensors;
  }
  check_room(out, bytes);
  Unfinished unfinished(out + ".unfinished");
  fs::create_directory(unfinished.path());
  config.json["torch_dtype"] = torch_name(usual);
  if (tokenizer) {
    const std::pair<const char*, std::optional<int32_t>> ids[] = {
        {"bos_token_id", tokenizer->bos_id},
        {"eos_token_id", tokenizer->eos_id},
        {"pad_token_id", tokenizer->pad_id}};
    for (const auto& [name, id] : ids)
      if (id) config.json[name] = *id;
    text::write_tokenizer_files(file, *tokenizer, unfinished.path());
    text::check_same_tokenizer(*tokenizer, *text::open_tokenizer(unfinished.path()), path);
  }
  formats::write_text_file(unfinished.path() + "/config.json", config.json.dump(2) + "\n");
  formats::write_safetensors(unfinished.path() + "/model.safetensors", tensors,
                             {{"format", "pt"}});
  const formats::SafetensorsFile written(unfinished.path() + "/model.safetensors");
  const Family& reader = family_for(Config::read(unfinished.path() + "/config.json"));
  Decoder::check_names(config.spec, reader.weights, written, false);
  report.bytes = fs::file_size(unfinished.path() + "/model.safetensors");
  if (fs::exists(out)) fs::remove(out);
  unfinished.rename_to(out);
  return report;
}

}  // namespace sumi::models
