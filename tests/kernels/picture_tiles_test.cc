// Products, convolutions and attention of pictures in bf16 and int8, on AMX tiles and in vectors, real and emulated, against
// plain loops in double.
#include "kernels/picture_tiles.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/half.h"
#include "kernels/picture_attention.h"
#include "kernels/random_values.h"

namespace sumi::kernels {

namespace avx512_amx_emulated {
extern const PictureTileKernels kPictureTiles;
extern const PictureAttentionKernels kPictureAttention;
}  // namespace avx512_amx_emulated
namespace avx512_bf16_emulated {
extern const PictureTileKernels kPictureTiles;
extern const PictureAttentionKernels kPictureAttention, kPictureCodeAttention;
}  // namespace avx512_bf16_emulated

namespace {

std::vector<float> random_values(int64_t n, uint32_t seed, float spread = 1) {
  std::vector<float> values = normal_values(n, seed, spread);
  for (float& value : values) value = base::bf16_to_float(base::float_to_bf16(value));
  return values;
}

std::vector<uint16_t> bf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (const float value : values) bits.push_back(base::float_to_bf16(value));
  return bits;
}

template <class Table>
std::vector<const Table*> copies(const Table& (*table_for)(base::Isa), const Table& amx, const Table& bf16) {
  std::vector<const Table*> tables = {&amx, &bf16};
  for (const base::Isa isa : base::runnable_isas())
    if (isa >= base::Isa::avx512_bf16) tables.push_back(&table_for(isa));
  return tables;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

struct Case {
  int64_t batch, height, width, in, out, kernel;
  bool bf16 = true, gated = false, doubled = false, affine = false, residual = false, silu = false, int8 = false, int8_weights = false;
  TileNumbers numbers() const {
    return int8 ? TileNumbers::int8 : int8_weights ? TileNumbers::int8_weights : TileNumbers::bf16;
  }
};
const Case kCases[] = {
    {.batch = 1, .height = 1, .width = 5, .in = 32, .out = 32, .kernel = 1},
    {.batch = 2, .height = 7, .width = 11, .in = 96, .out = 64, .kernel = 1, .affine = true, .silu = true},
    {.batch = 1, .height = 9, .width = 31, .in = 64, .out = 96, .kernel = 1, .bf16 = false, .residual = true},
    {.batch = 1, .height = 30, .width = 11, .in = 64, .out = 128, .kernel = 1, .gated = true},
    {.batch = 1, .height = 1, .width = 1, .in = 32, .out = 32, .kernel = 3},
    {.batch = 2, .height = 8, .width = 8, .in = 64, .out = 96, .kernel = 3, .affine = true, .residual = true},
    {.batch = 3, .height = 5, .width = 21, .in = 32, .out = 32, .kernel = 3, .bf16 = false, .silu = true},
    {.batch = 2, .height = 6, .width = 10, .in = 32, .out = 64, .kernel = 3, .doubled = true, .affine = true},
    {.batch = 1, .height = 9, .width = 31, .in = 768, .out = 64, .kernel = 1, .residual = true, .int8 = true},
    {.batch = 2, .height = 5, .width = 11, .in = 64, .out = 128, .kernel = 1, .bf16 = false, .gated = true, .int8 = true},
    {.batch = 2, .height = 8, .width = 8, .in = 128, .out = 96, .kernel = 3, .affine = true, .residual = true, .int8 = true},
    {.batch = 1, .height = 6, .width = 20, .in = 64, .out = 32, .kernel = 3, .doubled = true, .int8 = true},
    {.batch = 1, .height = 9, .width = 31, .in = 96, .out = 64, .kernel = 1, .residual = true, .int8_weights = true},
    {.batch = 2, .height = 5, .width = 11, .in = 64, .out = 128, .kernel = 1, .gated = true, .int8_weights = true},
    {.batch = 2, .height = 8, .width = 8, .in = 96, .out = 96, .kernel = 3, .affine = true, .int8_weights = true},
};

// Element [pixel, output] of the plain formula; x as it is after the affine, rounded.
double expected(const Case& c, const std::vector<float>& x, const std::vector<float>& w, int64_t pixel, int64_t out) {
  const int64_t b = pixel / (c.height * c.width), y = pixel / c.width % c.height, column = pixel % c.width;
  const int64_t half = c.kernel / 2, shrink = c.doubled ? 2 : 1, height = c.height / shrink, width = c.width / shrink;
  double sum = 0;
  for (int64_t i = -half; i <= half; ++i)
    for (int64_t j = -half; j <= half; ++j) {
      if (y + i < 0 || y + i >= c.height || column + j < 0 || column + j >= c.width) continue;
      const int64_t from = ((b * height + (y + i) / shrink) * width + (column + j) / shrink) * c.in;
      for (int64_t k = 0; k < c.in; ++k)
        sum += double{x[static_cast<size_t>(from + k)]} *
               double{w[static_cast<size_t>((out * c.in + k) * c.kernel * c.kernel + (i + half) * c.kernel + j + half)]};
    }
  return sum;
}

// How weights are given: laid out, or plain, of a convolution or of a gradient by the picture.
enum class Given { laid_out, plain_f32, plain_bf16, turned_f32, turned_bf16 };

// Weights [out, in, taps] of whose convolution the gradient by the picture has the weights w.
std::vector<float> turned(const std::vector<float>& w, int64_t out, int64_t in, int64_t taps) {
  std::vector<float> v(w.size());
  for (int64_t o = 0; o < out; ++o)
    for (int64_t i = 0; i < in; ++i)
      for (int64_t t = 0; t < taps; ++t)
        v[static_cast<size_t>((i * out + o) * taps + taps - 1 - t)] = w[static_cast<size_t>((o * in + i) * taps + t)];
  return v;
}

void run(const Case& c, const PictureTileKernels& kernels, Given given = Given::laid_out) {
  const int64_t shrink = c.doubled ? 4 : 1, pixels = c.batch * c.height * c.width;
  const std::vector<float> x = random_values(pixels / shrink * c.in, 1);
  const std::vector<float> w = random_values(c.out * c.in * c.kernel * c.kernel, 2, 0.2f), bias = random_values(c.out, 3);
  const std::vector<float> scale = random_values(c.batch * c.in, 4), shift = random_values(c.batch * c.in, 5);
  const int64_t taps = c.kernel * c.kernel;
  const bool is_turned = given == Given::turned_f32 || given == Given::turned_bf16;
  const bool narrow_weights = given == Given::plain_bf16 || given == Given::turned_bf16;
  const std::vector<float> plain = is_turned ? turned(w, c.out, c.in, taps) : w;
  const std::vector<uint16_t> narrow_plain = bf16(plain);
  const TileWeights weights =
      given == Given::laid_out
          ? pack_tiles(w.data(), TileSource::f32, c.out, c.in, taps, c.gated, c.numbers(), kernels)
          : plain_tiles(narrow_weights ? static_cast<const void*>(narrow_plain.data()) : plain.data(), narrow_weights,
                        is_turned ? c.in : c.out, is_turned ? c.out : c.in, taps, is_turned);
  const int64_t results = weights.results();
  const std::vector<float> before = random_values(pixels * results, 6);
  std::vector<float> wide = before;
  std::vector<uint16_t> narrow = bf16(before);
  const std::vector<uint16_t> narrow_x = bf16(x);
  const TileInput from{c.bf16 ? static_cast<const void*>(narrow_x.data()) : x.data(), c.bf16};
  const TileOutput to{c.bf16 ? static_cast<void*>(narrow.data()) : wide.data(), c.bf16};
  const TileEpilogue epilogue{bias.data(), c.silu, c.residual ? to.data : nullptr};
  const TileAffine affine{c.affine ? scale.data() : nullptr, c.affine ? shift.data() : nullptr, c.affine};
  if (c.kernel == 1)
    tile_product(from, affine, c.batch, c.height * c.width, weights, epilogue, to, kernels);
  else
    tile_convolution(from, affine, c.batch, c.height, c.width, c.doubled, weights, epilogue, to, kernels);
  std::vector<float> seen = x;
  for (size_t i = 0; c.affine && i < x.size(); ++i) {
    const size_t picture = i / (x.size() / static_cast<size_t>(c.batch)), channel = i % static_cast<size_t>(c.in);
    const size_t at = picture * static_cast<size_t>(c.in) + channel;
    const double z = double{x[i]} * double{scale[at]} + double{shift[at]};
    seen[i] = base::bf16_to_float(base::float_to_bf16(static_cast<float>(z * sigmoid(z))));
  }
  double worst = 0, errors = 0, squares = 0;
  for (int64_t pixel = 0; pixel < pixels; ++pixel)
    for (int64_t o = 0; o < results; ++o) {
      const auto at = static_cast<size_t>(pixel * results + o);
      double y = expected(c, seen, w, pixel, o) + double{bias[static_cast<size_t>(o)]};
      if (c.gated) y *= gelu(expected(c, seen, w, pixel, results + o) + double{bias[static_cast<size_t>(results + o)]});
      if (c.silu) y *= sigmoid(y);
      if (c.residual) y += double{before[at]};
      const double got = double{c.bf16 ? base::bf16_to_float(narrow[at]) : wide[at]};
      // bf16 results have 8 bits; an input on the border between two of them may be rounded otherwise.
      worst = std::max(worst, std::abs(got - y) / (1 + std::abs(y)) / (c.bf16 || c.affine ? 8e-3 : 1e-4));
      errors += (got - y) * (got - y);
      squares += y * y;
    }
  const std::string name = fmt::format("{}x{} {}->{} kernel {}", c.height, c.width, c.in, c.out, c.kernel);
  const double error = std::sqrt(errors / squares);
  if (c.int8) {
    EXPECT_LT(error, 0.05) << name << ": each operand is rounded to a 254th of its range, which a few values reach";
  } else if (c.int8_weights) {
    EXPECT_LT(error, 0.02) << name << ": weights are rounded to a 254th of their range";
  } else if (c.kernel == 3 && kernels.winograd) {
    EXPECT_LT(error, 0.01) << name << ": transformed numbers are rounded to bf16";
  } else {
    EXPECT_LT(worst, 1) << name;
  }
}

TEST(PictureTiles, ProductsAndConvolutionsAreThePlainFormulas) {
  for (const PictureTileKernels* kernels : copies(picture_tile_kernels_for, avx512_amx_emulated::kPictureTiles, avx512_bf16_emulated::kPictureTiles))
    for (const Case& c : kCases) run(c, *kernels);
}

TEST(PictureTiles, PlainWeightsAreReadAsLaidOutOnesInEitherDirection) {
  for (const PictureTileKernels* kernels : copies(picture_tile_kernels_for, avx512_amx_emulated::kPictureTiles, avx512_bf16_emulated::kPictureTiles))
    for (const Case& c : kCases)
      if (!c.gated && !c.int8 && !c.int8_weights)
        for (const Given given : {Given::plain_f32, Given::plain_bf16, Given::turned_f32, Given::turned_bf16})
          run(c, *kernels, given);
}

TEST(PictureTiles, PicturesThatAreCopiedInBandsGiveTheSame) {
  if (!has_picture_tiles()) GTEST_SKIP() << "this processor does not multiply bf16";
  // 24 MiB of input hold 120 rows of the wide picture; the top of it is a picture of its own.
  const int64_t width = 1500, in = 64, out = 32, height = 130, top = 8;
  const std::vector<uint16_t> x = bf16(random_values(height * width * in, 1));
  const std::vector<float> w = random_values(out * in * 9, 2, 0.2f);
  const TileWeights weights = pack_tiles(w.data(), TileSource::f32, out, in, 9, false);
  std::vector<uint16_t> whole(static_cast<size_t>(height * width * out)), last(static_cast<size_t>(2 * top * width * out));
  tile_convolution({x.data(), true}, {}, 1, height, width, false, weights, {}, {whole.data(), true});
  const uint16_t* end = x.data() + (height - 2 * top) * width * in;
  tile_convolution({end, true}, {}, 1, 2 * top, width, false, weights, {}, {last.data(), true});
  // Equal but for the first row, which sees a border there.
  const auto row = static_cast<size_t>(width * out);
  EXPECT_TRUE(std::equal(last.begin() + static_cast<int64_t>(row), last.end(),
                         whole.end() - static_cast<int64_t>((2 * top - 1) * width * out)));
}

struct AttentionCase {
  int64_t queries, keys, size;
  float spread = 2;  // of queries and keys
};
struct AttentionErrors {
  double worst = 0, relative = 0;  // relative: the root of errors' squares over that of the results'
};

// Against softmax in double. Keys lie around 3, not around 0.
AttentionErrors attention_errors(const AttentionCase& c, const PictureAttentionKernels& kernels) {
  const float scale = 1 / std::sqrt(static_cast<float>(c.size));
  const std::vector<float> q = random_values(c.queries * c.size, 1, c.spread), v = random_values(c.keys * c.size, 3);
  std::vector<float> k = random_values(c.keys * c.size, 2, c.spread);
  for (float& x : k) x = base::bf16_to_float(base::float_to_bf16(x + 3));
  const std::vector<uint16_t> bits_q = bf16(q), bits_k = bf16(k), bits_v = bf16(v);
  std::vector<uint16_t> out(bits_q.size());
  std::vector<std::byte> packed(static_cast<size_t>(kernels.packed_bytes(c.keys, c.size)));
  std::vector<std::byte> scratch(static_cast<size_t>(kernels.scratch_bytes(c.size)));
  kernels.pack({bits_k.data(), bits_v.data(), c.size, c.keys, c.size, packed.data()});
  kernels.attend({packed.data(), c.keys, c.size, scale, bits_q.data(), out.data(), c.size, c.size, c.queries, scratch.data()});
  AttentionErrors errors;
  double squares = 0, all = 0;
  for (int64_t t = 0; t < c.queries; ++t) {
    std::vector<double> weights;
    double total = 0, highest = -1e30;
    for (int64_t s = 0; s < c.keys; ++s) {
      double sum = 0;
      for (int64_t d = 0; d < c.size; ++d)
        sum += double{q[static_cast<size_t>(t * c.size + d)]} * double{k[static_cast<size_t>(s * c.size + d)]};
      weights.push_back(sum * double{scale});
      highest = std::max(highest, weights.back());
    }
    for (double& weight : weights) total += weight = std::exp(weight - highest);
    for (int64_t d = 0; d < c.size; ++d) {
      double sum = 0;
      for (int64_t s = 0; s < c.keys; ++s)
        sum += weights[static_cast<size_t>(s)] / total * double{v[static_cast<size_t>(s * c.size + d)]};
      const double got = double{base::bf16_to_float(out[static_cast<size_t>(t * c.size + d)])};
      errors.worst = std::max(errors.worst, std::abs(got - sum));
      squares += (got - sum) * (got - sum);
      all += sum * sum;
    }
  }
  errors.relative = std::sqrt(squares / all);
  return errors;
}

const AttentionCase kAttentionCases[] = {{1, 1, 8}, {37, 77, 40}, {64, 300, 80}, {5, 128, 96}};

TEST(PictureTiles, AttentionIsSoftmaxOfTheProducts) {
  for (const PictureAttentionKernels* kernels :
       copies(picture_attention_kernels_for, avx512_amx_emulated::kPictureAttention,
              avx512_bf16_emulated::kPictureAttention))
    for (const AttentionCase& c : kAttentionCases)
      EXPECT_LT(attention_errors(c, *kernels).worst, 0.02) << c.queries << " queries, " << c.keys << " keys of " << c.size;
}

TEST(PictureTiles, AttentionInInt8IsNearSoftmaxOfTheProducts) {
  std::vector<const PictureAttentionKernels*> tables = {&avx512_bf16_emulated::kPictureCodeAttention};
  for (const base::Isa isa : base::runnable_isas())
    if (picture_code_attention_kernels_for(isa).attend) tables.push_back(&picture_code_attention_kernels_for(isa));
  for (const PictureAttentionKernels* kernels : tables) {
    for (AttentionCase c : kAttentionCases)
      for (const float spread : {1.0f, 2.0f}) {
        c.spread = spread;
        const AttentionErrors errors = attention_errors(c, *kernels);
        EXPECT_LT(errors.relative, 0.03) << c.queries << " queries, " << c.keys << " keys of " << c.size << ", " << spread;
      }
    // Scores hundreds apart, beyond what 2^x can say: one weight is 1, where two are near another one than without rounding.
    EXPECT_LT(attention_errors({33, 290, 256, 12}, *kernels).relative, 0.25);
  }
}

}  // namespace
}  // namespace sumi::kernels
