#include "models/language/convert.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "formats/safetensors.h"
#include "formats/weights_folder.h"
#include "kernels/quantize_reference.h"
#include "models/language/decoder.h"
#include "models/language/family.h"
#include "models/language/gguf_metadata.h"
#include "nn/weight_loader.h"
#include "text/tokenizer_export.h"

namespace sumi::models {

namespace {

namespace fs = std::filesystem;

// Removes an unfinished result unless it was kept.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  ~Unfinished() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  void rename_to(const std::string& target) {
    std::error_code error;
    fs::rename(path_, target, error);
    if (error) fail("{}: cannot rename to it: {}", target, error.message());
    kept_ = true;
  }

 private:
  std::string path_;
  bool kept_ = false;
};

void check_target(const std::string& out, bool overwrite) {
  if (fs::exists(out) && !overwrite) fail("{}: is there already; --force replaces it", out);
  const fs::path parent = fs::absolute(out).parent_path();
  if (!fs::is_directory(parent)) fail("{}: the folder {} does not exist", out, parent.string());
}

void check_room(const std::string& out, uint64_t bytes) {
  std::error_code error;
  const fs::space_info space = fs::space(fs::absolute(out).parent_path(), error);
  if (!error && space.available < bytes)
    fail("{}: needs {} MB, the disk has {} MB left", out, bytes >> 20, space.available >> 20);
}

// [N, K] or [N] of any floating or block type in another.
Tensor encode(const Tensor& x, DType dtype, const std::string& name) {
  if (x.dtype() == dtype) return x;
  if (!is_float(x.dtype()))
    fail("tensor {}: expected f32, f16 or bf16, found {}", name, dtype_name(x.dtype()));
  if (is_float(dtype)) return x.to(dtype);
  const Tensor plain = x.to(DType::f32);
  Tensor out = Tensor::empty(x.shape(), dtype);
  const auto quantize = dtype == DType::q4_0   ? kernels::quantize_q4_0
                        : dtype == DType::q4_1 ? kernels::quantize_q4_1
                        : dtype == DType::q5_0 ? kernels::quantize_q5_0
                        : dtype == DType::q5_1 ? kernels::quantize_q5_1
                        : dtype == DType::q8_0 ? kernels::quantize_q8_0
                        : dtype == DType::q4_k ? kernels::quantize_q4_k
                        : dtype == DType::q6_k ? kernels::quantize_q6_k
                                               : nullptr;
  if (!quantize) fail("tensor {}: writing {} is not known", name, dtype_name(dtype));
  quantize(plain.f32(), plain.numel(), out.bytes());
  return out;
}

Tensor transposed(const Tensor& x) {
  const int64_t n = x.size(1), k = x.size(0), bytes = x.nbytes() / x.numel();
  Tensor y = Tensor::empty({n, k}, x.dtype());
  for (int64_t r = 0; r < n; ++r)
    for (int64_t c = 0; c < k; ++c)
      std::memcpy(y.bytes() + (r * k + c) * bytes, x.bytes() + (c * n + r) * bytes,
                  static_cast<size_t>(bytes));
  return y;
}

// Rows from the order of one file through the decoder's to the order of another.
Tensor reorder(const Tensor& x, const std::vector<int64_t>& from, const std::vector<int64_t>& to,
               const std::string& name) {
  if (from == to) return x;
  const auto rows = static_cast<size_t>(x.size(0));
  const size_t row_bytes = static_cast<size_t>(x.nbytes()) / rows;
  if ((!from.empty() && from.size() != rows) || (!to.empty() && to.size() != rows))
    fail("tensor {}: shape {}: expected {} rows", name, tensor::shape_string(x.shape()),
         std::max(from.size(), to.size()));
  Tensor y = Tensor::empty(x.shape(), x.dtype());
  for (size_t i = 0; i < rows; ++i) {
    const auto source = from.empty() ? i : static_cast<size_t>(from[i]);
    const auto target = to.empty() ? i : static_cast<size_t>(to[i]);
    std::memcpy(y.bytes() + target * row_bytes, x.bytes() + source * row_bytes, row_bytes);
  }
  return y;
}

bool is_norm(Slot slot) {
  switch (slot) {
    case Slot::embedding_norm:
    case Slot::attention_norm:
    case Slot::query_norm:
    case Slot::key_norm:
    case Slot::attention_post_norm:
    case Slot::mlp_norm:
    case Slot::mlp_post_norm:
    case Slot::final_norm:
      return true;
    default:
      return false;
  }
}

// Collects the producers of a GGUF file's tensors.
class GgufTensors {
 public:
  GgufTensors(const Family& family, const DecoderSpec& spec, const formats::TensorSource& source,
              const ConvertOptions& options)
      : family_(family), spec_(spec), source_(source), options_(options),
        names_(family.weights, spec, source, false) {
    for (const formats::TensorInfo& info : source.tensors())
      total_ += tensor::byte_count(info.shape, info.dtype);
  }

  void add_to(formats::GgufWriter* writer, ConvertReport* report) {
    for (const WeightEntry* entry : names_.used()) {
      const int64_t layers = per_layer(entry->slot) ? spec_.num_layers : 1;
      for (int64_t layer = 0; layer < layers; ++layer) {
        const std::string from = names_.get(entry->slot, layer).file;
        const std::string to = target_name(*entry, layer);
        add(*entry, from + ".weight", to + ".weight", writer, report);
        if (source_.has(from + ".bias")) add(*entry, from + ".bias", to + ".bias", writer, report);
      }
    }
  }

 private:
  std::string target_name(const WeightEntry& entry, int64_t layer) const {
    const char* pattern = entry.gguf;
    for (const WeightEntry& other : family_.weights)
      if (!pattern && other.slot == entry.slot) pattern = other.gguf;
    if (!pattern)
      fail("{}: GGUF has no name for the tensors {}", source_.describe(), entry.hugging_face);
    std::string name = pattern;
    const size_t at = name.find("{}");
    if (at != std::string::npos) name.replace(at, 2, std::to_string(layer));
    return name;
  }

  void add(const WeightEntry& entry, const std::string& from, const std::string& to,
           formats::GgufWriter* writer, ConvertReport* report) {
    Shape shape = source_.get(from).shape();
    const DType stored = source_.get(from).dtype();
    const bool matrix = shape.size() == 2;
    const bool turned = matrix && entry.hugging_face_layout == Layout::transposed;
    if (turned) std::swap(shape[0], shape[1]);
    // llama.cpp wants vectors and positions in f32.
    DType dtype = DType::f32;
    if (matrix && entry.slot != Slot::position_embedding) {
      dtype = options_.dtype.value_or(stored);
      if (shape[1] % dtype_block_size(dtype) != 0) {
        dtype = DType::f16;
        ++report->kept;
      }
    }
    ++report->tensors;
    const float offset = is_norm(entry.slot) ? spec_.norm_offset : 0;  // GGUF's norms include it
    const auto make = [=, this, &entry] {
      Tensor x = source_.get(from);
      if (turned) x = transposed(x);
      x = reorder(x, names_.row_order(entry.slot, entry.hugging_face_layout),
                  names_.row_order(entry.slot, entry.gguf_layout), from);
      x = encode(x, dtype, from);
      if (offset != 0) {
        Tensor moved = Tensor::empty(x.shape());
        for (int64_t i = 0; i < x.numel(); ++i) moved.f32()[i] = x.f32()[i] + offset;
        x = moved;
      }
      done_ += source_.get(from).nbytes();
      source_.release(from);
      if (options_.progress)
        options_.progress(static_cast<double>(done_) / static_cast<double>(total_));
      return x;
    };
    writer->add_tensor({to, shape, dtype, make});
  }

  const Family& family_;
  const DecoderSpec& spec_;
  const formats::TensorSource& source_;
  const ConvertOptions& options_;
  WeightNames names_;
  int64_t total_ = 0, done_ = 0;
};

std::string gguf_architecture(const Family& family, const std::string& folder) {
  if (family.gguf_written) return family.gguf_written;
  if (!family.from_gguf || family.gguf_architectures.empty())
    fail("{}: GGUF has no architecture for {}", folder, family.name);
  return family.gguf_architectures[0];
}

// Opens what was written and compares.
void check_written(const std::string& path, const std::string& folder, const Family& family,
                   const DecoderSpec& spec, const text::Tokenizer* tokenizer) {
  const formats::GgufFile file(path);
  const DecoderSpec read = family.from_gguf(file);
  DecoderSpec expected = spec;
  expected.norm_offset = 0;  // added to the weights
  const std::string difference = spec_difference(expected, read);
  if (!difference.empty())
    fail("{}: GGUF cannot express this model: {}", folder, difference);
  Decoder::check_names(read, family.weights, file, true);
  if (tokenizer) text::check_same_tokenizer(*tokenizer, *text::tokenizer_from_gguf(file), folder);
}

}  // namespace

ConvertReport convert_to_gguf(const std::string& folder, const std::string& out,
                              const ConvertOptions& options) {
  check_target(out, options.overwrite);
  const Config config = Config::read(folder + "/config.json");
  check_runnable(config);
  const Family& family = family_for(config);
  const std::string architecture = gguf_architecture(family, folder);
  const DecoderSpec spec = family.from_config(config);
  check_spec(spec, config.file());
  const auto source = formats::open_weights_folder(folder);
  Decoder::check_names(spec, family.weights, *source, false);

  formats::GgufWriter writer;
  writer.set_string("general.architecture", architecture);
  writer.set_string("general.name", fs::path(folder).lexically_normal().filename().string());
  writer.set_uint32("general.quantization_version", 2);
  write_gguf_metadata(spec, architecture, folder, &writer);
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (formats::file_exists(folder + "/tokenizer.json")) {
    tokenizer = text::open_tokenizer(folder);
    text::write_gguf_tokenizer(folder, *tokenizer, spec.vocab_size, &writer);
  } else {
    writer.set_string("tokenizer.ggml.model", "none");
  }
  ConvertReport report;
  GgufTensors tensors(family, spec, *source, options);
  tensors.add_to(&writer, &report);
  check_room(out, writer.tensor_bytes());
  Unfinished unfinished(out + ".unfinished");
  writer.write(unfinished.path());
  check_written(unfinished.path(), folder, family, spec, tokenizer.get());
  report.bytes = fs::file_size(unfinished.path());
  unfinished.rename_to(out);
  return report;
}

ConvertReport convert_to_safetensors(const std::string& folder, const std::string& out,
                                     const ConvertOptions& options) {
  check_target(out, options.overwrite);
  if (options.dtype && !is_float(*options.dtype))
    fail("{}: a safetensors folder cannot hold {}; f32, f16 or bf16", out,
         dtype_name(*options.dtype));
  if (fs::exists(out) && !fs::is_empty(out)) fail("{}: is not an empty folder", out);
  const auto source = formats::open_weights_folder(folder);
  ConvertReport report;
  std::vector<formats::TensorProducer> tensors;
  int64_t total = 0, done = 0;
  uint64_t bytes = 0;
  for (const formats::TensorInfo& info : source->tensors()) {
    const DType dtype = is_float(info.dtype) ? options.dtype.value_or(info.dtype) : info.dtype;
    total += tensor::byte_count(info.shape, info.dtype);
    bytes += static_cast<uint64_t>(tensor::byte_count(info.shape, dtype));
    tensors.push_back({info.name, info.shape, dtype, [&, dtype, name = info.name] {
                         const Tensor stored = source->get(name);
                         Tensor x = encode(stored, dtype, name);
                         done += stored.nbytes();
                         source->release(name);
                         if (options.progress)
                           options.progress(static_cast<double>(done) / static_cast<double>(total));
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
                           extension == ".model";
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
