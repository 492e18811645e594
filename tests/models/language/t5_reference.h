// The cases of tests/data/t5.
#pragma once

#include "models/language/reference.h"
#include "models/language/t5/t5.h"

namespace sumi::models {

struct T5Files {
  explicit T5Files(const std::string& name, ComputeType compute = ComputeType::f32,
                   bool trainable = false)
      : expected(folder(of_case(name)) + "/expected.safetensors") {
    OpenOptions options;
    options.compute = compute;
    options.trainable = trainable;
    files = open_language_model(model(name), options);
  }
  static std::string folder(const std::string& name) {
    return std::string(SUMI_TEST_DATA) + "/t5/" + name;
  }
  // A GGUF file, "gguf_" and the case's name, has the case's expectations.
  static std::string of_case(const std::string& name) {
    return name.rfind("gguf_", 0) == 0 ? name.substr(5) : name;
  }
  static std::string model(const std::string& name) {
    return folder(name) + (of_case(name) == name ? "" : "/model.gguf");
  }
  std::vector<int32_t> ids(const std::string& name) const {
    const Tensor t = expected.get(name);
    return {t.data<int32_t>(), t.data<int32_t>() + t.numel()};
  }
  Tensor batch(const std::string& name) const {
    const std::vector<int32_t> flat = ids(name);
    return Tensor::from_ids(flat, {1, static_cast<int64_t>(flat.size())});
  }
  const T5& t5() const { return dynamic_cast<const T5&>(*files.model); }

  formats::SafetensorsFile expected;
  LanguageModelFiles files;
};

// Logits of the whole target, given to the decoder in pieces.
inline Tensor written(const LanguageModel& model, const std::vector<int32_t>& source,
                      const std::vector<int32_t>& target, size_t piece) {
  const auto state = model.encode(source);
  const int64_t vocab = model.vocab_size();
  Tensor all = Tensor::empty({static_cast<int64_t>(target.size()), vocab});
  for (size_t at = 0; at < target.size(); at += piece) {
    const size_t n = std::min(piece, target.size() - at);
    const Tensor some = model.forward({target.data() + at, n}, *state, LogitsFor::all);
    std::memcpy(all.f32() + static_cast<int64_t>(at) * vocab, some.f32(),
                static_cast<size_t>(some.nbytes()));
  }
  return all;
}

}  // namespace sumi::models
