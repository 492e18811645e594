// Models that take pictures, too, and whose text model is one of ours: config.json has its configuration as
// "text_config", and its weights lie beside those for pictures. Text alone needs nothing else.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "formats/tensor_source.h"
#include "models/language/config.h"

namespace sumi::models {

// Whether it is such a model's configuration (families/wrappers.cc lists them).
bool has_text_part(const Config& config);

// The text model's configuration; `config` itself if there is no such part. What the part leaves out counts from
// around it, then as transformers' configuration class of its model_type has it. Throws Error on weights in a form
// that is not known (check_runnable).
Config text_part(const Config& config);

// The text model's own name of a module in an adapter for the whole model; "" if it is for pictures. Other names are
// the text model's own already.
std::string text_part_module(const std::string& module);

// The text model's weights under the names that they have in a folder of their own.
class TextPartTensors : public formats::TensorSource {
 public:
  // Throws Error naming tensors that are neither the text model's nor for pictures. `source` must outlive it.
  explicit TextPartTensors(const formats::TensorSource& source);
  explicit TextPartTensors(std::unique_ptr<formats::TensorSource> source);

  std::string describe() const override { return source_.describe(); }
  const std::vector<formats::TensorInfo>& tensors() const override { return tensors_; }
  bool has(const std::string& name) const override { return names_.count(name) > 0; }
  Tensor get(const std::string& name) const override;
  void release(const std::string& name) const override;

  const std::vector<formats::TensorInfo>& unused() const { return unused_; }  // those for pictures

 private:
  std::unique_ptr<formats::TensorSource> owned_;
  const formats::TensorSource& source_;
  std::vector<formats::TensorInfo> tensors_, unused_;
  std::unordered_map<std::string, std::string> names_;  // to those in the files
};

// A folder's weights, of the text part alone where it has one. `config` is the folder's.
std::unique_ptr<formats::TensorSource> open_text_weights(const Config& config, const std::string& folder);

}  // namespace sumi::models
