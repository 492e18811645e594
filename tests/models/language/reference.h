// What tools/reference/language.py, language_gguf.py, families_gguf.py and chatglm.py wrote, and
// comparisons with it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "models/language/open.h"

namespace sumi::models {

inline std::string case_folder(const std::string& name) {
  return std::string(SUMI_TEST_DATA) + "/language/" + name;
}

// The model of a case: its folder, or the GGUF file inside.
inline std::string case_model(const std::string& name) {
  return name.rfind("gguf_", 0) == 0 ? case_folder(name) + "/model.gguf" : case_folder(name);
}

class Expected {
 public:
  // A GGUF file made of another case's weights (families_gguf.py) has that one's expectations.
  explicit Expected(const std::string& name) : file_(path(name)) {}
  Tensor get(const std::string& name) const { return file_.get(name); }
  const formats::SafetensorsFile& file() const { return file_; }
  std::vector<int32_t> ids(const std::string& name) const {
    const Tensor tensor = get(name);
    return {tensor.data<int32_t>(), tensor.data<int32_t>() + tensor.numel()};
  }

 private:
  static std::string path(const std::string& name) {
    const std::string own = case_folder(name) + "/expected.safetensors";
    if (std::filesystem::exists(own)) return own;
    return case_folder(name.substr(std::string("gguf_").size())) + "/expected.safetensors";
  }

  formats::SafetensorsFile file_;
};

inline LanguageModelFiles open_case(const std::string& name, ComputeType compute,
                                    bool trainable = false) {
  OpenOptions options;
  options.compute = compute;
  options.trainable = trainable;
  return open_language_model(case_model(name), options);
}

// Largest difference, relative to the largest magnitude expected.
inline double relative_error(const Tensor& found, const Tensor& expected) {
  EXPECT_EQ(found.numel(), expected.numel());
  double difference = 0, magnitude = 0;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double d = std::fabs(static_cast<double>(found.f32()[i]) - expected.f32()[i]);
    if (!(d <= difference)) difference = d;  // a NaN counts
    magnitude = std::max<double>(magnitude, std::fabs(expected.f32()[i]));
  }
  return difference / magnitude;
}

// Norm of the difference, relative to the expected norm.
inline double relative_deviation(const Tensor& found, const Tensor& expected) {
  EXPECT_EQ(found.numel(), expected.numel());
  double difference = 0, magnitude = 0;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    const double e = expected.f32()[i], d = found.f32()[i] - e;
    difference += d * d;
    magnitude += e * e;
  }
  return std::sqrt(difference / magnitude);
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.nbytes())) == 0;
}

// Logits [n, V] of all ids, given to the model in pieces of `piece`, the first of at least `first`.
inline Tensor logits_in_pieces(const LanguageModel& model, const std::vector<int32_t>& ids,
                               size_t piece, size_t first = 0) {
  const auto state = model.new_state();
  Tensor all = Tensor::empty({static_cast<int64_t>(ids.size()), model.vocab_size()});
  for (size_t begin = 0, count = 0; begin < ids.size(); begin += count) {
    count = std::min(begin == 0 ? std::max(piece, first) : piece, ids.size() - begin);
    const Tensor part = model.forward(std::span(ids).subspan(begin, count), *state, LogitsFor::all);
    std::memcpy(all.rows(static_cast<int64_t>(begin), static_cast<int64_t>(count)).bytes(),
                part.bytes(), static_cast<size_t>(part.nbytes()));
  }
  return all;
}

}  // namespace sumi::models
