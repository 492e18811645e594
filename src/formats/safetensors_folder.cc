// The shards of a Hugging Face folder as one source.

#include "base/error.h"
#include "formats/bytes.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace sumi::formats {

namespace {

constexpr const char* kSingleFile = "/model.safetensors";
constexpr const char* kIndexFile = "/model.safetensors.index.json";

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
  explicit Shards(const std::string& folder) : folder_(folder) {
    const std::string index_path = folder + kIndexFile;
    JsonLimits limits;
    limits.depth = 16;
    limits.unique_keys = true;
    const nlohmann::json index = read_json_file(index_path, limits);
    const nlohmann::json& map = require_object(index, "weight_map", index_path);
    if (map.empty()) fail("{}: weight_map is empty", index_path);
    std::map<std::string, const SafetensorsFile*> by_name;
    for (const auto& [name, shard] : map.items()) {
      if (!shard.is_string())
        fail("{}: weight_map: {}: expected a file name", index_path, shown(name));
      const std::string file = shard.get<std::string>();
      const SafetensorsFile*& opened = by_name[file];
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
  const SafetensorsFile* open(const std::string& file, const std::string& index_path) {
    if (!is_plain_name(file))
      fail("{}: weight_map: expected a plain file name inside the folder, found {}", index_path,
           shown(file));
    const std::string path = folder_ + "/" + file;
    if (!file_exists(path)) fail("{}: the shard {} is missing", index_path, file);
    shards_.push_back(std::make_unique<SafetensorsFile>(path));
    return shards_.back().get();
  }
  const SafetensorsFile& shard_of(const std::string& name) const {
    const auto found = index_.find(name);
    if (found == index_.end()) fail("{}: no tensor named {}", folder_, shown(name));
    return *found->second;
  }

  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> shards_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, const SafetensorsFile*> index_;
};

}  // namespace

std::unique_ptr<TensorSource> open_safetensors_folder(const std::string& folder) {
  if (file_exists(folder + kSingleFile))
    return std::make_unique<SafetensorsFile>(folder + kSingleFile);
  if (file_exists(folder + kIndexFile)) return std::make_unique<Shards>(folder);
  fail("{}: neither model.safetensors nor model.safetensors.index.json is there", folder);
}

}  // namespace sumi::formats
