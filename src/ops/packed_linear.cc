// Products with packed weights: the frozen half of ops/linear.h.
#include <algorithm>
#include <cstring>

#include "base/cpu.h"
#include "base/round_up.h"
#include "base/threads.h"
#include "kernels/matmul.h"
#include "kernels/pack.h"
#include "kernels/unpacked_product.h"
#include "ops/common.h"
#include "ops/linear.h"
#include "ops/work.h"
#include "tensor/autograd.h"

namespace sumi::ops {

namespace {

using kernels::CodeKind;
using kernels::kBlock;
using kernels::kPanel;
using kernels::PackedMatrix;
using kernels::SourceKind;

SourceKind source_kind(DType dtype) {
  switch (dtype) {
    case DType::f32: return SourceKind::f32;
    case DType::f16: return SourceKind::f16;
    case DType::bf16: return SourceKind::bf16;
    case DType::q4_0: return SourceKind::q4_0;
    case DType::q4_1: return SourceKind::q4_1;
    case DType::q5_0: return SourceKind::q5_0;
    case DType::q5_1: return SourceKind::q5_1;
    case DType::q8_0: return SourceKind::q8_0;
    case DType::q2_k: return SourceKind::q2_k;
    case DType::q3_k: return SourceKind::q3_k;
    case DType::q4_k: return SourceKind::q4_k;
    case DType::q5_k: return SourceKind::q5_k;
    case DType::q6_k: return SourceKind::q6_k;
    default: fail("packing a weight: no kernel multiplies by {}", tensor::dtype_name(dtype));
  }
}

constexpr int64_t kPiecesPerThread = 8;
constexpr int64_t kPieceBytes = 1 << 20;  // some 30 microseconds of reading: with 64 KB a Zen 4 decoded 8 % slower

// Panels that a thread takes at a time: pieces, so that a thread whose processor is busy elsewhere does not hold up the
// others. Kernels take two or four panels together; two, where pieces of four would leave a thread waiting for the last.
int64_t panels_at_once(int64_t panels) {
  const int64_t threads = base::num_threads(), pieces = threads * kPiecesPerThread;
  const int64_t grain = std::max<int64_t>(4, (panels / pieces + 2) / 4 * 4);
  const int64_t turns = ((panels + grain - 1) / grain + threads - 1) / threads;  // of the thread that has most
  return turns * threads * grain * 20 > panels * 21 ? 2 : grain;
}

// Whether threads share the rows of an unpacked product and not the outputs. Each unpacks all of the weight then, but has the
// same rows in every operation of a layer: those that its processor's second cache holds.
bool shares_rows(int64_t rows) {
  constexpr int64_t kRowsOfThread = 128;  // which outweigh the unpacking
  return rows >= kRowsOfThread * base::num_threads();
}
constexpr int64_t kRowGrain = 4;

// Whether a product is of floats that the weight's numbers become a strip at a time. A few rows of floats read them in place.
bool is_unpacked(const PackedMatrix& matrix, int64_t rows) {
  if (matrix.quantized()) return matrix.exact;
  const kernels::MatmulKernels& kernels = kernels::matmul_kernels();
  const bool rounded = matrix.code == CodeKind::bf16 && !matrix.exact && (kernels.bf16_row || kernels.bf16_tile_row);
  return rows >= kernels::kFewestGrouped && !rounded;
}

// x [rows, k] as UnpackKernels::group_rows has it, in memory of this thread that the next call takes again.
const float* grouped_rows(const float* x, int64_t rows, int64_t k) {
  using kernels::kFloatGroup;
  thread_local base::Scratch memory;
  auto* groups = reinterpret_cast<float*>(memory.at_least(static_cast<size_t>(base::round_up(rows, kFloatGroup) * k) * sizeof(float)));
  base::parallel_for((rows + kFloatGroup - 1) / kFloatGroup, 1, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kFloatGroup, count = std::min(rows, end * kFloatGroup) - first;
    kernels::unpack_kernels().group_rows(x + first * k, count, k, groups + first * k);
  });
  return groups;
}

// Memory for the rounded activations of one call, kept by each thread between calls.
std::byte* scratch(size_t bytes) {
  thread_local base::Scratch memory;
  return memory.at_least(memory.size() < bytes ? bytes + bytes / 2 : bytes);
}

// The same for the offsets of zero points: one array per zero point that occurs.
int32_t* offset_scratch(int64_t count) {
  thread_local std::vector<int32_t> memory;
  if (static_cast<int64_t>(memory.size()) < count) memory.resize(static_cast<size_t>(count + count / 2));
  return memory.data();
}

size_t aligned(size_t bytes) { return (bytes + base::kAlignment - 1) / base::kAlignment * base::kAlignment; }

// What the segments of a weight take of the activations.
struct Needs {
  bool codes = false, bf16 = false;
  explicit Needs(const std::vector<PackedMatrix>& segments) {
    for (const PackedMatrix& matrix : segments) {
      codes |= matrix.quantized() && !matrix.exact;
      bf16 |= matrix.code == CodeKind::bf16 && !matrix.exact;
    }
  }
};

// Cuts arrays from a piece of memory; without memory it only adds up how much they take.
class Cutter {
 public:
  explicit Cutter(std::byte* memory) : memory_(memory) {}
  template <class T>
  T* array(size_t count) {
    T* at = memory_ ? reinterpret_cast<T*>(memory_ + used_) : nullptr;
    used_ += aligned(count * sizeof(T));
    return at;
  }
  size_t used() const { return used_; }

 private:
  std::byte* memory_;
  size_t used_ = 0;
};

// Rounds the rows to what the weights multiply: tiles, int8 blocks, bf16 pairs, or nothing.
void prepare_rows(const float* x, int64_t m, int64_t k, const Needs& needs, kernels::MatmulArgs& args) {
  using kernels::kTileColumns, kernels::kTileRows;
  const kernels::MatmulKernels& kernels = kernels::matmul_kernels();
  const bool bf16_tiles = needs.bf16 && kernels.bf16_tile_row, pairs = needs.bf16 && kernels.bf16_row;
  const bool code_tiles = needs.codes && kernels.code_tiles && m >= kTileRows;
  const bool code_groups = needs.codes && kernels.code_groups && !code_tiles && m >= kernels::kFewestGrouped;
  if (!needs.codes && !bf16_tiles && !pairs) return;
  const size_t rows = static_cast<size_t>(m), blocks = static_cast<size_t>(k / kBlock);
  const size_t even = static_cast<size_t>((k + 1) / 2 * 2);
  const size_t tiled = static_cast<size_t>((m + kTileRows - 1) / kTileRows * kTileRows);
  const size_t grouped = static_cast<size_t>(base::round_up(m, kernels::kGroupRows));
  uint16_t *to_tiles = nullptr, *to_pairs = nullptr;
  const auto cut = [&](std::byte* memory) {
    Cutter cutter(memory);
    if (bf16_tiles)
      to_tiles = cutter.array<uint16_t>(tiled * static_cast<size_t>((k + kTileColumns - 1) / kTileColumns * kTileColumns));
    if (code_groups) {
      args.q.codes = cutter.array<int8_t>(grouped * blocks * kBlock);
      args.q.sums = cutter.array<int32_t>(grouped * blocks * 3);
      args.q.group_factors = cutter.array<float>(grouped * blocks * kernels::kGroupFactors);
    } else if (needs.codes) {
      args.q.codes = cutter.array<int8_t>((code_tiles ? tiled : rows) * blocks * kBlock);
      args.q.scales = cutter.array<float>(rows * blocks);
      args.q.shifts = cutter.array<float>(rows * blocks);
      args.q.sums = cutter.array<int32_t>(rows * blocks * 3);
      args.q.scaled_sums = cutter.array<float>(rows * blocks * 3);
    }
    if (code_tiles) {
      args.q.tile_scales = cutter.array<float>(tiled * blocks);
      args.q.tile_scaled_sums = cutter.array<float>(tiled * blocks * 3);
    }
    if (pairs) to_pairs = cutter.array<uint16_t>(rows * even);
    return cutter.used();
  };
  cut(scratch(cut(nullptr)));
  const auto round_rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      if (bf16_tiles) kernels.bf16_tile_row(x + r * k, k, r, to_tiles);
      if (needs.codes) kernels.quantize_row(x + r * k, k, r, args.q);
      if (pairs) kernels.bf16_row(x + r * k, k, to_pairs + static_cast<size_t>(r) * even);
    }
  };
  if (m < 4) round_rows(0, m);
  else base::parallel_for(m, 1, round_rows);
  args.x_tiles = to_tiles;
  args.x_bf16 = to_pairs;
}

// For each segment what MatmulArgs::offsets must be; segments with the same zero point share it.
std::vector<const int32_t*> prepare_offsets(const std::vector<PackedMatrix>& segments,
                                            const kernels::MatmulArgs& args) {
  std::vector<const int32_t*> offsets(segments.size(), nullptr);
  int64_t distinct = 0;
  const auto first_alike = [&](size_t i) {
    size_t j = 0;
    while (segments[j].zero_point != segments[i].zero_point) ++j;
    return j;
  };
  for (size_t i = 0; i < segments.size(); ++i) distinct += segments[i].zero_point != 0 && first_alike(i) == i;
  if (distinct == 0 || !args.q.sums || args.q.tile_scales) return offsets;
  const int64_t rows = args.q.group_factors ? base::round_up(args.m, kernels::kGroupRows) : args.m;
  const int64_t count = rows * (segments[0].k / kBlock) * 3;
  int32_t* out = offset_scratch(distinct * count);
  for (size_t i = 0; i < segments.size(); ++i) {
    if (segments[i].zero_point == 0) continue;
    if (const size_t first = first_alike(i); first < i) {
      offsets[i] = offsets[first];
      continue;
    }
    kernels::zero_point_offsets(args.q.sums, count, segments[i].zero_point, kernels::matmul_kernels().first_sum, out);
    offsets[i] = out;
    out += count;
  }
  return offsets;
}

// dx = dy W, or dx += dy W.
void add_input_gradient(const Tensor& dy, const PackedWeight& weight, float* dx, bool accumulate) {
  using kernels::kGradientStrip;
  const int64_t n = weight.n(), k = weight.k(), rows = dy.numel() / n;
  const auto run = [&](int64_t row, int64_t count, int64_t begin, int64_t end) {
    const float* from = dy.f32() + row * n;
    bool more = accumulate;
    for (const PackedMatrix& matrix : weight.segments()) {
      kernels::unpacked_gradient(matrix, count, from, n, begin, end, dx + row * k, more);
      from += matrix.n;
      more = true;
    }
  };
  if (shares_rows(rows))
    return base::parallel_for(rows, kRowGrain, [&](int64_t first, int64_t last) { run(first, last - first, 0, k); });
  const int64_t strips = (k + kGradientStrip - 1) / kGradientStrip;
  const int64_t piece = std::max<int64_t>(1, strips / (4 * base::num_threads()));  // strips that see rows of dy together
  base::parallel_stream(strips, piece, 1, [&](int64_t first, int64_t last, int64_t) {
    run(0, rows, first * kGradientStrip, std::min(k, last * kGradientStrip));
  });
}

// f32 products are of the numbers as stored, which are less to keep and to read than floats. Many a checkpoint in f32 was
// made from one in 16 bits: then 16 bits hold the same numbers.
PackedMatrix layout(const Tensor& part, PackedWeight::Compute compute) {
  using Compute = PackedWeight::Compute;
  const int64_t n = part.size(0), k = part.size(1);
  if (compute == Compute::bf16) return kernels::packed_layout_as(CodeKind::bf16, n, k);
  const bool floats = part.dtype() == DType::f32;
  PackedMatrix matrix = floats ? kernels::packed_layout_as(kernels::narrowest_code(part.bytes(), part.numel()), n, k)
                               : kernels::packed_layout(source_kind(part.dtype()), n, k);
  matrix.exact = floats || compute == Compute::f32;
  return matrix;
}

Tensor recorded(const Tensor& x, const PackedWeight& weight, Tensor y) {
  if (tensor::needs_record({&x}))
    tensor::record(y, "linear", {x},
                   [weight, shape = x.shape(), record_of_x = record_of(x)](const Tensor& g) -> std::vector<Tensor> {
                     if (Tensor sum = tensor::waiting_gradient(record_of_x); sum.defined()) {
                       add_input_gradient(g, weight, sum.f32(), true);
                       return {Tensor()};
                     }
                     Tensor dx = Tensor::empty(shape);
                     add_input_gradient(g, weight, dx.f32(), false);
                     return {dx};
                   });
  return y;
}

}  // namespace

PackedWeight::PackedWeight(const std::vector<Tensor>& parts, Compute compute, base::Arena* arena) {
  for (const Tensor& part : parts) {
    if (part.dim() != 2)
      fail("packing a weight: expected [N, K], found {}", tensor::shape_string(part.shape()));
    if (k_ == 0) k_ = part.size(1);
    if (part.size(1) != k_ || k_ == 0)
      fail("packing weights together: {} columns beside {}", part.size(1), k_);
    const SourceKind kind = source_kind(part.dtype());
    PackedMatrix matrix = layout(part, compute);
    std::shared_ptr<std::byte> memory = arena ? arena->allocate(matrix.bytes()) : base::allocate(matrix.bytes());
    const size_t row_bytes = static_cast<size_t>(tensor::byte_count({k_}, part.dtype()));
    base::parallel_for(matrix.panels(), 1, [&](int64_t begin, int64_t end) {
      kernels::pack_panels(matrix, kind, part.bytes(), row_bytes, begin, end, memory.get());
    });
    matrix.data = memory.get();
    segments_.push_back(matrix);
    storage_.push_back(std::move(memory));
    n_ += matrix.n;
  }
  if (segments_.empty()) fail("packing a weight: no parts");
}

size_t PackedWeight::bytes() const {
  size_t total = 0;
  for (const PackedMatrix& matrix : segments_) total += matrix.bytes();
  return total;
}

Tensor linear(const Tensor& x, const PackedWeight& weight, const Tensor& bias) {
  if (x.dim() < 1 || x.size(-1) != weight.k())
    fail("linear: x {} has not the weight's {} input features", tensor::shape_string(x.shape()), weight.k());
  if (bias.defined() && bias.shape() != Shape{weight.n()})
    fail("linear: bias {} beside {} output features", tensor::shape_string(bias.shape()), weight.n());
  Shape shape = x.shape();
  shape.back() = weight.n();
  Tensor y = Tensor::empty(shape);

  kernels::MatmulArgs args;
  args.m = weight.k() > 0 ? x.numel() / weight.k() : 0;
  args.x = x.f32();
  args.ldy = weight.n();
  count_products(args.m * weight.n() * weight.k());
  int64_t panels = 0;
  for (const PackedMatrix& matrix : weight.segments()) panels += matrix.panels();
  prepare_rows(args.x, args.m, weight.k(), Needs(weight.segments()), args);
  const std::vector<const int32_t*> offsets = prepare_offsets(weight.segments(), args);

  const auto unpacked = [&](const PackedMatrix& matrix) { return is_unpacked(matrix, args.m); };
  const bool rows_shared = shares_rows(args.m) && std::ranges::all_of(weight.segments(), unpacked);
  if (args.m >= kernels::kFewestGrouped && !rows_shared && std::ranges::any_of(weight.segments(), unpacked))
    args.x_groups = grouped_rows(args.x, args.m, weight.k());
  // Rows of some panels, which end a thread's range at `range_end`.
  const auto run_rows = [&](int64_t row, int64_t rows, int64_t begin, int64_t end, int64_t range_end) {
    kernels::MatmulArgs part = args;
    part.m = rows;
    part.x += row * weight.k();
    if (rows_shared) part.x_groups = grouped_rows(part.x, rows, weight.k());
    int64_t first_panel = 0, first_row = 0;
    for (size_t i = 0; i < weight.segments().size(); ++i) {
      const PackedMatrix& matrix = weight.segments()[i];
      const int64_t from = std::max<int64_t>(0, begin - first_panel);
      const int64_t to = std::min(matrix.panels(), end - first_panel);
      if (from < to) {
        part.weight = matrix;
        part.offsets = offsets[i];
        if (!base::follows_streams()) part.ahead = std::min(matrix.panels(), range_end - first_panel);
        part.y = y.f32() + row * args.ldy + first_row;
        part.bias = bias.defined() ? bias.f32() + first_row : nullptr;
        if (unpacked(matrix)) kernels::unpacked_product(part, from, to);
        else kernels::matmul_kernels().matmul(part, from, to);
      }
      first_panel += matrix.panels();
      first_row += matrix.n;
    }
  };
  const auto run = [&](int64_t begin, int64_t end, int64_t range_end) { run_rows(0, args.m, begin, end, range_end); };
  if (rows_shared) {
    base::parallel_for(args.m, kRowGrain,
                       [&](int64_t first, int64_t last) { run_rows(first, last - first, 0, panels, panels); });
    return recorded(x, weight, y);
  }
  if (args.m < 6 && panels > 0) {
    constexpr int64_t kGrain = 4;  // kernels take up to four panels at a time
    const int64_t piece = kPieceBytes / (static_cast<int64_t>(weight.bytes()) / panels) / kGrain * kGrain;
    base::parallel_stream(panels, std::max(kGrain, piece), kGrain, run);
    return recorded(x, weight, y);
  }
  const int64_t grain = panels_at_once(panels);
  base::parallel_tasks((panels + grain - 1) / grain,
                       [&](int64_t task) {
                         const int64_t end = std::min(panels, (task + 1) * grain);
                         run(task * grain, end, end);
                       });
  return recorded(x, weight, y);
}

}  // namespace sumi::ops
