#include "kernels/onednn_conv.h"

#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "kernels/onednn_engine.h"
#include "tensor/block_cache.h"

namespace sumi::kernels::onednn {
namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using Tag = memory::format_tag;
using Type = memory::data_type;

Type onednn_type(ConvType type) { return type == ConvType::bf16 ? Type::bf16 : Type::f32; }

// Descriptions of a convolution's tensors; weights in any order unless one is given.
struct Layouts {
  Layouts(const Conv2d& s, Type type)
      : x({s.batch, s.in_channels, s.height, s.width}, type, Tag::nhwc),
        weights({s.out_channels, s.in_channels, s.kernel_height, s.kernel_width}, type, Tag::any),
        plain_weights(weights.dims(), Type::f32, Tag::oihw),
        given_weights(weights.dims(), type, Tag::oihw),
        bias({s.out_channels}, Type::f32, Tag::a),
        y({s.batch, s.out_channels, s.out_height(), s.out_width()}, Type::f32, Tag::nhwc),
        f32_x(x.dims(), Type::f32, Tag::nhwc),
        f32_weights(weights.dims(), Type::f32, Tag::any),
        narrow_y(y.dims(), type, Tag::nhwc),
        strides{s.stride, s.stride},
        before{s.pad_top, s.pad_left},
        after{s.pad_bottom, s.pad_right} {}

  memory::desc x, weights, plain_weights, given_weights, bias, y;
  memory::desc f32_x, f32_weights, narrow_y;  // of gradients: results are f32, operands of the given type
  memory::dims strides, before, after;
};

using ForwardDesc = dnnl::convolution_forward::primitive_desc;
using BackwardDataDesc = dnnl::convolution_backward_data::primitive_desc;
using BackwardWeightsDesc = dnnl::convolution_backward_weights::primitive_desc;

dnnl::primitive_attr attributes_of(ConvEpilogue epilogue) {
  dnnl::primitive_attr attributes;
  dnnl::post_ops post;
  if (epilogue.accumulate) post.append_sum(1.0f);
#if DNNL_VERSION_MAJOR >= 3
  if (epilogue.silu) post.append_eltwise(algorithm::eltwise_swish, 1.0f, 0.0f);
#else
  if (epilogue.silu) post.append_eltwise(1.0f, algorithm::eltwise_swish, 1.0f, 0.0f);
#endif
  attributes.set_post_ops(post);
  return attributes;
}

ForwardDesc forward_desc(const Layouts& l, bool bias, ConvEpilogue epilogue, prop_kind kind) {
  const dnnl::primitive_attr attributes = attributes_of(epilogue);
  const memory::desc b = bias ? l.bias : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
  return ForwardDesc(engine(), kind, algorithm::convolution_direct, l.x, l.weights, b, l.y,
                     l.strides, l.before, l.after, attributes);
#else
  return ForwardDesc(
      dnnl::convolution_forward::desc(kind, algorithm::convolution_direct, l.x, l.weights, b, l.y,
                                      l.strides, l.before, l.after),
      attributes, engine());
#endif
}

BackwardDataDesc backward_data_desc(const Layouts& l) {
  const ForwardDesc hint = forward_desc(l, false, {}, prop_kind::forward_training);
#if DNNL_VERSION_MAJOR >= 3
  return BackwardDataDesc(engine(), algorithm::convolution_direct, l.f32_x, l.weights, l.narrow_y, l.strides,
                          l.before, l.after, hint);
#else
  return BackwardDataDesc(
      dnnl::convolution_backward_data::desc(algorithm::convolution_direct, l.f32_x, l.weights, l.narrow_y,
                                            l.strides, l.before, l.after),
      engine(), hint);
#endif
}

BackwardWeightsDesc backward_weights_desc(const Layouts& l) {
  const ForwardDesc hint = forward_desc(l, false, {}, prop_kind::forward_training);
#if DNNL_VERSION_MAJOR >= 3
  return BackwardWeightsDesc(engine(), algorithm::convolution_direct, l.x, l.f32_weights, l.narrow_y,
                             l.strides, l.before, l.after, hint);
#else
  return BackwardWeightsDesc(
      dnnl::convolution_backward_weights::desc(algorithm::convolution_direct, l.x, l.f32_weights,
                                               l.narrow_y, l.strides, l.before, l.after),
      engine(), hint);
#endif
}

// Generated code by shape. A model has some dozens of shapes; training on pictures of many sizes has
// more, so a full cache starts anew.
template <class Primitive>
class Cache {
 public:
  using Key = std::array<int64_t, 16>;
  template <class Make>
  Primitive get(const Key& key, const Make& make) {
    const std::lock_guard lock(mutex_);
    if (const auto found = primitives_.find(key); found != primitives_.end()) return found->second;
    if (primitives_.size() >= kMost) primitives_.clear();
    return primitives_.emplace(key, make()).first->second;
  }

 private:
  static constexpr size_t kMost = 1024;
  std::mutex mutex_;
  std::map<Key, Primitive> primitives_;
};

template <class Desc, class Code>
struct Made {
  Desc desc;
  Code code;
};
using Forward = Made<ForwardDesc, dnnl::convolution_forward>;
using BackwardData = Made<BackwardDataDesc, dnnl::convolution_backward_data>;
using BackwardWeights = Made<BackwardWeightsDesc, dnnl::convolution_backward_weights>;

std::array<int64_t, 16> key_of(const Conv2d& s, int64_t flags) {
  return {s.batch,         s.height,       s.width,  s.in_channels, s.out_channels,
          s.kernel_height, s.kernel_width, s.stride, s.pad_top,     s.pad_bottom,
          s.pad_left,      s.pad_right,    flags};
}

// Runs body and turns oneDNN's exceptions into an Error that names the shape.
template <class Body>
auto guarded(const char* what, const Conv2d& s, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    fail("oneDNN {} of [{}, {}, {}, {}] with [{}, {}, {}, {}], stride {}: {}", what, s.batch,
         s.height, s.width, s.in_channels, s.out_channels, s.in_channels, s.kernel_height,
         s.kernel_width, s.stride, error.what());
  }
}

memory wrap(const memory::desc& desc, const void* data) {
  return memory(desc, engine(), const_cast<void*>(data));
}

void reorder(memory& from, memory& to) {
  dnnl::stream stream(engine());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
}

// Weights in another order, in memory that the next call finds again: the system would clear it for each.
class Rearranged {
 public:
  explicit Rearranged(const memory::desc& desc)
      : block_(tensor::allocate_block(desc.get_size())), memory_(desc, engine(), block_.get()) {}
  memory& get() { return memory_; }

 private:
  std::shared_ptr<std::byte> block_;
  memory memory_;
};

// Plain weights as `desc` wants them: themselves, or a copy.
class Arranged {
 public:
  Arranged(const Layouts& l, const void* weights, const memory::desc& desc) : memory_(wrap(l.given_weights, weights)) {
    if (desc == l.given_weights) return;
    copy_.emplace(desc);
    reorder(memory_, copy_->get());
    memory_ = copy_->get();
  }
  const memory& get() const { return memory_; }

 private:
  memory memory_;
  std::optional<Rearranged> copy_;
};

constexpr int64_t kBias = 1, kSilu = 2, kAccumulate = 4, kBf16 = 8;  // flags in a key

int64_t flags_of(bool bias, ConvEpilogue epilogue, ConvType type) {
  return (bias ? kBias : 0) | (epilogue.silu ? kSilu : 0) |
         (epilogue.accumulate ? kAccumulate : 0) | (type == ConvType::bf16 ? kBf16 : 0);
}

Forward cached_forward(const Conv2d& s, bool bias, ConvEpilogue epilogue, ConvType type) {
  static Cache<Forward> cache;
  return cache.get(key_of(s, flags_of(bias, epilogue, type)), [&] {
    const ForwardDesc desc = forward_desc(Layouts(s, onednn_type(type)), bias, epilogue,
                                          prop_kind::forward_inference);
    return Forward{desc, dnnl::convolution_forward(desc)};
  });
}

void run_forward(const Forward& forward, const Layouts& l, const void* x, const memory& weights,
                 const float* bias, float* y) {
  std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, wrap(l.x, x)},
                                               {DNNL_ARG_WEIGHTS, weights},
                                               {DNNL_ARG_DST, wrap(l.y, y)}};
  if (bias) arguments.emplace(DNNL_ARG_BIAS, wrap(l.bias, bias));
  dnnl::stream stream(engine());
  forward.code.execute(stream, arguments);
  stream.wait();
}

}  // namespace

struct ConvWeights::Data {
  ConvType type;
  memory weights;
};

ConvWeights::ConvWeights(const float* weights, const Conv2d& typical, ConvType type) {
  guarded("convolution", typical, [&] {
    const Layouts l(typical, onednn_type(type));
    const ForwardDesc desc = forward_desc(l, true, {}, prop_kind::forward_inference);
    memory packed(desc.weights_desc(), engine());
    memory plain = wrap(l.plain_weights, weights);
    reorder(plain, packed);
    data_ = std::make_unique<Data>(Data{type, packed});
  });
}
ConvWeights::~ConvWeights() = default;
ConvWeights::ConvWeights(ConvWeights&&) noexcept = default;
ConvWeights& ConvWeights::operator=(ConvWeights&&) noexcept = default;

ConvType ConvWeights::type() const { return data_->type; }
size_t ConvWeights::bytes() const { return data_->weights.get_desc().get_size(); }

void convolve(const Conv2d& s, const void* x, const ConvWeights& weights, const float* bias,
              ConvEpilogue epilogue, float* y) {
  guarded("convolution", s, [&] {
    ConvWeights::Data& data = weights.data();
    const Forward forward = cached_forward(s, bias != nullptr, epilogue, data.type);
    const memory::desc wanted = forward.desc.weights_desc();
    if (data.weights.get_desc() != wanted) {
      memory again(wanted, engine());
      reorder(data.weights, again);
      data.weights = again;
    }
    run_forward(forward, Layouts(s, onednn_type(data.type)), x, data.weights, bias, y);
  });
}

void convolve(const Conv2d& s, ConvType type, const void* x, const void* weights, const float* bias, float* y) {
  guarded("convolution", s, [&] {
    const Forward forward = cached_forward(s, bias != nullptr, {}, type);
    const Layouts l(s, onednn_type(type));
    const Arranged arranged(l, weights, forward.desc.weights_desc());
    run_forward(forward, l, x, arranged.get(), bias, y);
  });
}

void convolve_backward_data(const Conv2d& s, ConvType type, const void* dy, const void* weights, float* dx) {
  static Cache<BackwardData> cache;
  guarded("convolution's gradient by the picture", s, [&] {
    const Layouts l(s, onednn_type(type));
    const BackwardData backward = cache.get(key_of(s, flags_of(false, {}, type)), [&] {
      const BackwardDataDesc desc = backward_data_desc(l);
      return BackwardData{desc, dnnl::convolution_backward_data(desc)};
    });
    const Arranged arranged(l, weights, backward.desc.weights_desc());
    dnnl::stream stream(engine());
    backward.code.execute(
        stream, {{DNNL_ARG_DIFF_DST, wrap(l.narrow_y, dy)},
                 {DNNL_ARG_WEIGHTS, arranged.get()},
                 {DNNL_ARG_DIFF_SRC, wrap(l.f32_x, dx)}});
    stream.wait();
  });
}

ConvType weights_gradient_type(const Conv2d& s, ConvType type) {
  constexpr int64_t kSafeWidth = 256;
  return s.width <= kSafeWidth ? type : ConvType::f32;
}

void convolve_backward_weights(const Conv2d& s, ConvType type, const void* x, const void* dy, float* dweights) {
  if (weights_gradient_type(s, type) != type)
    fail("oneDNN: the bf16 gradient by the weights of rows of {} pixels is not safe", s.width);
  static Cache<BackwardWeights> cache;
  guarded("convolution's gradient by the weights", s, [&] {
    const Layouts l(s, onednn_type(type));
    const BackwardWeights backward = cache.get(key_of(s, flags_of(false, {}, type)), [&] {
      const BackwardWeightsDesc desc = backward_weights_desc(l);
      return BackwardWeights{desc, dnnl::convolution_backward_weights(desc)};
    });
    memory plain = wrap(l.plain_weights, dweights);
    const memory::desc wanted = backward.desc.diff_weights_desc();
    std::optional<Rearranged> other;
    if (wanted != l.plain_weights) other.emplace(wanted);
    memory result = other ? other->get() : plain;
    dnnl::stream stream(engine());
    backward.code.execute(stream, {{DNNL_ARG_SRC, wrap(l.x, x)},
                                   {DNNL_ARG_DIFF_DST, wrap(l.narrow_y, dy)},
                                   {DNNL_ARG_DIFF_WEIGHTS, result}});
    stream.wait();
    if (other) reorder(result, plain);
  });
}

bool convolves_bf16() {
  static const bool answer = [] {
    if (base::active_isa() < base::Isa::avx512_bf16) return false;
    try {
      const Layouts l({.batch = 1, .height = 8, .width = 8, .in_channels = 16, .out_channels = 16}, Type::bf16);
      backward_data_desc(l);
      backward_weights_desc(l);
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  }();
  return answer;
}

const char* convolution_name(const Conv2d& s, ConvType type) {
  return guarded("convolution", s,
                 [&] { return cached_forward(s, true, {}, type).desc.impl_info_str(); });
}

}  // namespace sumi::kernels::onednn
