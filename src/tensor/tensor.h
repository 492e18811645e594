// Tensor: a shape, an element type and shared bytes. Contiguous and row-major, always.
//
// Copying a Tensor copies the handle, not the elements. Elements live in memory the tensor's owner
// keeps alive: allocated, or part of a mapped file (then read-only). A tensor made by an operation
// under gradient recording also remembers how to send a gradient back (tensor/autograd.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/memory.h"
#include "tensor/dtype.h"

namespace sumi::tensor {

using Shape = std::vector<int64_t>;

std::string shape_string(const Shape& shape);  // "[2, 3]"

// Product of the sizes. Throws Error on a negative size or an overflow of int64.
int64_t element_count(const Shape& shape);

// Bytes of a contiguous tensor. Throws Error on overflow, or if the last size of a block type is
// not a multiple of its block.
int64_t byte_count(const Shape& shape, DType dtype);

struct AutogradMeta;

class Tensor {
 public:
  Tensor() = default;  // undefined: defined() is false

  static Tensor empty(Shape shape, DType dtype = DType::f32);
  static Tensor zeros(Shape shape, DType dtype = DType::f32);
  static Tensor full(Shape shape, float value);  // f32
  static Tensor from(const std::vector<float>& values, Shape shape);
  static Tensor from_ids(const std::vector<int32_t>& values, Shape shape);
  // Elements that `owner` keeps alive, e.g. inside a MappedFile. The memory must not be written to.
  static Tensor view_of(std::shared_ptr<const void> owner, const std::byte* data, Shape shape,
                        DType dtype);

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const { return impl_->shape; }
  int64_t dim() const { return static_cast<int64_t>(impl_->shape.size()); }
  int64_t size(int64_t axis) const;  // axis may be negative
  int64_t numel() const { return impl_->numel; }
  int64_t nbytes() const { return byte_count(impl_->shape, impl_->dtype); }
  DType dtype() const { return impl_->dtype; }

  std::byte* bytes() { return impl_->data; }
  const std::byte* bytes() const { return impl_->data; }
  // Throws Error if the element type is not T's.
  template <class T>
  T* data() {
    check_type<T>();
    return reinterpret_cast<T*>(impl_->data);
  }
  template <class T>
  const T* data() const {
    check_type<T>();
    return reinterpret_cast<const T*>(impl_->data);
  }
  float* f32() { return data<float>(); }
  const float* f32() const { return data<float>(); }

  // The same elements under another shape, no gradient recorded (ops::reshape records one).
  Tensor view(Shape shape) const;
  // Rows [begin, begin + count) of the first axis, sharing the elements, no gradient recorded.
  Tensor rows(int64_t begin, int64_t count) const;
  Tensor clone() const;                  // new memory, no gradient history
  std::vector<float> to_vector() const;  // f32, f16 and bf16
  Tensor to(DType dtype) const;          // among f32, f16 and bf16; no gradient recorded

  // Gradients; see tensor/autograd.h.
  bool requires_grad() const;
  Tensor& set_requires_grad(bool on);
  Tensor grad() const;  // undefined until backward() has reached this tensor
  void set_grad(Tensor grad);
  std::shared_ptr<AutogradMeta>& autograd() const { return impl_->autograd; }

  bool same_as(const Tensor& other) const { return impl_ == other.impl_; }
  // True if no other handle, view or closure shares the elements, so that they may be reused in
  // place.
  bool sole_owner() const { return impl_.use_count() == 1 && impl_->owner.use_count() == 1; }

 private:
  struct Impl {
    Shape shape;
    int64_t numel = 0;
    DType dtype = DType::f32;
    std::shared_ptr<const void> owner;
    std::byte* data = nullptr;
    std::shared_ptr<AutogradMeta> autograd;
  };
  template <class T>
  void check_type() const;
  static Tensor make(Shape shape, DType dtype);

  std::shared_ptr<Impl> impl_;
};

template <class T>
void Tensor::check_type() const {
  bool matches = false;
  switch (impl_->dtype) {
    case DType::f32:
      matches = std::is_same_v<T, float>;
      break;
    case DType::f64:
      matches = std::is_same_v<T, double>;
      break;
    case DType::f16:
    case DType::bf16:
      matches = std::is_same_v<T, uint16_t>;
      break;
    case DType::i64:
      matches = std::is_same_v<T, int64_t>;
      break;
    case DType::i32:
      matches = std::is_same_v<T, int32_t>;
      break;
    case DType::i16:
      matches = std::is_same_v<T, int16_t>;
      break;
    case DType::i8:
      matches = std::is_same_v<T, int8_t>;
      break;
    case DType::u8:
    case DType::boolean:
      matches = std::is_same_v<T, uint8_t>;
      break;
    default:
      break;
  }
  if (!matches)
    fail("tensor of {} {} read as another element type", dtype_name(impl_->dtype),
         shape_string(impl_->shape));
}

}  // namespace sumi::tensor

namespace sumi {
using tensor::DType;
using tensor::Shape;
using tensor::Tensor;
}  // namespace sumi
