// Attention over pages in bf16 for levels that multiply pairs of bf16 in vectors. A score is one sum over the pairs of the
// head's elements, a result one over the pairs of positions, each in rising order: a query alone gives the same bits as
// among many.
#include <type_traits>

#include "kernels/isa/attention_bf16_pages.h"
#include "kernels/isa/dot_rows.h"

namespace sumi::kernels::SUMI_ISA {

extern const CachedBf16Attention kBf16PairAttention;

#if defined(SUMI_DOT_ROWS)
namespace {

constexpr int kMostRows = 6;  // whose sums fill the registers, beside a page's four registers of keys
static_assert(kPageVectors == 4);

class Call {
 public:
  explicit Call(const CachedAttentionArgs& args)
      : rows_(args),
        keys_size_(rows_.keys_size()),
        values_size_(rows_.values_size()),
        used_keys_((args.head_dim + 1) / 2 * 2),
        queries_(reinterpret_cast<uint16_t*>(rows_.rest())),
        rounded_(queries_ + kAttentionRows * keys_size_) {
    for (int r = 0; r < rows_.rows(); ++r) {
      uint16_t* query = queries_ + r * keys_size_;
      bf16_from_floats(args.q[r], args.head_dim, query);
      if (used_keys_ > args.head_dim) query[args.head_dim] = 0;
    }
  }

  void run() {
    rows_.pages(
        [&](const uint16_t* keys) {
          for_row_blocks<kMostRows>(rows_.rows(), [&](auto rows, int64_t row) { scores<rows>(keys, static_cast<int>(row)); });
        },
        [&](const uint16_t* values, int64_t begin, int64_t end) {
          for (int r = 0; r < rows_.rows(); ++r) bf16_from_floats(rows_.weights(r), kAttentionPage, weights(r));
          for_row_blocks<kMostRows>(rows_.rows(), [&](auto rows, int64_t row) {
            add_values<rows>(values, static_cast<int>(row), begin / 2, (end + 1) / 2);
          });
        });
  }

 private:
  uint16_t* weights(int r) const { return rounded_ + r * kAttentionPage; }

  // Scores of kRows queries with the keys of a page: lanes are keys.
  template <int kRows>
  void scores(const uint16_t* keys, int row) const {
    const uint16_t* query = queries_ + row * keys_size_;
    Vec sum[kRows][kPageVectors];
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kPageVectors; ++v) sum[r][v] = Vec::zero();
    for (int64_t d = 0; d < used_keys_; d += 2) {
      Register key[kPageVectors];
      SUMI_UNROLLED
      for (int v = 0; v < kPageVectors; ++v) key[v] = load_bytes(keys + d * kAttentionPage + v * 2 * Vec::kWidth);
      SUMI_UNROLLED
      for (int r = 0; r < kRows; ++r) {
        const Register q = splat_group(query + r * keys_size_ + d);
        SUMI_UNROLLED
        for (int v = 0; v < kPageVectors; ++v) sum[r][v] = dot_bf16(sum[r][v], q, key[v]);
      }
    }
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kPageVectors; ++v) sum[r][v].store(rows_.weights(row + r) + v * Vec::kWidth);
  }

  // out += weights times values, for the page's pairs of positions [begin, end): lanes are elements of the head.
  template <int kRows>
  void add_values(const uint16_t* values, int row, int64_t begin, int64_t end) const {
    int64_t d = 0;
    for (; d + 4 * Vec::kWidth <= values_size_; d += 4 * Vec::kWidth) add_values_at<kRows, 4>(values, row, begin, end, d);
    for (; d < values_size_; d += Vec::kWidth) add_values_at<kRows, 1>(values, row, begin, end, d);
  }

  template <int kRows, int kVectors>
  void add_values_at(const uint16_t* values, int row, int64_t begin, int64_t end, int64_t d) const {
    Vec sum[kRows][kVectors];
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Vec::load(rows_.out(row + r) + d + v * Vec::kWidth);
    for (int64_t pair = begin; pair < end; ++pair) {
      Register value[kVectors];
      SUMI_UNROLLED
      for (int v = 0; v < kVectors; ++v) value[v] = load_bytes(values + (pair * values_size_ + d + v * Vec::kWidth) * 2);
      SUMI_UNROLLED
      for (int r = 0; r < kRows; ++r) {
        const Register w = splat_group(weights(row + r) + 2 * pair);
        SUMI_UNROLLED
        for (int v = 0; v < kVectors; ++v) sum[r][v] = dot_bf16(sum[r][v], w, value[v]);
      }
    }
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kVectors; ++v) sum[r][v].store(rows_.out(row + r) + d + v * Vec::kWidth);
  }

  Bf16PageRows rows_;
  int64_t keys_size_, values_size_, used_keys_;
  uint16_t *queries_, *rounded_;  // [rows][keys_size], [rows][kAttentionPage]
};

void cached(const CachedAttentionArgs& args) { Call(args).run(); }

}  // namespace

const CachedBf16Attention kBf16PairAttention = cached;
#else
const CachedBf16Attention kBf16PairAttention = nullptr;
#endif

}  // namespace sumi::kernels::SUMI_ISA
