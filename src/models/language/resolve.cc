// Finding a model by path or name.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "formats/json.h"
#include "models/language/open.h"

namespace sumi::models {

namespace {

namespace fs = std::filesystem;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

fs::path home_cache() {
  const std::string home = environment("HOME");
  return home.empty() ? fs::path() : fs::path(home) / ".cache";
}

fs::path models_cache() {
  const std::string cache = environment("XDG_CACHE_HOME");
  return (cache.empty() ? home_cache() : fs::path(cache)) / "sumi" / "models";
}

fs::path hub_cache() {
  if (const std::string hub = environment("HF_HUB_CACHE"); !hub.empty()) return hub;
  if (const std::string home = environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  return home_cache() / "huggingface" / "hub";
}

std::vector<fs::path> entries(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    found.push_back(it->path());
  std::sort(found.begin(), found.end());
  return found;
}

bool is_model_file(const fs::path& path) {
  return path.extension() == ".gguf" || path.extension() == ".pth";
}

// The model at a path: a file, a folder with config.json or (pictures) model_index.json, or a folder
// with one GGUF or .pth file alone. Empty if there is none.
std::string model_at(const fs::path& path) {
  std::error_code error;
  if (fs::is_regular_file(path, error)) return path.string();
  if (!fs::is_directory(path, error)) return "";
  for (const char* file : {"config.json", "model_index.json"})
    if (formats::file_exists((path / file).string())) return path.string();
  std::vector<fs::path> files;
  for (const fs::path& entry : entries(path))
    if (is_model_file(entry)) files.push_back(entry);
  return files.size() == 1 ? files[0].string() : "";
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// A name in the models cache, whole or a unique part of one. Empty if there is none.
std::string in_models_cache(const std::string& name, const fs::path& cache) {
  if (name.find("..") != std::string::npos) return "";
  for (const fs::path& exact : {cache / name, cache / (name + ".gguf")})
    if (const std::string found = model_at(exact); !found.empty()) return found;
  std::vector<std::string> models, names;
  for (const fs::path& entry : entries(cache)) {
    const std::string model = model_at(entry);
    const bool model_file = fs::is_directory(entry) || is_model_file(entry);
    if (model.empty() || !model_file) continue;
    // A folder with one file goes by either name.
    const std::string both = entry.filename().string() + "/" + fs::path(model).filename().string();
    if (lower(both).find(lower(name)) == std::string::npos) continue;
    models.push_back(model);
    names.push_back(entry.filename().string());
  }
  if (models.size() > 1)
    fail("model \"{}\": more than one in {} fits: {}", name, cache.string(),
         fmt::join(names, ", "));
  return models.empty() ? "" : models[0];
}

// org/name -> the snapshot that refs/main names, or the only one. Empty if there is none.
std::string in_hub_cache(const std::string& name, const fs::path& hub) {
  const size_t slash = name.find('/');
  if (slash == std::string::npos || name.find('/', slash + 1) != std::string::npos ||
      name.find("..") != std::string::npos)
    return "";
  const fs::path folder =
      hub / ("models--" + name.substr(0, slash) + "--" + name.substr(slash + 1));
  std::string revision;
  std::ifstream(folder / "refs" / "main") >> revision;
  if (!revision.empty() && revision.find('/') == std::string::npos && revision[0] != '.')
    if (const std::string found = model_at(folder / "snapshots" / revision); !found.empty())
      return found;
  const std::vector<fs::path> snapshots = entries(folder / "snapshots");
  return snapshots.size() == 1 ? model_at(snapshots[0]) : "";
}

}  // namespace

std::string resolve_model(const std::string& model) {
  if (model.empty()) fail("no model is given");
  if (const std::string found = model_at(model); !found.empty()) return found;
  std::error_code error;
  if (fs::is_directory(model, error))
    fail("{}: the folder has neither config.json nor model_index.json nor exactly one .gguf or "
         ".pth file",
         model);
  const fs::path cache = models_cache(), hub = hub_cache();
  if (const std::string found = in_models_cache(model, cache); !found.empty()) return found;
  if (const std::string found = in_hub_cache(model, hub); !found.empty()) return found;
  fail(
      "model \"{}\" is not found: there is no such file or folder, nothing of that name in {}, and "
      "no such "
      "org/name in {}",
      model, cache.string(), hub.string());
}

}  // namespace sumi::models
