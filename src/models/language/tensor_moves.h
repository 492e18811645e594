// A decoder's tensors on the way from one file's names and arrangement to another's: between
// Hugging Face folders and GGUF files, in both directions.
#pragma once

#include <string>
#include <vector>

#include "models/language/weight_names.h"

namespace sumi::models {

// One tensor of the target, made of tensors of the source.
class TensorMove {
 public:
  struct Part {
    const WeightEntry* entry;  // of the source
    std::string name;          // in the source
    int64_t begin, rows;       // which of its rows, in the decoder's order
  };
  // `target` is an entry of the target's table; the parts lie one below the other in it.
  TensorMove(std::string name, const WeightEntry* target, Layout layout, std::vector<Part> parts,
             const WeightNames& names, const formats::TensorSource& source, bool from_gguf);

  const std::string& name() const { return name_; }
  Slot slot() const { return target_->slot; }
  const std::vector<Part>& parts() const { return parts_; }
  const Shape& shape() const { return shape_; }
  DType stored() const;  // type of the first part
  // The tensor in the target's arrangement and in a stored type, f32 if parts differ or if blocks
  // would have to be transposed. Throws Error if a part has not the rows that it should.
  Tensor make() const;

 private:
  Tensor part(const Part& part) const;

  std::string name_;
  const WeightEntry* target_;
  Layout layout_;  // of the target's entry
  std::vector<Part> parts_;
  const WeightNames& names_;
  const formats::TensorSource& source_;
  bool from_gguf_;
  Shape shape_;
};

// Every tensor of the target that `spec` calls for. `names` are the source's, with `spec`; both must
// outlive the result. Fused weights are cut, separate ones joined, where the other side has them so.
// Throws Error if `target` has no name for one, or one name for two.
std::vector<TensorMove> tensor_moves(const WeightNames& names, const DecoderSpec& spec,
                                     const formats::TensorSource& source, bool from_gguf,
                                     const WeightTable& target);

}  // namespace sumi::models
