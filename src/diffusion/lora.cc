#include "diffusion/lora.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "base/threads.h"
#include "formats/bytes.h"
#include "formats/open_tensors.h"

namespace sumi::diffusion {

namespace {

bool starts(const std::string& text, const std::string& with) { return text.rfind(with, 0) == 0; }

bool strip_end(std::string& text, const std::string& end) {
  if (text.size() < end.size() || text.compare(text.size() - end.size(), end.size(), end) != 0)
    return false;
  text.resize(text.size() - end.size());
  return true;
}

std::string with_underscores(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

enum class Kind { down, up, alpha };

// Splits a tensor's name into part and layer ("unet/..._attn1_to_q") and kind; false if it is no
// name of a LoRA.
bool parse_name(std::string name, std::string* layer, Kind* kind) {
  static const std::pair<const char*, Kind> kEnds[] = {
      {".lora_A.default.weight", Kind::down}, {".lora_B.default.weight", Kind::up},
      {".lora_A.weight", Kind::down},         {".lora_B.weight", Kind::up},
      {".lora_down.weight", Kind::down},      {".lora_up.weight", Kind::up},
      {"_lora.down.weight", Kind::down},      {"_lora.up.weight", Kind::up},
      {".lora.down.weight", Kind::down},      {".lora.up.weight", Kind::up},
      {".lora_linear_layer.down.weight", Kind::down},
      {".lora_linear_layer.up.weight", Kind::up},
      {".alpha", Kind::alpha}};
  const auto* found = std::find_if(std::begin(kEnds), std::end(kEnds),
                                   [&](const auto& end) { return strip_end(name, end.first); });
  if (found == std::end(kEnds)) return false;
  *kind = found->second;
  // The processors of old files stand before the layers they change: "attn1.processor.to_q".
  if (const size_t at = name.find(".processor."); at != std::string::npos)
    name.replace(at, 11, strip_end(name, "to_out") ? ".to_out.0" : ".");
  static const std::pair<const char*, const char*> kParts[] = {
      {"lora_unet_", "unet/"},         {"lora_te1_", "text_encoder/"},
      {"lora_te2_", "text_encoder_2/"}, {"lora_te_", "text_encoder/"},
      {"unet.", "unet/"},              {"text_encoder.", "text_encoder/"},
      {"text_encoder_2.", "text_encoder_2/"}};
  for (const auto& [prefix, part] : kParts)
    if (starts(name, prefix)) {
      *layer = part + with_underscores(name.substr(std::string(prefix).size()));
      return true;
    }
  return false;
}

// [A, B, ...] as a matrix [A, the rest].
Tensor matrix(const Tensor& x) {
  const int64_t rows = x.size(0);
  return x.to(DType::f32).view({rows, rows > 0 ? x.numel() / rows : 0});
}

class MergedSource : public formats::TensorSource {
 public:
  MergedSource(std::unique_ptr<formats::TensorSource> source,
               std::unordered_map<std::string, const std::vector<LoraChange>*> changes)
      : source_(std::move(source)), changes_(std::move(changes)) {}

  std::string describe() const override { return source_->describe(); }
  const std::vector<formats::TensorInfo>& tensors() const override { return source_->tensors(); }
  bool has(const std::string& name) const override { return source_->has(name); }
  void release(const std::string& name) const override { source_->release(name); }

  Tensor get(const std::string& name) const override {
    const Tensor stored = source_->get(name);
    const auto found = changes_.find(name);
    if (found == changes_.end()) return stored;
    Tensor weight = stored.to(DType::f32).clone();
    for (const LoraChange& change : *found->second) {
      const Tensor down = matrix(change.down), up = matrix(change.up);
      const int64_t rank = down.size(0), columns = down.size(1);
      base::parallel_for(up.size(0), 16, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) {
          float* row = weight.f32() + o * columns;
          for (int64_t r = 0; r < rank; ++r) {
            const float factor = change.factor * up.f32()[o * rank + r];
            const float* from = down.f32() + r * columns;
            for (int64_t i = 0; i < columns; ++i) row[i] += factor * from[i];
          }
        }
      });
    }
    return weight;
  }

 private:
  std::unique_ptr<formats::TensorSource> source_;
  std::unordered_map<std::string, const std::vector<LoraChange>*> changes_;
};

}  // namespace

void LoraSet::add(const std::string& path, float weight) {
  const std::unique_ptr<formats::TensorSource> file = formats::open_tensors(path);
  struct Found {
    std::string name;
    Tensor down, up;
    float alpha = -1;  // absent: the rank
  };
  std::map<std::string, Found> layers;
  for (const formats::TensorInfo& info : file->tensors()) {
    std::string layer;
    Kind kind{};
    if (!parse_name(info.name, &layer, &kind))
      fail("{}: tensor {}: not a name of a LoRA that is known", path, formats::shown(info.name));
    Found& found = layers[layer];
    found.name = info.name;
    const Tensor tensor = file->get(info.name);
    if (!is_float(tensor.dtype()))
      fail("{}: tensor {}: expected f32, f16 or bf16, found {}", path, formats::shown(info.name),
           dtype_name(tensor.dtype()));
    if (kind == Kind::alpha) {
      if (tensor.numel() != 1)
        fail("{}: tensor {}: expected one number, found shape {}", path, formats::shown(info.name),
             tensor::shape_string(tensor.shape()));
      found.alpha = tensor.to_vector()[0];
      if (!std::isfinite(found.alpha))
        fail("{}: tensor {}: expected a finite number", path, formats::shown(info.name));
    } else {
      if (tensor.dim() != 2 && tensor.dim() != 4)
        fail("{}: tensor {}: expected 2 or 4 axes, found shape {}", path,
             formats::shown(info.name), tensor::shape_string(tensor.shape()));
      (kind == Kind::down ? found.down : found.up) = tensor.clone();
    }
  }
  if (layers.empty()) fail("{}: the file has no tensors", path);
  for (const auto& [key, found] : layers) {
    if (!found.down.defined() || !found.up.defined())
      fail("{}: tensor {}: its pair is missing; a LoRA has two matrices for each layer", path,
           formats::shown(found.name));
    const int64_t rank = found.down.size(0);
    if (rank < 1 || matrix(found.up).size(1) != rank)
      fail("{}: tensor {}: shapes {} and {} do not make a LoRA", path, formats::shown(found.name),
           tensor::shape_string(found.down.shape()), tensor::shape_string(found.up.shape()));
    const float scale = found.alpha < 0 ? 1 : found.alpha / static_cast<float>(rank);
    Layer& layer = changes_[key];
    layer.file = path;
    layer.name = found.name;
    layer.changes.push_back({found.down, found.up, weight * scale});
  }
}

void LoraSet::check_parts(const std::vector<std::string>& parts) const {
  for (const auto& [key, layer] : changes_) {
    const std::string part = key.substr(0, key.find('/'));
    if (std::find(parts.begin(), parts.end(), part) == parts.end())
      fail("{}: tensor {}: the model has no part {}", layer.file, formats::shown(layer.name), part);
  }
}

std::unique_ptr<formats::TensorSource> LoraSet::merged(
    std::unique_ptr<formats::TensorSource> source, const std::string& part) const {
  std::unordered_map<std::string, std::string> names;  // layer with underscores -> tensor
  for (const formats::TensorInfo& info : source->tensors()) {
    std::string layer = info.name;
    if (strip_end(layer, ".weight")) names.emplace(with_underscores(layer), info.name);
  }
  std::unordered_map<std::string, const std::vector<LoraChange>*> changes;
  for (const auto& [key, layer] : changes_) {
    if (!starts(key, part + "/")) continue;
    const std::string name = key.substr(part.size() + 1);
    auto found = names.find(name);
    // Text encoders are stored with and without this prefix.
    if (found == names.end() && starts(name, "text_model_")) found = names.find(name.substr(11));
    if (found == names.end()) found = names.find("text_model_" + name);
    if (found == names.end())
      fail("{}: tensor {}: {} has no such layer", layer.file, formats::shown(layer.name),
           source->describe());
    const Tensor weight = source->get(found->second);
    for (const LoraChange& change : layer.changes)
      if (weight.dim() < 2 || change.up.size(0) != weight.size(0) ||
          matrix(change.down).size(1) != weight.numel() / weight.size(0))
        fail("{}: tensor {}: shapes {} and {} do not fit the weight {} {}", layer.file,
             formats::shown(layer.name), tensor::shape_string(change.down.shape()),
             tensor::shape_string(change.up.shape()), found->second,
             tensor::shape_string(weight.shape()));
    changes.emplace(found->second, &layer.changes);
  }
  return std::make_unique<MergedSource>(std::move(source), std::move(changes));
}

}  // namespace sumi::diffusion
