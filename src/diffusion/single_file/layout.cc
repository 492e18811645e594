#include "diffusion/single_file/layout.h"

#include "base/error.h"
#include "formats/bytes.h"

namespace sumi::diffusion {

Section::Section(const formats::TensorSource& file, const std::string& prefix)
    : file_(file.describe()), prefix_(prefix) {
  for (const formats::TensorInfo& info : file.tensors())
    if (info.name.rfind(prefix, 0) == 0)
      shapes_.emplace(info.name.substr(prefix.size()), info.shape);
}

bool Section::any(const std::string& beginning) const {
  const auto next = shapes_.lower_bound(beginning);
  return next != shapes_.end() && next->first.rfind(beginning, 0) == 0;
}

const Shape& Section::found(const std::string& name) const {
  const auto at = shapes_.find(name);
  if (at == shapes_.end()) fail("{}: tensor {}{} is missing", file_, prefix_, name);
  return at->second;
}

const Shape& Section::shape(const std::string& name, size_t axes) const {
  const Shape& shape = found(name);
  if (shape.size() != axes)
    fail("{}: tensor {}{}: expected {} axes, found shape {}", file_, prefix_, name, axes,
         tensor::shape_string(shape));
  return shape;
}

int64_t Section::count(const std::string& beginning) const {
  int64_t n = 0;
  while (n < 256 && any(fmt::format("{}{}.", beginning, n))) ++n;
  return n;
}

std::vector<LdmLevel> ldm_levels(const Section& net) {
  std::vector<LdmLevel> levels(1);
  const int64_t blocks = net.count("input_blocks.");
  for (int64_t i = 1; i < blocks; ++i) {
    const std::string block = fmt::format("input_blocks.{}.", i);
    LdmLevel& level = levels.back();
    if (net.has(block + "0.op.weight")) {
      level.down = true;
      levels.emplace_back();
      continue;
    }
    level.channels = net.shape(block + "0.out_layers.3.weight", 4)[0];
    const int64_t depth = net.count(block + "1.transformer_blocks.");
    if (level.layers > 0 && depth != level.transformer_layers)
      fail("{}{}: {} transformer blocks beside {} in the same level", net.prefix(), block, depth,
           level.transformer_layers);
    level.transformer_layers = depth;
    ++level.layers;
  }
  for (const LdmLevel& level : levels)
    if (level.layers == 0) fail("{}input_blocks: a level without layers", net.prefix());
  return levels;
}

}  // namespace sumi::diffusion
