// The copies of kernels/tile_matmul.h, one per instruction set.
#include "kernels/tile_matmul.h"

#include "kernels/isa/simd.h"
#include "kernels/isa/turn.h"

namespace sumi::kernels::SUMI_ISA {
namespace {

constexpr int64_t kWidth = Vec::kWidth;
#if defined(SUMI_AVX512)
constexpr int kRowsAtOnce = 12;  // of two vectors, of 32 registers
#else
constexpr int kRowsAtOnce = 6;  // of 16
#endif

// kRows x kVecs vectors of c held in registers while p runs. The lines of c below them, which are often next, are asked for.
template <int kRows, int kVecs>
inline void block(int64_t k, const float* a, int64_t a_row, int64_t a_column, const float* b,
                  int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  Vec sum[kRows][kVecs];
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kVecs; ++j) {
      prefetch_to_write(c + (i + kRows) * c_row + j * kWidth);
      sum[i][j] = accumulate ? Vec::load(c + i * c_row + j * kWidth) : Vec::zero();
    }
  // An address is a register and up to twice another: so four do for twelve rows. Left alone, g++ 12 keeps twelve, some in
  // vector registers.
  constexpr int kBeside = 3;
  const float* at[(kRows + kBeside - 1) / kBeside];
  for (int i = 0; i < kRows; i += kBeside) at[i / kBeside] = a + i * a_row;
  for (int64_t p = 0; p < k; ++p, b += b_row) {
    Vec row[kVecs];
    for (int j = 0; j < kVecs; ++j) row[j] = Vec::load(b + j * kWidth);
#pragma GCC unroll 12
    for (int i = 0; i < kRows; ++i) {
      const Vec factor = Vec::set1(at[i / kBeside][i % kBeside * a_row]);
      for (int j = 0; j < kVecs; ++j) sum[i][j] = fma(factor, row[j], sum[i][j]);
    }
    for (const float*& from : at) {
      from += a_column;
      __asm__("" : "+r"(from));
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kVecs; ++j) sum[i][j].store(c + i * c_row + j * kWidth);
}

// The last columns, fewer than a vector, of kRows rows.
template <int kRows>
inline void edge_rows(int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column, const float* b,
                      int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  Vec sum[kRows];
  for (int i = 0; i < kRows; ++i) sum[i] = accumulate ? load_partial(c + i * c_row, n) : Vec::zero();
  for (int64_t p = 0; p < k; ++p) {
    const Vec row = load_partial(b + p * b_row, n);
    for (int i = 0; i < kRows; ++i) sum[i] = fma(Vec::set1(a[i * a_row + p * a_column]), row, sum[i]);
  }
  for (int i = 0; i < kRows; ++i) store_partial(sum[i], c + i * c_row, n);
}

inline void edge(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column,
                 const float* b, int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  int64_t i = 0;
  for (; i + 8 <= m; i += 8)
    edge_rows<8>(n, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, accumulate);
  for (; i < m; ++i)
    edge_rows<1>(n, k, a + i * a_row, a_row, a_column, b, b_row, c + i * c_row, c_row, accumulate);
}

// Columns [0, n), n a multiple of kVecs vectors: row by row, all columns of some rows before the next.
template <int kVecs>
inline void columns(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column, const float* b,
                    int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  int64_t i = 0;
  const auto rows_at_once = [&]<int kRows>() {
    for (; i + kRows <= m; i += kRows)
      for (int64_t j = 0; j < n; j += kVecs * kWidth)
        block<kRows, kVecs>(k, a + i * a_row, a_row, a_column, b + j, b_row, c + i * c_row + j, c_row, accumulate);
  };
  rows_at_once.template operator()<kRowsAtOnce>();
  rows_at_once.template operator()<4>();
  rows_at_once.template operator()<1>();
}

void multiply(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_column,
              const float* b, int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  // Many rows go through c and a in order; of few, all see two vectors of b's columns while the first cache has them.
  const int64_t pairs = n / (2 * kWidth) * (2 * kWidth), width = m > 2 * kRowsAtOnce ? pairs : 2 * kWidth;
  int64_t j = 0;
  for (; j < pairs; j += width)
    columns<2>(m, width, k, a, a_row, a_column, b + j, b_row, c + j, c_row, accumulate);
  if (j + kWidth <= n) {
    columns<1>(m, kWidth, k, a, a_row, a_column, b + j, b_row, c + j, c_row, accumulate);
    j += kWidth;
  }
  if (j < n) edge(m, n - j, k, a, a_row, a_column, b + j, b_row, c + j, c_row, accumulate);
}

void transpose(int64_t rows, int64_t columns, const float* from, int64_t from_row, float* to, int64_t to_row) {
  int64_t whole = 0;  // columns that are done for all rows but the last few
#if defined(SUMI_AVX512)
  whole = columns / kWidth * kWidth;
  for (int64_t r = 0; r + kWidth <= rows; r += kWidth)
    for (int64_t c = 0; c < whole; c += kWidth)
      for_columns_of_16<kWidth>(reinterpret_cast<const uint32_t*>(from + r * from_row + c), from_row,
                                [&](int64_t i, Register numbers) { store_bytes(to + (c + i) * to_row + r, numbers); });
#endif
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = r < rows / kWidth * kWidth ? whole : 0; c < columns; ++c) to[c * to_row + r] = from[r * from_row + c];
}

}  // namespace

extern const TileKernels kTile;
const TileKernels kTile = {multiply, transpose};

}  // namespace sumi::kernels::SUMI_ISA
