// Attention over pages in bf16 for levels that multiply pairs of bf16 in vectors. A score is one sum over the pairs of the
// head's elements, a result one over the pairs of positions, each in rising order: a query alone gives the same bits as
// among many.
#include <type_traits>

#include "base/cpu.h"
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
        rounded_(reinterpret_cast<Spread*>(rows_.rest())),
        queries_(rounded_ + kAttentionRows * kAttentionPage) {
    for (int r = 0; r < rows_.rows(); ++r) {
      Spread* query = queries_ + r * keys_size_;
      spread_from_floats(args.q[r], args.head_dim, query);
      if (used_keys_ > args.head_dim) query[args.head_dim] = 0;
    }
  }

  void run() {
    rows_.pages(
        [&](const uint16_t* keys) {
          for_row_blocks<kMostRows>(rows_.rows(), [&](auto rows, int64_t row) { scores<rows>(keys, static_cast<int>(row)); });
        },
        [&](const uint16_t* values, int64_t begin, int64_t end, const uint16_t* next_keys) {
          spread_weights();
          for_row_blocks<kMostRows>(rows_.rows(), [&](auto rows, int64_t row) {
            add_values<rows>(values, static_cast<int>(row), begin / 2, (end + 1) / 2, next_keys);
          });
        });
  }

 private:
#if defined(SUMI_BF16_DOT)
  void spread_weights() const {
    for (int r = 0; r < rows_.rows(); ++r)
      spread_from_floats(rows_.weights(r), kAttentionPage, rounded_ + r * kAttentionPage);
  }
  const Spread* weights(int r) const { return rounded_ + r * kAttentionPage; }
#else  // they are rounded floats
  void spread_weights() const {}
  const Spread* weights(int r) const { return rows_.weights(r); }
#endif

  // Scores of kRows queries with the keys of a page: lanes are keys.
  template <int kRows>
  void scores(const uint16_t* keys, int row) const {
    const Spread* query = queries_ + row * keys_size_;
    Vec sum[kRows][kPageVectors];
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kPageVectors; ++v) sum[r][v] = Vec::zero();
    for (int64_t d = 0; d < used_keys_; d += 2) {
      const void* key[kPageVectors];
      SUMI_UNROLLED
      for (int v = 0; v < kPageVectors; ++v) key[v] = keys + d * kAttentionPage + v * 2 * Vec::kWidth;
      if (asks_ && row == 0) ask_for<kPageVectors>(keys + d * kAttentionPage + kAhead);
      add_pairs(query + d, keys_size_, key, sum);
    }
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kPageVectors; ++v) sum[r][v].store(rows_.weights(row + r) + v * Vec::kWidth);
  }

  // out += weights times values, for the page's pairs of positions [begin, end): lanes are elements of the head.
  template <int kRows>
  void add_values(const uint16_t* values, int row, int64_t begin, int64_t end, const uint16_t* next_keys) const {
    int64_t d = 0;
    for (; d + 4 * Vec::kWidth <= values_size_; d += 4 * Vec::kWidth)
      add_values_at<kRows, 4>(values, row, begin, end, d, next_keys);
    for (; d < values_size_; d += Vec::kWidth) add_values_at<kRows, 1>(values, row, begin, end, d, next_keys);
  }

  template <int kRows, int kVectors>
  void add_values_at(const uint16_t* values, int row, int64_t begin, int64_t end, int64_t d,
                     const uint16_t* next_keys) const {
    const int64_t stride = 2 * values_size_;
    Vec sum[kRows][kVectors];
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kVectors; ++v) sum[r][v] = Vec::load(rows_.out(row + r) + d + v * Vec::kWidth);
    for (int64_t pair = begin; pair < end; ++pair) {
      const void* value[kVectors];
      SUMI_UNROLLED
      for (int v = 0; v < kVectors; ++v) value[v] = values + pair * stride + (d + v * Vec::kWidth) * 2;
      const int64_t later = pair + kAhead / stride;
      if (asks_ && row == 0 && (later < end || next_keys))
        ask_for<kVectors>((later < end ? values + later * stride : next_keys + (later - end) * stride) + 2 * d);
      add_pairs(weights(row) + 2 * pair, kAttentionPage, value, sum);
    }
    SUMI_UNROLLED
    for (int r = 0; r < kRows; ++r)
      SUMI_UNROLLED
      for (int v = 0; v < kVectors; ++v) sum[r][v].store(rows_.out(row + r) + d + v * Vec::kWidth);
  }

  // The first rows ask for keys and values before they are needed: processors' own prefetching stops at the end of each
  // 4 KB. Values lie behind their keys (ops::KvCache), the next page's keys do not lie behind them.
  static constexpr int64_t kAhead = 2048;  // numbers
  template <int kVectors>
  static void ask_for(const uint16_t* numbers) {
    SUMI_UNROLLED
    for (int v = 0; v < kVectors; ++v) prefetch(numbers + v * 2 * Vec::kWidth);
  }

  Bf16PageRows rows_;
  int64_t keys_size_, values_size_, used_keys_;
  bool asks_ = !base::follows_streams();
  Spread *rounded_, *queries_;  // [rows][kAttentionPage], [rows][keys_size]
};

void cached(const CachedAttentionArgs& args) { Call(args).run(); }

}  // namespace

const CachedBf16Attention kBf16PairAttention = cached;
#else
const CachedBf16Attention kBf16PairAttention = nullptr;
#endif

}  // namespace sumi::kernels::SUMI_ISA
