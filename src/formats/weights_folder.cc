#include "formats/weights_folder.h"

#include <array>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"

namespace sumi::formats {

namespace {

// One way in which a folder holds its weights.
struct Layout {
  std::string single;  // a file with all of them, or
  std::string index;   // the list of the files that have them
  std::unique_ptr<TensorSource> (*open)(const std::string& path);
};

template <class File>
std::unique_ptr<TensorSource> open_file(const std::string& path) {
  return std::make_unique<File>(path);
}

const std::array<Layout, 4> kLayouts = {{
    {"model.safetensors", "model.safetensors.index.json", open_file<SafetensorsFile>},
    {"pytorch_model.bin", "pytorch_model.bin.index.json", open_file<TorchFile>},
    {"diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json",
     open_file<SafetensorsFile>},
    {"diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json",
     open_file<TorchFile>},
}};

// "model.safetensors" and "fp16" -> "model.fp16.safetensors".
std::string with_variant(std::string name, const std::string& variant) {
  return variant.empty() ? name : name.insert(name.rfind('.'), "." + variant);
}

// The variant in a file's name that is otherwise `plain`, "" if it is another name.
std::string variant_in(const std::string& file, const std::string& plain) {
  const size_t dot = plain.rfind('.'), end = plain.size() - dot;
  if (file.size() <= plain.size() + 1 || file.compare(0, dot + 1, plain, 0, dot + 1) != 0 ||
      file.compare(file.size() - end, end, plain, dot, end) != 0)
    return "";
  const std::string found = file.substr(dot + 1, file.size() - plain.size() - 1);
  return found.find('.') == std::string::npos ? found : "";
}

// No folder, no "..", nothing a shell or terminal would act on.
bool is_plain_name(const std::string& name) {
  if (name.empty() || name[0] == '.' || name.size() > 255) return false;
  for (const char c : name)
    if (c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return false;
  return true;
}

class Shards : public TensorSource {
 public:
  Shards(const std::string& folder, const Layout& layout, const std::string& index_name)
      : folder_(folder), layout_(layout) {
    const std::string index_path = folder + "/" + index_name;
    JsonLimits limits;
    limits.depth = 16;
    limits.unique_keys = true;
    const nlohmann::json index = read_json_file(index_path, limits);
    const nlohmann::json& map = require_object(index, "weight_map", index_path);
    if (map.empty()) fail("{}: weight_map is empty", index_path);
    std::map<std::string, const TensorSource*> by_name;
    for (const auto& [name, shard] : map.items()) {
      if (!shard.is_string())
        fail("{}: weight_map: {}: expected a file name", index_path, shown(name));
      const std::string file = shard.get<std::string>();
      const TensorSource*& opened = by_name[file];
      if (!opened) opened = open(file, index_path);
      if (!opened->has(name))
        fail("{}: weight_map places tensor {} in {}, which does not have it", index_path,
             shown(name), file);
      index_.emplace(name, opened);
    }
    for (const auto& [file, shard] : by_name)
      for (const TensorInfo& info : shard->tensors()) {
        const auto mapped = index_.find(info.name);
        if (mapped == index_.end())
          fail("{}: tensor {} is in {} but not in weight_map", index_path, shown(info.name), file);
        if (mapped->second == shard) tensors_.push_back(info);
      }
  }

  std::string describe() const override { return folder_; }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string& name) const override { return index_.count(name) > 0; }
  Tensor get(const std::string& name) const override { return shard_of(name).get(name); }
  void release(const std::string& name) const override { shard_of(name).release(name); }

 private:
  const TensorSource* open(const std::string& file, const std::string& index_path) {
    if (!is_plain_name(file))
      fail("{}: weight_map: expected a plain file name inside the folder, found {}", index_path,
           shown(file));
    const std::string path = folder_ + "/" + file;
    if (!file_exists(path)) fail("{}: the shard {} is missing", index_path, file);
    shards_.push_back(layout_.open(path));
    return shards_.back().get();
  }
  const TensorSource& shard_of(const std::string& name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) fail("{}: no tensor named {}", folder_, shown(name));
    return *found->second;
  }

  std::string folder_;
  const Layout& layout_;
  std::vector<std::unique_ptr<TensorSource>> shards_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, const TensorSource*> index_;
};

// Null if the folder has no weights of that variant.
std::unique_ptr<TensorSource> open_variant(const std::string& folder, const std::string& variant) {
  for (const Layout& layout : kLayouts) {
    const std::string single = folder + "/" + with_variant(layout.single, variant);
    const std::string index = with_variant(layout.index, variant);
    if (file_exists(single)) return layout.open(single);
    if (file_exists(folder + "/" + index)) return std::make_unique<Shards>(folder, layout, index);
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> weight_variants(const std::string& folder) {
  std::set<std::string> variants;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error))
    for (const Layout& layout : kLayouts)
      for (const std::string& plain : {layout.single, layout.index})
        variants.insert(variant_in(it->path().filename().string(), plain));
  variants.erase("");
  return {variants.begin(), variants.end()};
}

std::unique_ptr<TensorSource> open_weights_folder(const std::string& folder,
                                                  const std::string& variant) {
  if (!variant.empty() && !is_plain_name(variant))
    fail("variant: expected a plain word such as fp16, found {}", shown(variant));
  for (const std::string& wanted : {variant, std::string()})
    if (auto found = open_variant(folder, wanted)) return found;
  const std::vector<std::string> variants = weight_variants(folder);
  if (variants.size() == 1) return open_variant(folder, variants[0]);
  if (!variants.empty())
    fail("{}: the weights are there only as variants: {}; choose one", folder,
         fmt::join(variants, ", "));
  std::string names;
  for (const Layout& layout : kLayouts)
    for (const std::string& name : {layout.single, layout.index})
      names += (names.empty() ? "" : ", ") + name;
  fail("{}: no weights; looked for {}", folder, names);
}

}  // namespace sumi::formats
