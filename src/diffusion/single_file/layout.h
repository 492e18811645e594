// What a checkpoint in the original naming (CompVis latent-diffusion, Stability's
// stablediffusion) holds: shapes by name, and the blocks of its networks.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/tensor_source.h"

namespace sumi::diffusion {

// The tensors whose names begin with a prefix, which is left out.
class Section {
 public:
  Section(const formats::TensorSource& file, const std::string& prefix);

  const std::string& prefix() const { return prefix_; }
  bool empty() const { return shapes_.empty(); }
  bool has(const std::string& name) const { return shapes_.count(name) > 0; }
  bool any(const std::string& beginning) const;  // of a name
  const std::map<std::string, Shape>& shapes() const { return shapes_; }
  // Throws Error naming file and tensor if there is none, or it has another number of axes.
  const Shape& shape(const std::string& name, size_t axes) const;
  // How many axes a tensor has. Throws Error if there is none.
  size_t axes(const std::string& name) const { return found(name).size(); }
  // How many of beginning + "0.", beginning + "1." ... there are; at most 256.
  int64_t count(const std::string& beginning) const;

 private:
  const Shape& found(const std::string& name) const;

  std::string file_, prefix_;
  std::map<std::string, Shape> shapes_;
};

// One level of a UNet or ControlNet.
struct LdmLevel {
  int64_t channels = 0, layers = 0, transformer_layers = 0;  // the last: 0 where nothing attends
  bool down = false;                                         // the next level is half as large
};

// "input_blocks" of a UNet or ControlNet. Throws Error naming the block that has another form.
std::vector<LdmLevel> ldm_levels(const Section& net);

}  // namespace sumi::diffusion
