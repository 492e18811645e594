// The copies of kernels/lane_product.h, one per instruction set.
#include "kernels/lane_product.h"

#include <type_traits>

#include "base/half.h"
#include "kernels/isa/simd_int.h"
#include "kernels/isa/winograd.h"

namespace sumi::kernels::SUMI_ISA {

extern const LaneKernels kLaneKernels;

namespace {

constexpr int64_t kWidth = Vec::kWidth;
constexpr int64_t kVecs = kLanes / kWidth;  // vectors in a row of lanes
#if defined(SUMI_AVX512)
constexpr int kTogether = 4;  // vectors of a row in registers: 6 rows of 4 sums, 4 operands
#else
constexpr int kTogether = 2;
#endif
constexpr int kMostRows = 6;
constexpr int64_t kFrequencies = LaneKernels::kFrequencies;
constexpr int64_t kTileSlice = LaneKernels::kTileSlice, kWeightSlice = LaneKernels::kWeightSlice;

// Lanes of stored weights as floats.
template <LaneType kType>
struct Stored {
  using Element = std::conditional_t<kType == LaneType::f32, float,
                                     std::conditional_t<kType == LaneType::s8, int8_t, uint16_t>>;
  static Vec load(const Element* p) {
    if constexpr (kType == LaneType::f32) return Vec::load(p);
    if constexpr (kType == LaneType::bf16) return load_bf16(p);
    if constexpr (kType == LaneType::f16) return load_f16(p);
    if constexpr (kType == LaneType::s8) return load_i8(p);
  }
};

// to [kRows, 64] = (add ? to : 0) + sum over p < depth, rising, of x[r * x_row + p] w[p, 64].
template <int kRows>
inline void rows_of(const float* x, int64_t x_row, int64_t depth, const float* w, bool add, float* to) {
  for (int64_t lane = 0; lane < kLanes; lane += kTogether * kWidth) {
    Vec sum[kRows][kTogether];
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kTogether; ++j)
        sum[r][j] = add ? Vec::load(to + r * kLanes + lane + j * kWidth) : Vec::zero();
    for (int64_t p = 0; p < depth; ++p) {
      Vec operand[kTogether];
      for (int j = 0; j < kTogether; ++j) operand[j] = Vec::load(w + p * kLanes + lane + j * kWidth);
      for (int r = 0; r < kRows; ++r) {
        const Vec factor = Vec::set1(x[r * x_row + p]);
        for (int j = 0; j < kTogether; ++j) sum[r][j] = fma(factor, operand[j], sum[r][j]);
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kTogether; ++j) sum[r][j].store(to + r * kLanes + lane + j * kWidth);
  }
}

// The same for any number of rows, in groups of nearly equal size; done(first row, rows) after each.
template <class Done>
void multiply(const float* x, int64_t x_row, int64_t rows, int64_t depth, const float* w, bool add, float* to,
              const Done& done) {
  int64_t first = 0;
  for (int64_t groups = (rows + kMostRows - 1) / kMostRows; groups > 0; --groups) {
    const int64_t count = (rows + groups - 1) / groups;
    switch (count) {
      case 1: rows_of<1>(x, x_row, depth, w, add, to); break;
      case 2: rows_of<2>(x, x_row, depth, w, add, to); break;
      case 3: rows_of<3>(x, x_row, depth, w, add, to); break;
      case 4: rows_of<4>(x, x_row, depth, w, add, to); break;
      case 5: rows_of<5>(x, x_row, depth, w, add, to); break;
      default: rows_of<6>(x, x_row, depth, w, add, to); break;
    }
    done(first, count);
    x += count * x_row;
    to += count * kLanes;
    rows -= count;
    first += count;
  }
}

// Lane constants of a block of 64 outputs, and what is done to them before they are stored.
struct Finish {
  Vec scale[kVecs], bias[kVecs];
  bool silu, accumulate;

  Finish(const LaneWeights& weights, int64_t block, const LaneEpilogue& epilogue)
      : silu(epilogue.silu), accumulate(epilogue.accumulate) {
    for (int64_t j = 0; j < kVecs; ++j) {
      const int64_t at = block * kLanes + j * kWidth;
      scale[j] = weights.scales.empty() ? Vec::set1(1) : Vec::load(weights.scales.data() + at);
      bias[j] = epilogue.bias ? Vec::load(epilogue.bias + at) : Vec::zero();
    }
  }
  void store(Vec sum, int64_t j, float* y) const {
    sum = fma(sum, scale[j], bias[j]);
    if (silu) sum = sum * sigmoid(sum);
    if (accumulate) sum = sum + Vec::load(y);
    sum.store(y);
  }
};

template <LaneType kType>
void product_of(const LaneKernels::Product& a) {
  using Element = typename Stored<kType>::Element;
  constexpr int64_t kDepth = LaneKernels::kProductDepth;
  float *wide = a.scratch, *sums = wide + kLanes * kDepth;
  const int64_t in = a.weights->in, out = a.weights->out;
  const auto* weights = reinterpret_cast<const Element*>(a.weights->data.get()) + a.block * in * kLanes;
  const Finish finish(*a.weights, a.block, *a.epilogue);
  for (int64_t k = 0; k < in; k += kDepth) {
    const int64_t depth = in - k < kDepth ? in - k : kDepth;
    const float* w = wide;
    if constexpr (kType == LaneType::f32)
      w = weights + k * kLanes;
    else
      for (int64_t i = 0; i < depth * kLanes; i += kWidth)
        Stored<kType>::load(weights + k * kLanes + i).store(wide + i);
    multiply(a.x + k, in, a.rows, depth, w, k > 0, sums, [&](int64_t first, int64_t count) {
      if (k + depth < in) return;
      for (int64_t r = first; r < first + count; ++r)
        for (int64_t j = 0; j < kVecs; ++j)
          finish.store(Vec::load(sums + r * kLanes + j * kWidth), j,
                       a.y + r * out + a.block * kLanes + j * kWidth);
    });
  }
}

struct Corner {
  int64_t picture, y, x;  // of a tile's outputs
};
inline Corner corner_of(const LaneKernels::Picture& p, int64_t tile) {
  const int64_t own = tile % p.tiles();
  return {tile / p.tiles(), own / p.tiles_across * 4, own % p.tiles_across * 4};
}

void transform(const float* x, const LaneKernels::Picture& p, int64_t channels, int64_t first, int64_t count,
               int64_t begin, int64_t end, float* to) {
  for (int64_t t = 0; t < count; ++t) {
    const Corner corner = corner_of(p, first + t);
    const int shift = p.doubled ? 1 : 0;
    const int64_t x_width = p.width >> shift;
    const float* picture = x + corner.picture * (p.height >> shift) * x_width * channels;
    for (int64_t c = begin * kLanes; c < end * kLanes; c += kWidth) {
      Vec d[36], half[36];
      for (int64_t i = 0; i < 6; ++i)
        for (int64_t j = 0; j < 6; ++j) {
          const int64_t row = corner.y + i - 1, column = corner.x + j - 1;
          const bool inside = row >= 0 && row < p.height && column >= 0 && column < p.width;
          d[i * 6 + j] =
              inside ? Vec::load(picture + ((row >> shift) * x_width + (column >> shift)) * channels + c)
                     : Vec::zero();
        }
      for (int64_t j = 0; j < 6; ++j) Winograd<4>::input(d + j, 6, half + j, 6);
      float* tile = to + c / kLanes * kFrequencies * kTileSlice + t * kLanes + c % kLanes;
      for (int64_t i = 0; i < 6; ++i) {
        Vec row[6];
        Winograd<4>::input(half + i * 6, 1, row, 1);
        for (int64_t j = 0; j < 6; ++j) row[j].store(tile + (i * 6 + j) * kTileSlice);
      }
    }
  }
}

// 64 inputs of the weights -> wide [36][64 inputs][64 lanes].
template <class Store>
void transform_block(const typename Store::Element* weights, float* wide) {
  for (int64_t in = 0; in < kLanes; ++in)
    for (int64_t lane = 0; lane < kLanes; lane += kWidth) {
      Vec g[9], half[18];
      for (int64_t tap = 0; tap < 9; ++tap) g[tap] = Store::load(weights + (in * 9 + tap) * kLanes + lane);
      for (int64_t j = 0; j < 3; ++j) Winograd<4>::weights(g + j, 3, half + j, 3);
      for (int64_t i = 0; i < 6; ++i) {
        Vec row[6];
        Winograd<4>::weights(half + i * 3, 1, row, 1);
        for (int64_t j = 0; j < 6; ++j)
          row[j].store(wide + (i * 6 + j) * kWeightSlice + in * kLanes + lane);
      }
    }
}

template <LaneType kType>
void tiles_of(const LaneKernels::Tiles& a) {
  using Element = typename Stored<kType>::Element;
  float *wide = a.scratch, *sums = wide + kFrequencies * kWeightSlice;
  const int64_t in = a.weights->in, out = a.weights->out;
  const auto* weights = reinterpret_cast<const Element*>(a.weights->data.get()) + a.block * in * 9 * kLanes;
  for (int64_t k = 0; k < in; k += kLanes) {
    transform_block<Stored<kType>>(weights + k * 9 * kLanes, wide);
    for (int64_t f = 0; f < kFrequencies; ++f)
      multiply(a.transformed + (k / kLanes * kFrequencies + f) * kTileSlice, kLanes, a.count, kLanes,
               wide + f * kWeightSlice, k > 0, sums + f * kTileSlice, [](int64_t, int64_t) {});
  }
  const Finish finish(*a.weights, a.block, *a.epilogue);
  for (int64_t t = 0; t < a.count; ++t) {
    const Corner corner = corner_of(a.picture, a.first + t);
    const int64_t rows = a.picture.height - corner.y < 4 ? a.picture.height - corner.y : 4;
    const int64_t columns = a.picture.width - corner.x < 4 ? a.picture.width - corner.x : 4;
    float* y = a.y + ((corner.picture * a.picture.height + corner.y) * a.picture.width + corner.x) * out +
               a.block * kLanes;
    for (int64_t j = 0; j < kVecs; ++j) {
      Vec m[36], half[24];
      for (int64_t f = 0; f < kFrequencies; ++f)
        m[f] = Vec::load(sums + f * kTileSlice + t * kLanes + j * kWidth);
      for (int64_t c = 0; c < 6; ++c) Winograd<4>::output(m + c, 6, half + c, 6);
      for (int64_t r = 0; r < rows; ++r) {
        Vec row[4];
        Winograd<4>::output(half + r * 6, 1, row, 1);
        for (int64_t c = 0; c < columns; ++c)
          finish.store(row[c], j, y + (r * a.picture.width + c) * out + j * kWidth);
      }
    }
  }
}

void product(const LaneKernels::Product& a) {
  switch (a.weights->type) {
    case LaneType::f32: return product_of<LaneType::f32>(a);
    case LaneType::bf16: return product_of<LaneType::bf16>(a);
    case LaneType::f16: return product_of<LaneType::f16>(a);
    case LaneType::s8: return product_of<LaneType::s8>(a);
  }
}

void tiles(const LaneKernels::Tiles& a) {
  switch (a.weights->type) {
    case LaneType::f32: return tiles_of<LaneType::f32>(a);
    case LaneType::bf16: return tiles_of<LaneType::bf16>(a);
    case LaneType::f16: return tiles_of<LaneType::f16>(a);
    case LaneType::s8: return tiles_of<LaneType::s8>(a);
  }
}

}  // namespace

const LaneKernels kLaneKernels = {product, transform, tiles};

}  // namespace sumi::kernels::SUMI_ISA
