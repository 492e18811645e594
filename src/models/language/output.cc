#include "models/language/output.h"

#include "base/error.h"
#include "kernels/quantize_reference.h"
#include "nn/float_rows.h"

namespace sumi::models {

namespace fs = std::filesystem;

Unfinished::Unfinished(std::string path) : path_(std::move(path)) {
  std::error_code ignored;
  fs::remove_all(path_, ignored);  // of a run that was killed
}

Unfinished::~Unfinished() {
  std::error_code ignored;
  if (!kept_) fs::remove_all(path_, ignored);
}

void Unfinished::rename_to(const std::string& target) {
  std::error_code error;
  fs::rename(path_, target, error);
  if (error) fail("{}: cannot rename to it: {}", target, error.message());
  kept_ = true;
}

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

void check_folder_target(const std::string& out, const ConvertOptions& options) {
  check_target(out, options.overwrite);
  if (options.dtype && !is_float(*options.dtype))
    fail("{}: a safetensors folder cannot hold {}; f32, f16 or bf16", out,
         dtype_name(*options.dtype));
  if (fs::exists(out) && !fs::is_empty(out)) fail("{}: is not an empty folder", out);
}

Tensor plus(const Tensor& x, float offset) {
  Tensor y = Tensor::empty(x.shape());
  for (int64_t i = 0; i < x.numel(); ++i) y.f32()[i] = x.f32()[i] + offset;
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

Tensor recoded(const Tensor& x, DType dtype, const std::string& name) {
  if (x.dtype() == dtype) return x;
  if (!is_float(x.dtype()) && !is_quantized(x.dtype()))
    fail("tensor {}: expected f32, f16, bf16 or a block-quantized type, found {}", name,
         dtype_name(x.dtype()));
  const Tensor plain = is_float(x.dtype()) ? x.to(DType::f32) : nn::dequantize(x);
  if (is_float(dtype)) return plain.to(dtype);
  const auto quantize = dtype == DType::q4_0   ? kernels::quantize_q4_0
                        : dtype == DType::q4_1 ? kernels::quantize_q4_1
                        : dtype == DType::q5_0 ? kernels::quantize_q5_0
                        : dtype == DType::q5_1 ? kernels::quantize_q5_1
                        : dtype == DType::q8_0 ? kernels::quantize_q8_0
                        : dtype == DType::q4_k ? kernels::quantize_q4_k
                        : dtype == DType::q6_k ? kernels::quantize_q6_k
                                               : nullptr;
  if (!quantize) fail("tensor {}: writing {} is not known", name, dtype_name(dtype));
  Tensor out = Tensor::empty(x.shape(), dtype);
  quantize(plain.f32(), plain.numel(), out.bytes());
  return out;
}

const char* torch_name(DType dtype) {
  return dtype == DType::f32 ? "float32" : dtype == DType::bf16 ? "bfloat16" : "float16";
}

ByteProgress::ByteProgress(const formats::TensorSource& source, std::function<void(double)> report)
    : report_(std::move(report)) {
  for (const formats::TensorInfo& info : source.tensors())
    total_ += tensor::byte_count(info.shape, info.dtype);
}

void ByteProgress::done(const formats::TensorSource& source, const std::string& name) {
  done_ += source.get(name).nbytes();
  source.release(name);
  if (report_ && total_ > 0)
    report_(std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_)));
}

}  // namespace sumi::models
