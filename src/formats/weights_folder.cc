#include "formats/weights_folder.h"

#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"

namespace sumi::formats {

namespace {

// One way in which a folder holds its weights.
struct Layout {
  const char* single;  // a file with all of them, or
  const char* index;   // the list of the files that have them
  std::unique_ptr<TensorSource> (*open)(const std::string& path);
};

template <class File>
std::unique_ptr<TensorSource> open_file(const std::string& path) {
  return std::make_unique<File>(path);
}

constexpr Layout kLayouts[] = {
    {"model.safetensors", "model.safetensors.index.json", open_file<SafetensorsFile>},
    {"pytorch_model.bin", "pytorch_model.bin.index.json", open_file<TorchFile>},
    {"diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.safetensors.index.json",
     open_file<SafetensorsFile>},
    {"diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json",
     open_file<TorchFile>},
};

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
  Shards(const std::string& folder, const Layout& layout) : folder_(folder), layout_(layout) {
    const std::string index_path = folder + "/" + layout.index;
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

}  // namespace

std::unique_ptr<TensorSource> open_weights_folder(const std::string& folder) {
  std::string names;
  for (const Layout& layout : kLayouts) {
    const std::string single = folder + "/" + layout.single;
    if (file_exists(single)) return layout.open(single);
    if (file_exists(folder + "/" + layout.index)) return std::make_unique<Shards>(folder, layout);
    for (const char* name : {layout.single, layout.index})
      names += (names.empty() ? "" : ", ") + std::string(name);
  }
  fail("{}: no weights; looked for {}", folder, names);
}

}  // namespace sumi::formats
