// Matrix products with a weight.
#pragma once

#include <memory>
#include <vector>

#include "base/memory.h"
#include "kernels/packed_matrix.h"
#include "tensor/tensor.h"

namespace sumi::ops {

// A weight repacked once for the processor, never changed. Reduces each output element over K
// in one fixed order, whatever the number of rows, threads or neighbours.
class PackedWeight {
 public:
  // How the packed weight computes.
  enum class Compute {
    stored,  // block-quantized: int8 activations; f16 and bf16: as bf16; f32: as f32
    f32,     // the stored numbers as f32, and activations as they are: the reference path
    bf16,    // everything rounded to bf16
  };

  // Packs the rows of `parts` [Ni, K] (f32, f16, bf16 or block-quantized) under one another, e.g.
  // query, key and value of an attention. The parts may be of different types. The memory comes from
  // the arena, if one is given.
  PackedWeight(const std::vector<Tensor>& parts, Compute compute, base::Arena* arena = nullptr);

  int64_t n() const { return n_; }  // output features
  int64_t k() const { return k_; }  // input features
  size_t bytes() const;             // packed size in memory
  const std::vector<kernels::PackedMatrix>& segments() const { return segments_; }

 private:
  int64_t n_ = 0, k_ = 0;
  std::vector<kernels::PackedMatrix> segments_;
  std::vector<std::shared_ptr<std::byte>> storage_;
};

// What products with plain weights are computed in, theirs for gradients too. bf16: operands are rounded
// to it and summed in f32; without such instructions the rounded operands are multiplied in f32.
enum class Products { f32, bf16 };

// x [..., K], weight [N, K] (f32, f16 or bf16), bias [N] or undefined -> [..., N] f32.
// Differentiable.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              Products products = Products::f32);

// The same with a packed weight. Its backward gives x's gradient alone, in f32: neither weight nor bias gets
// one. Where products are of floats, codes are unpacked a strip at a time, so that memory never holds them whole.
Tensor linear(const Tensor& x, const PackedWeight& weight, const Tensor& bias = {});

}  // namespace sumi::ops
