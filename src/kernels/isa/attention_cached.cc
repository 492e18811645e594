// Softmax attention over pages of keys and values with a running maximum (arXiv:2205.14135). Every query row goes
// through whole pages in rising order with the same operations whichever rows share the call, so a query's
// result does not depend on the others.
#include "kernels/isa/attention_page.h"

namespace sumi::kernels::SUMI_ISA {

extern const AttentionKernels kAttentionKernels;

namespace {

// Scores of kRows queries with the keys of a page: lanes are keys, d rises.
template <int kRows>
void page_scores(const CachedAttentionArgs& args, const float* keys, float* scores) {
  constexpr int kAtOnce = kPageVectors < 2 ? kPageVectors : 2;  // registers of keys at a time
  for (int v = 0; v < kPageVectors; v += kAtOnce) {
    Vec sum[kRows][kAtOnce];
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kAtOnce; ++j) sum[r][j] = Vec::zero();
    for (int64_t d = 0; d < args.head_dim; ++d) {
      Vec key[kAtOnce];
      for (int j = 0; j < kAtOnce; ++j)
        key[j] = Vec::load(keys + d * kAttentionPage + (v + j) * Vec::kWidth);
      for (int r = 0; r < kRows; ++r) {
        const Vec q = Vec::set1(args.q[r][d]);
        for (int j = 0; j < kAtOnce; ++j) sum[r][j] = fma(q, key[j], sum[r][j]);
      }
    }
    for (int r = 0; r < kRows; ++r)
      for (int j = 0; j < kAtOnce; ++j)
        sum[r][j].store(scores + r * kAttentionPage + (v + j) * Vec::kWidth);
  }
}

// out[r] = out[r] * decay[r] + sum over keys of weight * value: lanes are elements of the head, keys rise.
template <int kRows, int kAtOnce>
void add_values_at(const CachedAttentionArgs& args, const float* values, const float* weights, const float* decay,
                   float* const* out, int64_t d, int begin, int end) {
  Vec sum[kRows][kAtOnce];
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kAtOnce; ++j)
      sum[r][j] = Vec::load(out[r] + d + j * Vec::kWidth) * Vec::set1(decay[r]);
  for (int s = begin; s < end; ++s) {
    Vec value[kAtOnce];
    for (int j = 0; j < kAtOnce; ++j) value[j] = Vec::load(values + s * args.head_dim + d + j * Vec::kWidth);
    for (int r = 0; r < kRows; ++r) {
      const Vec w = Vec::set1(weights[r * kAttentionPage + s]);
      for (int j = 0; j < kAtOnce; ++j) sum[r][j] = fma(w, value[j], sum[r][j]);
    }
  }
  for (int r = 0; r < kRows; ++r)
    for (int j = 0; j < kAtOnce; ++j) sum[r][j].store(out[r] + d + j * Vec::kWidth);
}

template <int kRows>
void add_values(const CachedAttentionArgs& args, const float* values, const float* weights, const float* decay,
                float* const* out, int begin, int end) {
  int64_t d = 0;
  for (; d + 2 * Vec::kWidth <= args.head_dim; d += 2 * Vec::kWidth)
    add_values_at<kRows, 2>(args, values, weights, decay, out, d, begin, end);
  for (; d + Vec::kWidth <= args.head_dim; d += Vec::kWidth)
    add_values_at<kRows, 1>(args, values, weights, decay, out, d, begin, end);
  for (; d < args.head_dim; ++d) {  // a head size that is no multiple of the register
    for (int r = 0; r < kRows; ++r) {
      float sum = out[r][d] * decay[r];
      for (int s = begin; s < end; ++s)
        sum = sum + weights[r * kAttentionPage + s] * values[s * args.head_dim + d];
      out[r][d] = sum;
    }
  }
}

// Rows [row, row + kRows) of the call.
template <int kRows>
void attend(CachedAttentionArgs args, int row) {
  for (int r = 0; r < kRows && row > 0; ++r) {
    args.q[r] = args.q[row + r];
    args.out[r] = args.out[row + r];
    args.first[r] = args.first[row + r];
    args.last[r] = args.last[row + r];
    args.slope[r] = args.slope[row + r];
    args.bias[r] = args.bias[row + r];
  }
  float* weights = args.scratch;
  float maximum[kRows], decay[kRows];
  Vec total[kRows];
  int64_t first = args.first[0], last = args.last[0];
  for (int r = 0; r < kRows; ++r) {
    maximum[r] = -std::numeric_limits<float>::infinity();
    total[r] = Vec::zero();
    first = args.first[r] < first ? args.first[r] : first;
    last = args.last[r] > last ? args.last[r] : last;
    for (int64_t d = 0; d < args.head_dim; ++d) args.out[r][d] = 0;
  }
  for (int64_t page = first / kAttentionPage; page <= last / kAttentionPage; ++page) {
    const int64_t begin = page * kAttentionPage;
    page_scores<kRows>(args, static_cast<const float*>(args.keys[page]), weights);
    for (int r = 0; r < kRows; ++r) {
      if (args.first[r] >= begin + kAttentionPage || args.last[r] < begin) {  // sees nothing of this page
        decay[r] = 1;
        for (int s = 0; s < kAttentionPage; ++s) weights[r * kAttentionPage + s] = 0;
        continue;
      }
      const Vec sum = page_weights<false>(args, r, begin, weights + r * kAttentionPage, maximum[r], decay[r]);
      total[r] = total[r] * Vec::set1(decay[r]) + sum;
    }
    const int64_t from = first > begin ? first - begin : 0;
    const int64_t to = last + 1 - begin < kAttentionPage ? last + 1 - begin : kAttentionPage;
    add_values<kRows>(args, static_cast<const float*>(args.values[page]), weights, decay, args.out, static_cast<int>(from),
                      static_cast<int>(to));
  }
  for (int r = 0; r < kRows; ++r) {
    const float sum = sum_lanes(total[r]), inverse = sum > 0 ? 1 / sum : 0;
    for (int64_t d = 0; d < args.head_dim; ++d) args.out[r][d] = args.out[r][d] * inverse;
  }
}

// As many rows share a pass over the keys as there are registers for their sums.
void cached(const CachedAttentionArgs& args) {
  const int rows = static_cast<int>(args.rows);
  int row = 0;
#if defined(SUMI_AVX512)
  if (rows == 8) return attend<8>(args, 0);
  if (rows >= 6) {
    attend<6>(args, 0);
    row = 6;
  }
#endif
  for (; rows - row >= 4; row += 4) attend<4>(args, row);
  switch (rows - row) {
    case 1: return attend<1>(args, row);
    case 2: return attend<2>(args, row);
    case 3: return attend<3>(args, row);
    default: return;
  }
}

}  // namespace

const AttentionKernels kAttentionKernels = {cached};

}  // namespace sumi::kernels::SUMI_ISA
