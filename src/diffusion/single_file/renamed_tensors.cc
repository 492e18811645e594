#include "diffusion/single_file/renamed_tensors.h"

#include <cstring>

#include "base/error.h"
#include "formats/bytes.h"

namespace sumi::diffusion {

namespace {

// [I, O] -> [O, I] of elements of any type.
Tensor transpose(const Tensor& x) {
  const int64_t rows = x.size(0), columns = x.size(1);
  Tensor y = Tensor::empty({columns, rows}, x.dtype());
  const auto size = static_cast<size_t>(x.numel() > 0 ? x.nbytes() / x.numel() : 0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      std::memcpy(y.bytes() + static_cast<size_t>(c * rows + r) * size,
                  x.bytes() + static_cast<size_t>(r * columns + c) * size, size);
  return y;
}

}  // namespace

RenamedTensors::RenamedTensors(std::shared_ptr<const formats::TensorSource> file,
                               const std::vector<RenamedTensor>& tensors)
    : file_(std::move(file)), renamed_(tensors) {
  std::unordered_map<std::string, const formats::TensorInfo*> stored;
  for (const formats::TensorInfo& info : file_->tensors()) stored.emplace(info.name, &info);
  for (const RenamedTensor& renamed : renamed_) {
    formats::TensorInfo info = *stored.at(renamed.stored);
    Shape& shape = info.shape;
    if (shape.empty() || shape[0] % renamed.parts != 0)
      fail("{}: tensor {}: shape {} cannot be cut into {} ranges of rows", describe(),
           formats::shown(info.name), tensor::shape_string(shape), renamed.parts);
    shape[0] /= renamed.parts;
    if (renamed.matrix)
      while (shape.size() > 2 && shape.back() == 1) shape.pop_back();
    if (renamed.transposed) {
      if (shape.size() != 2)
        fail("{}: tensor {}: expected a matrix, found shape {}", describe(),
             formats::shown(info.name), tensor::shape_string(shape));
      std::swap(shape[0], shape[1]);
    }
    info.name = renamed.name;
    if (!index_.emplace(info.name, tensors_.size()).second)
      fail("{}: tensor {}: another one stands for {} already", describe(),
           formats::shown(renamed.stored), formats::shown(info.name));
    tensors_.push_back(std::move(info));
  }
}

size_t RenamedTensors::index_of(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) fail("{}: no tensor for {}", describe(), formats::shown(name));
  return found->second;
}

Tensor RenamedTensors::get(const std::string& name) const {
  const size_t i = index_of(name);
  const Tensor stored = file_->get(renamed_[i].stored);
  if (renamed_[i].transposed) return transpose(stored);
  const int64_t rows = tensors_[i].shape[0];
  return stored.rows(renamed_[i].part * rows, rows).view(tensors_[i].shape);
}

void RenamedTensors::release(const std::string& name) const {
  file_->release(renamed_[index_of(name)].stored);
}

}  // namespace sumi::diffusion
