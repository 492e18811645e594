#include "ops/conv.h"

#include <cstring>

#include "kernels/conv_weight_gradient.h"
#include "ops/activation.h"
#include "ops/bf16.h"
#include "ops/common.h"
#include "ops/picture.h"
#include "ops/products.h"
#include "ops/work.h"

namespace sumi::ops {
namespace {

namespace onednn = kernels::onednn;
using Problem = onednn::Conv2d;

Problem problem_of(const Shape& x, const Shape& weight, const Conv2dOptions& o) {
  Problem p{.batch = x[0],
            .height = o.doubled ? 2 * x[1] : x[1],
            .width = o.doubled ? 2 * x[2] : x[2],
            .in_channels = weight[1],
            .out_channels = weight[0],
            .kernel_height = weight[2],
            .kernel_width = weight[3],
            .stride = o.stride,
            .pad_top = o.pad_top,
            .pad_bottom = o.pad_bottom,
            .pad_left = o.pad_left,
            .pad_right = o.pad_right};
  return p;
}

Problem check(const Tensor& x, const Shape& weight, const Tensor& bias, const Conv2dOptions& o) {
  if (!is_bf16(x)) check_f32("conv2d", "x", x);
  if (x.dim() != 4 || weight.size() != 4 || x.size(3) != weight[1])
    fail("conv2d: x {} and weight {}, expected [B, H, W, I] and [O, I, kh, kw]",
         shape_string(x.shape()), shape_string(weight));
  if (bias.defined()) check_shape("conv2d", "bias", bias, {weight[0]});
  if (o.stride < 1) fail("conv2d: stride is {}, expected 1 or more", o.stride);
  if (o.pad_top < 0 || o.pad_bottom < 0 || o.pad_left < 0 || o.pad_right < 0)
    fail("conv2d: padding of {}, {}, {} and {}, expected 0 or more", o.pad_top, o.pad_bottom,
         o.pad_left, o.pad_right);
  const Problem p = problem_of(x.shape(), weight, o);
  if (p.height + p.pad_top + p.pad_bottom < p.kernel_height ||
      p.width + p.pad_left + p.pad_right < p.kernel_width)
    fail("conv2d: a picture of {} with its padding is smaller than the kernel of {}",
         shape_string(x.shape()), shape_string(weight));
  count_products(p.batch * p.out_height() * p.out_width() * p.weight_count());
  return p;
}

Shape result_shape(const Problem& p) {
  return {p.batch, p.out_height(), p.out_width(), p.out_channels};
}

const Tensor& check_weight(const Tensor& weight) {
  if (!weight.defined() || !tensor::is_float(weight.dtype()) || weight.dim() != 4)
    fail("conv2d: weight {}, expected f32, f16 or bf16 [O, I, kh, kw]",
         weight.defined() ? std::string(tensor::dtype_name(weight.dtype())) + " " +
                                shape_string(weight.shape())
                          : "is undefined");
  return weight;
}

onednn::ConvWeights pack(const Tensor& weight, onednn::ConvType type, const Conv2dOptions& options,
                         int64_t height) {
  const Problem typical = problem_of({1, height, height, weight.size(1)}, weight.shape(), options);
  const Tensor wide = weight.dtype() == DType::f32 ? weight : weight.to(DType::f32);
  return onednn::ConvWeights(wide.f32(), typical, type);
}

// Whether the kernel is 1x1, or 3x3 with a border of one, and moves by single pixels. `o`: Conv2dOptions or Problem.
template <class Options>
bool keeps_size(int64_t kernel_height, int64_t kernel_width, const Options& o) {
  const int64_t pad = kernel_height / 2;
  return (kernel_height == 1 || kernel_height == 3) && kernel_width == kernel_height && o.stride == 1 && o.pad_top == pad &&
         o.pad_bottom == pad && o.pad_left == pad && o.pad_right == pad;
}

// Whether the convolution goes through kernels/lane_product.h: oneDNN is as fast with 1x1 convolutions
// of f32.
bool in_lanes(const Shape& weight, ConvStorage storage, const Conv2dOptions& o) {
  return keeps_size(weight[2], weight[3], o) && (weight[2] == 3 || storage != ConvStorage::f32) &&
         weight[0] % kernels::kLanes == 0 && weight[1] % kernels::kLanes == 0;
}

bool two_bytes(ConvStorage storage) {
  return storage == ConvStorage::bf16 || storage == ConvStorage::f16;
}

// Whether the convolution goes through kernels/picture_tiles.h.
bool in_tiles(const Shape& weight, ConvStorage storage, const Conv2dOptions& o) {
  return storage != ConvStorage::f32 && kernels::has_picture_tiles() && keeps_size(weight[2], weight[3], o) &&
         weight[0] % kernels::kTileOuts == 0 && weight[1] % kernels::TileWeights::depth(false) == 0 && weight[0] > 0 &&
         weight[1] > 0;
}

kernels::TileSource tile_source(DType dtype) {
  return dtype == DType::f32   ? kernels::TileSource::f32
         : dtype == DType::f16 ? kernels::TileSource::f16
                               : kernels::TileSource::bf16;
}

kernels::TileNumbers tile_numbers(const Shape& weight, ConvStorage storage) {
  if (storage == ConvStorage::int8_weights) return kernels::TileNumbers::int8_weights;
  const bool fits = weight[1] % kernels::TileWeights::depth(true) == 0;
  return storage == ConvStorage::int8 && fits ? kernels::TileNumbers::int8 : kernels::TileNumbers::bf16;
}

Tensor conv2d_in_tiles(const Problem& p, const Tensor& x, const PackedConv& weight, const Tensor& bias,
                       const Conv2dOptions& options, Tensor residual, const GroupAffine* before) {
  const kernels::TileWeights& tiles = *weight.tiles();
  if (options.stride != 1 || options.pad_top != p.kernel_height / 2 || options.pad_left != p.kernel_width / 2 ||
      p.out_height() != p.height || p.out_width() != p.width)
    fail("conv2d: weight {} was packed for another stride or padding", shape_string(weight.shape()));
  if (tiles.gated && (residual.defined() || options.silu))
    fail("conv2d: weight {} has gates: no residual and no activation", shape_string(weight.shape()));
  const Shape shape = {p.batch, p.height, p.width, tiles.results()};
  kernels::TileEpilogue epilogue{.bias = bias.defined() ? bias.f32() : nullptr, .silu = options.silu};
  Tensor out;
  if (residual.defined()) {
    if (residual.dtype() != x.dtype() || residual.shape() != shape)
      fail("conv2d: residual {} {} for a result {} {}", tensor::dtype_name(residual.dtype()),
           shape_string(residual.shape()), tensor::dtype_name(x.dtype()), shape_string(shape));
    if (options.silu) fail("conv2d: silu after a residual has no use");
    out = residual.sole_owner() ? residual : Tensor::empty(shape, x.dtype());
    epilogue.residual = residual.bytes();
  } else {
    out = Tensor::empty(shape, x.dtype());
  }
  if (out.numel() == 0) return out;
  kernels::TileAffine affine;
  if (before) {
    check_shape("conv2d", "the input's scale", before->scale, {p.batch, p.in_channels});
    check_shape("conv2d", "the input's shift", before->shift, {p.batch, p.in_channels});
    affine = {before->scale.f32(), before->shift.f32(), before->silu};
  }
  const bool doubled = options.doubled && p.kernel_height == 3;  // which reads doubled pictures itself
  const Tensor picture = options.doubled && !doubled ? upsample_nearest_2x(x) : x;
  const kernels::TileInput from{picture.bytes(), is_bf16(picture)};
  const kernels::TileOutput to{out.bytes(), is_bf16(out)};
  if (p.kernel_height == 3)
    kernels::tile_convolution(from, affine, p.batch, p.height, p.width, doubled, tiles, epilogue, to);
  else
    kernels::tile_product(from, affine, p.batch, p.height * p.width, tiles, epilogue, to);
  return out;
}

// Whether kernels/picture_tiles.h convolves plain weights in bf16: its vectors read them as they are, where oneDNN first lays
// them out anew for each call, which often takes longer than the convolution.
bool by_plain_tiles(const Problem& p, Products products) {
  constexpr int64_t kDepth = kernels::TileWeights::depth(false);
  return products == Products::bf16 && kernels::picture_tile_kernels().winograd &&
         keeps_size(p.kernel_height, p.kernel_width, p) && p.in_channels % kDepth == 0 && p.out_channels % kDepth == 0;
}

// The convolution of x, or with `turned` its gradient by the picture, of which x is the result's gradient.
void convolve_plain(const Problem& p, const Tensor& x, const Tensor& given, bool turned, const float* bias, float* y) {
  const Tensor weight = given.dtype() == DType::f16 ? narrow(given) : given;
  const kernels::TileWeights tiles = kernels::plain_tiles(weight.bytes(), is_bf16(weight), p.out_channels, p.in_channels,
                                                          p.kernel_height * p.kernel_width, turned);
  const kernels::TileInput from{x.bytes(), is_bf16(x)};
  if (tiles.taps == 1)
    kernels::tile_product(from, {}, 1, p.batch * p.height * p.width, tiles, {.bias = bias}, {y});
  else
    kernels::tile_convolution(from, {}, p.batch, p.height, p.width, false, tiles, {.bias = bias}, {y});
}

// The gradient by the weight of by_plain_tiles(), x and dy in bf16; undefined where oneDNN is to compute it.
Tensor weight_gradient(const Problem& p, const Tensor& x, const Tensor& dy, const Tensor& weight) {
  const DType dtype = tensor::kept_gradient_type(weight);
  if (p.kernel_height == 1) {
    Tensor dw = Tensor::empty(weight.shape(), dtype);
    multiply({.transpose_a = true, .m = p.out_channels, .n = p.in_channels, .k = p.batch * p.height * p.width},
             Products::bf16, dy, x, dw);
    return dw;
  }
  const kernels::ConvWeightGradient problem{x.data<uint16_t>(), dy.data<uint16_t>(), p.batch, p.height, p.width,
                                            p.in_channels, p.out_channels};
  if (!kernels::has_conv_weight_gradient(problem)) return {};
  Tensor dw = Tensor::empty(weight.shape(), dtype);
  const bool bf16 = dtype == DType::bf16;
  kernels::conv_weight_gradient(problem, bf16 ? nullptr : dw.f32(), bf16 ? dw.data<uint16_t>() : nullptr);
  return dw;
}

kernels::LaneType lane_type(ConvStorage storage) {
  switch (storage) {
    case ConvStorage::f32: return kernels::LaneType::f32;
    case ConvStorage::bf16: return kernels::LaneType::bf16;
    case ConvStorage::f16: return kernels::LaneType::f16;
    case ConvStorage::int8: return kernels::LaneType::s8;
    case ConvStorage::int8_weights: return kernels::LaneType::s8;
  }
  return kernels::LaneType::f32;
}

}  // namespace

bool PackedConv::can_gate(const Shape& weight, ConvStorage storage) {
  return weight.size() == 4 && weight[2] == 1 && in_tiles(weight, storage, {});
}

PackedConv::PackedConv(const Tensor& weight, ConvStorage storage, const Conv2dOptions& options,
                       int64_t height, bool gated)
    : shape_(check_weight(weight).shape()) {
  const bool bf16 = two_bytes(storage) && onednn::convolves_bf16();
  if (gated && !can_gate(shape_, storage))
    fail("conv2d: weight {} cannot be packed with gates", shape_string(shape_));
  if (in_tiles(shape_, storage, options)) {
    tiles_ = kernels::pack_tiles(weight.bytes(), tile_source(weight.dtype()), shape_[0], shape_[1],
                                 shape_[2] * shape_[3], gated, tile_numbers(shape_, storage));
  } else if (!bf16 && in_lanes(shape_, storage, options)) {
    const Tensor wide = weight.dtype() == DType::f32 ? weight : weight.to(DType::f32);
    lanes_ = kernels::pack_lanes(wide.f32(), shape_[0], shape_[1], shape_[2] * shape_[3],
                                 lane_type(storage));
  } else {
    const bool round = storage == ConvStorage::bf16 && weight.dtype() != DType::bf16;
    onednn_ = pack(round ? weight.to(DType::bf16) : weight, bf16 ? onednn::ConvType::bf16 : onednn::ConvType::f32, options, height);
  }
}

size_t PackedConv::bytes() const {
  if (tiles_) return tiles_->bytes() + tiles_->scales.size() * sizeof(float);
  return lanes_ ? lanes_->bytes() : onednn_->bytes();
}

Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
              const Conv2dOptions& options, Products products) {
  check_f32("conv2d", "x", x);
  check_weight(weight);
  if (options.doubled) fail("conv2d: only packed weights take a doubled picture");
  const Problem p = check(x, weight.shape(), bias, options);
  const bool multiplies_narrow = products == Products::bf16 && onednn::convolves_bf16();
  const onednn::ConvType type = multiplies_narrow ? onednn::ConvType::bf16 : onednn::ConvType::f32;
  // What oneDNN gets: with Products::bf16 rounded, wherever it multiplies.
  const auto as = [](const Tensor& t, DType dtype) { return dtype == DType::bf16 ? narrow(t) : widen(t); };
  const auto operand = [=](const Tensor& t) {
    return as(products == Products::f32 ? t : as(t, DType::bf16), multiplies_narrow ? DType::bf16 : DType::f32);
  };
  Tensor out = Tensor::empty(result_shape(p));
  const bool recording = needs_record({&x, &weight, &bias});
  const bool plain_tiles = out.numel() > 0 && by_plain_tiles(p, products);
  // What the weight's gradient needs of x.
  const Tensor kept = !recording || !weight.requires_grad() ? Tensor()
                      : multiplies_narrow || plain_tiles    ? narrow(x)
                                                            : x;
  if (plain_tiles)
    convolve_plain(p, kept.defined() ? kept : x, weight, false, bias.defined() ? bias.f32() : nullptr, out.f32());
  else if (out.numel() > 0)
    onednn::convolve(p, type, operand(kept.defined() ? kept : x).bytes(), operand(weight).bytes(),
                     bias.defined() ? bias.f32() : nullptr, out.f32());
  if (recording)
    record(out, "conv2d", {x, weight, bias},
           [kept, weight, as, operand, type, shape = x.shape(), needs_x = x.requires_grad(),
            needs_bias = bias.defined() && bias.requires_grad(), plain_tiles, p](const Tensor& g) -> std::vector<Tensor> {
             Tensor dx, dw, db;
             const Tensor dy = !plain_tiles ? operand(g) : needs_x && !kept.defined() ? g : narrow(g);
             if (needs_x) dx = Tensor::empty(shape);
             if (needs_x && plain_tiles) {
               convolve_plain(p, dy, weight, true, nullptr, dx.f32());
             } else if (needs_x) {
               onednn::convolve_backward_data(p, type, dy.bytes(), operand(weight).bytes(), dx.f32());
             }
             if (kept.defined() && plain_tiles) dw = weight_gradient(p, kept, dy, weight);
             if (kept.defined() && !dw.defined()) {
               dw = Tensor::empty(weight.shape());
               const onednn::ConvType safe = onednn::weights_gradient_type(p, type);
               const DType dtype = safe == onednn::ConvType::bf16 ? DType::bf16 : DType::f32;
               onednn::convolve_backward_weights(p, safe, as(operand(kept), dtype).bytes(), as(dy, dtype).bytes(),
                                                 dw.f32());
             }
             if (needs_bias) {
               db = Tensor::zeros({p.out_channels});
               const int64_t n = p.out_channels, rows = row_count(g, n);
               for_columns(n, rows, [&](int64_t begin, int64_t end) {
                 for (int64_t r = 0; r < rows; ++r)
                   elementwise().accumulate(g.f32() + r * n + begin, db.f32() + begin, end - begin);
               });
             }
             return {dx, dw, db};
           });
  return options.silu ? activation(out, Activation::silu) : out;
}

Tensor conv2d(const Tensor& x, const PackedConv& weight, const Tensor& bias,
              const Conv2dOptions& options, Tensor residual, const GroupAffine* before) {
  const Problem p = check(x, weight.shape(), bias, options);
  if (needs_record({&x, &bias, &residual}))
    fail("conv2d: a packed weight {} has no gradient; load the model as trainable",
         shape_string(weight.shape()));
  if (weight.tiles()) return conv2d_in_tiles(p, x, weight, bias, options, std::move(residual), before);
  if (before) fail("conv2d: weight {} does not change its input", shape_string(weight.shape()));
  if (is_bf16(x))
    return narrow(conv2d(widen(x), weight, bias, options, residual.defined() ? widen(residual) : residual));
  const Shape shape = result_shape(p);
  const bool accumulate = residual.defined();
  Tensor out;
  if (accumulate) {
    check_shape("conv2d", "residual", residual, shape);
    if (options.silu) fail("conv2d: silu after a residual has no use");
    if (residual.sole_owner()) {
      out = std::move(residual);
    } else {
      out = Tensor::empty(shape);
      float* to = out.f32();
      const float* from = residual.f32();
      for_elements(out.numel(), [&](int64_t begin, int64_t end) {
        std::memcpy(to + begin, from + begin, static_cast<size_t>(end - begin) * sizeof(float));
      });
    }
  } else {
    out = Tensor::empty(shape);
  }
  if (out.numel() == 0) return out;
  const float* b = bias.defined() ? bias.f32() : nullptr;
  const bool winograd = weight.lanes() && p.kernel_height == 3;  // which reads doubled pictures itself
  const Tensor picture = options.doubled && !winograd ? upsample_nearest_2x(x) : x;
  if (weight.lanes()) {
    if (options.stride != 1 || options.pad_top != p.kernel_height / 2 ||
        options.pad_left != p.kernel_width / 2 || shape[1] != p.height || shape[2] != p.width)
      fail("conv2d: weight {} was packed for another stride or padding",
           shape_string(weight.shape()));
    const kernels::LaneEpilogue epilogue{b, options.silu, accumulate};
    if (winograd)
      kernels::lane_convolution(picture.f32(), p.batch, p.height, p.width, options.doubled,
                                *weight.lanes(), epilogue, out.f32());
    else
      kernels::lane_product(picture.f32(), p.batch * p.height * p.width, *weight.lanes(), epilogue,
                            out.f32());
    return out;
  }
  const onednn::ConvEpilogue epilogue{.silu = options.silu, .accumulate = accumulate};
  if (weight.onednn()->type() == onednn::ConvType::bf16) {
    const Tensor rounded = narrow(picture);
    onednn::convolve(p, rounded.bytes(), *weight.onednn(), b, epilogue, out.f32());
  } else {
    onednn::convolve(p, picture.bytes(), *weight.onednn(), b, epilogue, out.f32());
  }
  return out;
}

Tensor linear(const Tensor& x, const PackedConv& weight, const Tensor& bias, Tensor residual) {
  if (!is_bf16(x)) check_rows("linear", "x", x);
  const int64_t k = x.dim() > 0 ? x.shape().back() : 0, rows = row_count(x, k);
  const Shape& w = weight.shape();
  if (w[1] != k || w[2] != 1 || w[3] != 1)
    fail("linear: packed weight {}, expected [N, {}, 1, 1] for x {}", shape_string(w), k,
         shape_string(x.shape()));
  Shape shape = x.shape();
  shape.back() = weight.gated() ? w[0] / 2 : w[0];
  if (needs_record({&x, &bias, &residual}))
    fail("linear: a packed weight {} has no gradient; load the model as trainable", shape_string(w));
  if (residual.defined()) {
    if (residual.shape() != shape)
      fail("linear: residual {}, expected {}", shape_string(residual.shape()), shape_string(shape));
    residual = residual.view({1, rows, 1, shape.back()});  // the only handle, if the caller gave up theirs
  }
  return conv2d(x.view({1, rows, 1, k}), weight, bias, {}, std::move(residual))
      .view(std::move(shape));
}

}  // namespace sumi::ops
