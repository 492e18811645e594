#include "tensor/tensor.h"

#include <bit>
#include <cstring>

#include "base/half.h"
#include "base/threads.h"
#include "tensor/autograd.h"
#include "tensor/block_cache.h"

namespace sumi::tensor {
namespace {

constexpr int64_t kParallelElements = 32768;  // less work than this stays on one thread

int64_t checked_product(int64_t a, int64_t b, const Shape& shape) {
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product))
    fail("shape {}: the size overflows 64 bits", shape_string(shape));
  return product;
}

float load_as_float(const std::byte* data, DType dtype, int64_t i) {
  if (dtype == DType::f32) return reinterpret_cast<const float*>(data)[i];
  const uint16_t bits = reinterpret_cast<const uint16_t*>(data)[i];
  return dtype == DType::f16 ? base::f16_to_float(bits) : base::bf16_to_float(bits);
}

// base::float_to_bf16 and back without branches, which compilers turn into vector code.
void narrow(const float* from, int64_t begin, int64_t end, uint16_t* to) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(from[i]);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, quiet = (bits >> 16) | 0x40;
    to[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
  }
}

void widen(const uint16_t* from, int64_t begin, int64_t end, float* to) {
#pragma omp simd
  for (int64_t i = begin; i < end; ++i) to[i] = std::bit_cast<float>(uint32_t{from[i]} << 16);
}

}  // namespace

std::string shape_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t size : shape) {
    if (size < 0) fail("shape {}: negative size", shape_string(shape));
    if (size != 0) count = checked_product(count, size, shape);
  }
  for (const int64_t size : shape)
    if (size == 0) return 0;
  return count;
}

int64_t byte_count(const Shape& shape, DType dtype) {
  const int64_t count = element_count(shape), block = dtype_block_size(dtype);
  if (block > 1 && (shape.empty() || shape.back() % block != 0))
    fail("shape {}: the last size of a {} tensor must be a multiple of {}", shape_string(shape),
         dtype_name(dtype), block);
  return checked_product(count / block, dtype_block_bytes(dtype), shape);
}

Tensor Tensor::make(Shape shape, DType dtype) {
  Tensor tensor;
  tensor.impl_ = std::make_shared<Impl>();
  tensor.impl_->numel = element_count(shape);
  tensor.impl_->dtype = dtype;
  tensor.impl_->shape = std::move(shape);
  return tensor;
}

Tensor Tensor::empty(Shape shape, DType dtype) {
  const int64_t bytes = byte_count(shape, dtype);
  Tensor tensor = make(std::move(shape), dtype);
  std::shared_ptr<std::byte> block = allocate_block(static_cast<size_t>(bytes));
  tensor.impl_->data = block.get();
  tensor.impl_->owner = std::move(block);
  return tensor;
}

Tensor Tensor::zeros(Shape shape, DType dtype) {
  Tensor tensor = empty(std::move(shape), dtype);
  std::memset(tensor.impl_->data, 0, static_cast<size_t>(tensor.nbytes()));
  return tensor;
}

Tensor Tensor::full(Shape shape, float value) {
  Tensor tensor = empty(std::move(shape));
  std::fill_n(tensor.f32(), tensor.numel(), value);
  return tensor;
}

Tensor Tensor::from(const std::vector<float>& values, Shape shape) {
  Tensor tensor = empty(std::move(shape));
  if (tensor.numel() != static_cast<int64_t>(values.size()))
    fail("tensor of shape {}: {} values given", shape_string(tensor.shape()), values.size());
  std::copy(values.begin(), values.end(), tensor.f32());
  return tensor;
}

Tensor Tensor::from_ids(const std::vector<int32_t>& values, Shape shape) {
  Tensor tensor = empty(std::move(shape), DType::i32);
  if (tensor.numel() != static_cast<int64_t>(values.size()))
    fail("tensor of shape {}: {} ids given", shape_string(tensor.shape()), values.size());
  std::copy(values.begin(), values.end(), tensor.data<int32_t>());
  return tensor;
}

Tensor Tensor::view_of(std::shared_ptr<const void> owner, const std::byte* data, Shape shape,
                       DType dtype) {
  byte_count(shape, dtype);  // checks
  Tensor tensor = make(std::move(shape), dtype);
  tensor.impl_->owner = std::move(owner);
  tensor.impl_->data = const_cast<std::byte*>(data);  // read-only by the contract in tensor.h
  return tensor;
}

int64_t Tensor::size(int64_t axis) const {
  const int64_t index = axis < 0 ? axis + dim() : axis;
  if (index < 0 || index >= dim())
    fail("tensor of shape {}: no axis {}", shape_string(impl_->shape), axis);
  return impl_->shape[static_cast<size_t>(index)];
}

Tensor Tensor::view(Shape shape) const {
  if (element_count(shape) != numel())
    fail("view: a tensor of shape {} has no view of shape {}", shape_string(impl_->shape),
         shape_string(shape));
  byte_count(shape, impl_->dtype);  // a block type must keep whole blocks in a row
  Tensor tensor = make(std::move(shape), impl_->dtype);
  tensor.impl_->owner = impl_->owner;
  tensor.impl_->data = impl_->data;
  return tensor;
}

Tensor Tensor::rows(int64_t begin, int64_t count) const {
  if (dim() == 0) fail("rows: the tensor has no axes");
  const int64_t all = impl_->shape[0];
  if (begin < 0 || count < 0 || begin > all || count > all - begin)
    fail("rows: [{}, {} + {}) of a tensor of shape {}", begin, begin, count,
         shape_string(impl_->shape));
  Shape shape = impl_->shape;
  shape[0] = count;
  if (dim() == 1 && begin % dtype_block_size(impl_->dtype) != 0)
    fail("rows: element {} is inside a block of {}", begin, dtype_name(impl_->dtype));
  byte_count(shape, impl_->dtype);
  const int64_t row_elements = all > 0 ? numel() / all : 0;
  Tensor tensor = make(std::move(shape), impl_->dtype);
  tensor.impl_->owner = impl_->owner;
  tensor.impl_->data = impl_->data + begin * row_elements / dtype_block_size(impl_->dtype) *
                                         dtype_block_bytes(impl_->dtype);
  return tensor;
}

Tensor Tensor::clone() const {
  Tensor copy = empty(impl_->shape, impl_->dtype);
  const int64_t bytes = nbytes();
  if (bytes > 0) std::memcpy(copy.impl_->data, impl_->data, static_cast<size_t>(bytes));
  return copy;
}

std::vector<float> Tensor::to_vector() const {
  if (!is_float(impl_->dtype))
    fail("to_vector: tensor of {}, expected f32, f16 or bf16", dtype_name(impl_->dtype));
  std::vector<float> values(static_cast<size_t>(numel()));
  for (int64_t i = 0; i < numel(); ++i)
    values[static_cast<size_t>(i)] = load_as_float(impl_->data, impl_->dtype, i);
  return values;
}

Tensor Tensor::to(DType dtype) const {
  if (!is_float(impl_->dtype) || !is_float(dtype))
    fail("conversion from {} to {}: only f32, f16 and bf16 convert", dtype_name(impl_->dtype),
         dtype_name(dtype));
  if (dtype == impl_->dtype) return clone();
  Tensor result = empty(impl_->shape, dtype);
  const std::byte* from = impl_->data;
  std::byte* to = result.impl_->data;
  const DType source = impl_->dtype;
  base::parallel_for(numel(), kParallelElements, [&](int64_t begin, int64_t end) {
    if (source == DType::f32 && dtype == DType::bf16)
      return narrow(reinterpret_cast<const float*>(from), begin, end, reinterpret_cast<uint16_t*>(to));
    if (source == DType::bf16 && dtype == DType::f32)
      return widen(reinterpret_cast<const uint16_t*>(from), begin, end, reinterpret_cast<float*>(to));
    for (int64_t i = begin; i < end; ++i) {
      const float value = load_as_float(from, source, i);
      if (dtype == DType::f32)
        reinterpret_cast<float*>(to)[i] = value;
      else
        reinterpret_cast<uint16_t*>(to)[i] =
            dtype == DType::f16 ? base::float_to_f16(value) : base::float_to_bf16(value);
    }
  });
  return result;
}

bool Tensor::requires_grad() const { return impl_->autograd && impl_->autograd->requires_grad; }

Tensor& Tensor::set_requires_grad(bool on) {
  if (on && impl_->dtype != DType::f32)
    fail("requires_grad: tensor of {}, only f32 has gradients", dtype_name(impl_->dtype));
  if (impl_->autograd && impl_->autograd->backward)
    fail("requires_grad: the tensor is the result of {}, not a leaf", impl_->autograd->op);
  if (!impl_->autograd && !on) return *this;
  if (!impl_->autograd) impl_->autograd = std::make_shared<AutogradMeta>();
  impl_->autograd->requires_grad = on;
  return *this;
}

Tensor Tensor::grad() const { return impl_->autograd ? impl_->autograd->grad : Tensor(); }

void Tensor::set_grad(Tensor grad) {
  if (grad.defined() && (grad.shape() != shape() || grad.dtype() != DType::f32))
    fail("set_grad: gradient {} {} for a tensor of shape {}", dtype_name(grad.dtype()),
         shape_string(grad.shape()), shape_string(shape()));
  if (!impl_->autograd) impl_->autograd = std::make_shared<AutogradMeta>();
  impl_->autograd->grad = std::move(grad);
}

}  // namespace sumi::tensor
