#include "generate/saved_text.h"

#include <charconv>

#include "base/error.h"
#include "formats/safetensors.h"

namespace sumi::generate {

namespace {

constexpr const char* kFormat = "sumi-text-1";

std::string entry(const formats::SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? std::string() : found->second;
}

}  // namespace

void save_text(const std::string& path, const models::LanguageModel& model,
               std::span<const int32_t> ids, const models::DecodeState& state) {
  const int64_t count = static_cast<int64_t>(ids.size());
  if (state.length() > count)
    fail("{}: a state of {} tokens beside {} ids", path, state.length(), count);
  std::vector<std::pair<std::string, Tensor>> tensors = model.state_tensors(state);
  tensors.emplace_back("ids", Tensor::from_ids({ids.begin(), ids.end()}, {count}));
  formats::write_safetensors(path, tensors,
                             {{"format", kFormat},
                              {"model", model.model_identity()},
                              {"length", std::to_string(state.length())}});
}

SavedText load_text(const std::string& path, const models::LanguageModel& model) {
  const formats::SafetensorsFile file(path);
  if (entry(file, "format") != kFormat)
    fail("{}: not a saved state: expected the format {}, found \"{}\"", path, kFormat,
         entry(file, "format"));
  const std::string identity = model.model_identity();
  if (entry(file, "model") != identity)
    fail("{}: the state of another model: expected \"{}\", found \"{}\"", path, identity,
         entry(file, "model"));
  const Tensor ids = file.get("ids");
  if (ids.dtype() != DType::i32 || ids.dim() != 1)
    fail("{}: tensor ids: expected i32 [n], found {} {}", path, dtype_name(ids.dtype()),
         tensor::shape_string(ids.shape()));
  SavedText text;
  text.ids.assign(ids.data<int32_t>(), ids.data<int32_t>() + ids.numel());
  for (const int32_t id : text.ids)
    if (id < 0 || id >= model.vocab_size())
      fail("{}: ids: expected 0 to {}, found {}", path, model.vocab_size() - 1, id);
  const std::string length = entry(file, "length");
  int64_t tokens = -1;
  const auto [stop, error] = std::from_chars(length.data(), length.data() + length.size(), tokens);
  if (error != std::errc() || stop != length.data() + length.size() || tokens < 0 ||
      tokens > ids.numel())
    fail("{}: length: expected 0 to {}, found \"{}\"", path, ids.numel(), length);
  text.state = model.state_from(file, tokens);
  return text;
}

}  // namespace sumi::generate
