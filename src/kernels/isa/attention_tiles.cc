// Attention over pages in bf16 for levels with tiles. A tile product adds to each sum, for 32 numbers of its rows in pairs,
//   (first products of the pairs in rising order from zero) + (second products, likewise),
// each step rounded to f32 (Intel's Software Developer's Manual, TDPBF16PS). Few rows go through vectors that do just
// this, so that a query alone gives the same bits as among many.
#include "kernels/isa/attention_bf16_pages.h"
#include "kernels/isa/tiles.h"

namespace sumi::kernels::SUMI_ISA {

extern const CachedBf16Attention kBf16TileAttention;

#if defined(SUMI_AMX)
namespace {

constexpr int64_t kStep = 32;                             // numbers that a tile product takes
constexpr int kPageSteps = kAttentionPage / kStep;
constexpr int kPageTiles = kAttentionPage / Vec::kWidth;  // of keys
constexpr int kRowsInVectors = 4;                         // as many at once
static_assert(kAttentionRows == 2 * kTileRows && kPageTiles == 4 && kPageSteps == 2);

// What a call keeps behind its rows' results.
struct Scratch {
  uint16_t* queries;  // tiles [2][keys_size / kStep][kTileRows][kStep]
  uint16_t* rounded;  // the weights in tiles [2][kPageSteps][kTileRows][kStep]
  float* factors;     // of few rows: the rounded queries [kRowsInVectors][keys_size]

  Scratch(float* memory, int64_t keys_size)
      : queries(reinterpret_cast<uint16_t*>(memory)),
        rounded(queries + kAttentionRows * keys_size),
        factors(reinterpret_cast<float*>(rounded + kAttentionRows * kAttentionPage)) {}
};

class Call {
 public:
  explicit Call(const CachedAttentionArgs& args)
      : rows_(args), keys_size_(rows_.keys_size()), values_size_(rows_.values_size()), at_(rows_.rest(), keys_size_) {
    std::memset(at_.queries, 0, static_cast<size_t>(kAttentionRows * keys_size_) * sizeof(uint16_t));
    std::memset(at_.rounded, 0, kAttentionRows * kAttentionPage * sizeof(uint16_t));
    for (int r = 0; r < rows_.rows(); ++r)
      for (int64_t d = 0; d < args.head_dim; d += kStep)
        bf16_from_floats(args.q[r] + d, args.head_dim - d < kStep ? args.head_dim - d : kStep, query(r, d));
  }

  void run() {
    const int rows = rows_.rows();
    if (rows > kRowsInVectors) {
      const TileShapes shapes;
      return rows > kTileRows ? pages_in_tiles<2>() : pages_in_tiles<1>();
    }
    switch (rows) {
      case 1: return pages_in_vectors<1>();
      case 2: return pages_in_vectors<2>();
      case 3: return pages_in_vectors<3>();
      default: return pages_in_vectors<4>();
    }
  }

 private:
  // The rounded elements of query r from d, a multiple of kStep, on.
  uint16_t* query(int r, int64_t d) const {
    return at_.queries + ((r / kTileRows * keys_size_ + d) * kTileRows + r % kTileRows * kStep);
  }

  template <int kTiles>
  void pages_in_tiles() {
    rows_.pages([&](const uint16_t* keys) { scores_in_tiles<kTiles>(keys); },
                [&](const uint16_t* values, int64_t, int64_t, const uint16_t*) { values_in_tiles<kTiles>(values); });
  }

  template <int kRows>
  void pages_in_vectors() {
    for (int r = 0; r < kRows; ++r)
      for (int64_t d = 0; d < keys_size_; d += Vec::kWidth)
        load_bf16(query(r, d / kStep * kStep) + d % kStep).store(at_.factors + r * keys_size_ + d);
    rows_.pages([&](const uint16_t* keys) { scores_in_vectors<kRows>(keys); },
                [&](const uint16_t* values, int64_t, int64_t, const uint16_t*) { values_in_vectors<kRows>(values); });
  }

  // Scores of kTiles tiles of queries with a page's four tiles of keys: tile t * kAtOnce + i holds those of tile t.
  template <int kTiles>
  void scores_in_tiles(const uint16_t* keys) {
    constexpr int kAtOnce = 4 / kTiles;
    for (int i = 0; i < kPageTiles; i += kAtOnce) key_scores<kTiles>(keys + i * 2 * Vec::kWidth, rows_.weights(0) + i * Vec::kWidth);
  }

  template <int kTiles>
  void key_scores(const uint16_t* keys, float* scores) {
    constexpr int64_t kRowBytes = kAttentionPage * 2 * sizeof(uint16_t), kScoreBytes = kAttentionPage * sizeof(float);
    tile_zero<0>();
    tile_zero<1>();
    tile_zero<2>();
    tile_zero<3>();
    for (int64_t d = 0; d < keys_size_; d += kStep) {
      const uint16_t* at = keys + d * kAttentionPage;
      tile_load<4>(query(0, d), kStep * sizeof(uint16_t));
      if constexpr (kTiles == 2) {
        tile_load<5>(query(kTileRows, d), kStep * sizeof(uint16_t));
        tile_load<6>(at, kRowBytes);
        tile_dot_bf16<0, 4, 6>();
        tile_dot_bf16<2, 5, 6>();
        tile_load<7>(at + 2 * Vec::kWidth, kRowBytes);
        tile_dot_bf16<1, 4, 7>();
        tile_dot_bf16<3, 5, 7>();
      } else {
        tile_load<5>(at, kRowBytes);
        tile_dot_bf16<0, 4, 5>();
        tile_load<6>(at + 2 * Vec::kWidth, kRowBytes);
        tile_dot_bf16<1, 4, 6>();
        tile_load<7>(at + 4 * Vec::kWidth, kRowBytes);
        tile_dot_bf16<2, 4, 7>();
        tile_load<5>(at + 6 * Vec::kWidth, kRowBytes);
        tile_dot_bf16<3, 4, 5>();
      }
    }
    tile_store<0>(scores, kScoreBytes);
    tile_store<1>(scores + Vec::kWidth, kScoreBytes);
    float* next = scores + (kTiles == 2 ? kTileRows * kAttentionPage : 2 * Vec::kWidth);
    tile_store<2>(next, kScoreBytes);
    tile_store<3>(next + Vec::kWidth, kScoreBytes);
  }

  template <int kTiles>
  void values_in_tiles(const uint16_t* values) {
    for (int r = 0; r < rows_.rows(); ++r)
      for (int step = 0; step < kPageSteps; ++step)
        bf16_from_floats(rows_.weights(r) + step * kStep, kStep, rounded(r, step));
    int64_t d = 0;
    for (; d + 2 * Vec::kWidth <= values_size_; d += 2 * Vec::kWidth) add_values<kTiles, 2>(values, d);
    if (d < values_size_) add_values<kTiles, 1>(values, d);
  }

  uint16_t* rounded(int r, int step) const {
    return at_.rounded + ((r / kTileRows * kPageSteps + step) * kTileRows + r % kTileRows) * kStep;
  }

  // kColumns times 16 elements of the head, for kTiles tiles of rows.
  template <int kTiles, int kColumns>
  void add_values(const uint16_t* values, int64_t d) {
    constexpr int64_t kWeightBytes = kStep * sizeof(uint16_t);
    const int64_t row_bytes = values_size_ * 2 * static_cast<int64_t>(sizeof(uint16_t));
    const int64_t out_bytes = values_size_ * static_cast<int64_t>(sizeof(float));
    float *out = rows_.out(0) + d, *next = out + kTileRows * values_size_;
    tile_load<0>(out, out_bytes);
    if constexpr (kColumns == 2) tile_load<1>(out + Vec::kWidth, out_bytes);
    if constexpr (kTiles == 2) tile_load<2>(next, out_bytes);
    if constexpr (kTiles == 2 && kColumns == 2) tile_load<3>(next + Vec::kWidth, out_bytes);
    for (int step = 0; step < kPageSteps; ++step) {
      const uint16_t* at = values + (step * kStep / 2 * values_size_ + d) * 2;
      tile_load<4>(rounded(0, step), kWeightBytes);
      if constexpr (kTiles == 2) tile_load<5>(rounded(kTileRows, step), kWeightBytes);
      tile_load<6>(at, row_bytes);
      tile_dot_bf16<0, 4, 6>();
      if constexpr (kTiles == 2) tile_dot_bf16<2, 5, 6>();
      if constexpr (kColumns == 2) {
        tile_load<7>(at + 2 * Vec::kWidth, row_bytes);
        tile_dot_bf16<1, 4, 7>();
        if constexpr (kTiles == 2) tile_dot_bf16<3, 5, 7>();
      }
    }
    tile_store<0>(out, out_bytes);
    if constexpr (kColumns == 2) tile_store<1>(out + Vec::kWidth, out_bytes);
    if constexpr (kTiles == 2) tile_store<2>(next, out_bytes);
    if constexpr (kTiles == 2 && kColumns == 2) tile_store<3>(next + Vec::kWidth, out_bytes);
  }

  template <int kRows>
  void scores_in_vectors(const uint16_t* keys) {
    for (int v = 0; v < kPageTiles; ++v) {
      Vec sum[kRows];
      for (int r = 0; r < kRows; ++r) sum[r] = Vec::zero();
      for (int64_t d = 0; d < keys_size_; d += kStep) {
        const uint16_t* at = keys + d * kAttentionPage + v * 2 * Vec::kWidth;
        add_step<kRows>(at, 2 * kAttentionPage, at_.factors + d, keys_size_, sum);
      }
      for (int r = 0; r < kRows; ++r) sum[r].store(rows_.weights(r) + v * Vec::kWidth);
    }
  }

  template <int kRows>
  void values_in_vectors(const uint16_t* values) {
    for (int64_t d = 0; d < values_size_; d += Vec::kWidth) {
      Vec sum[kRows];
      for (int r = 0; r < kRows; ++r) sum[r] = Vec::load(rows_.out(r) + d);
      for (int step = 0; step < kPageSteps; ++step)
        add_step<kRows>(values + (step * kStep / 2 * values_size_ + d) * 2, 2 * values_size_,
                        rows_.weights(0) + step * kStep, kAttentionPage, sum);
      for (int r = 0; r < kRows; ++r) sum[r].store(rows_.out(r) + d);
    }
  }

  // As one tile product: 16 rows of pairs, `stride` numbers apart, times kStep factors of each row.
  template <int kRows>
  static void add_step(const uint16_t* pairs, int64_t stride, const float* factors, int64_t factor_stride,
                       Vec (&sum)[kRows]) {
    Vec first[kRows], second[kRows];
    for (int r = 0; r < kRows; ++r) first[r] = second[r] = Vec::zero();
    for (int i = 0; i < kStep / 2; ++i) {
      const Vec even = even_of_pairs(pairs + i * stride), odd = odd_of_pairs(pairs + i * stride);
      for (int r = 0; r < kRows; ++r) {
        first[r] = fma(Vec::set1(factors[r * factor_stride + 2 * i]), even, first[r]);
        second[r] = fma(Vec::set1(factors[r * factor_stride + 2 * i + 1]), odd, second[r]);
      }
    }
    for (int r = 0; r < kRows; ++r) sum[r] = sum[r] + (first[r] + second[r]);
  }

  Bf16PageRows rows_;
  int64_t keys_size_, values_size_;
  Scratch at_;
};

void cached(const CachedAttentionArgs& args) { Call(args).run(); }

}  // namespace

const CachedBf16Attention kBf16TileAttention = cached;
#else
const CachedBf16Attention kBf16TileAttention = nullptr;
#endif

}  // namespace sumi::kernels::SUMI_ISA
