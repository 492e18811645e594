// From scores to weights, for the kernels of attention over pages.
#pragma once

#include <limits>

#include "kernels/attention.h"
#include "kernels/isa/bf16_store.h"
#include "kernels/isa/simd.h"

namespace sumi::kernels::SUMI_ISA {

inline constexpr int kPageVectors = kAttentionPage / Vec::kWidth;

// Turns one row's scores into weights in place: masks, subtracts the running maximum, exponentiates. Returns their
// sums, lane by lane; decay is what earlier sums must be multiplied by. kRounded: the weights are rounded to bf16.
template <bool kRounded>
Vec page_weights(const CachedAttentionArgs& args, int r, int64_t page_begin, float* scores, float& maximum,
                   float& decay) {
  const int64_t lo = args.first[r] - page_begin, hi = args.last[r] - page_begin;
  const float kNone = -std::numeric_limits<float>::infinity();
  if (args.softcap > 0 || args.slope[r] != 0) {
    for (int s = 0; s < kAttentionPage; ++s) {
      if (args.softcap > 0) scores[s] = args.softcap * std::tanh(scores[s] / args.softcap);
      scores[s] = scores[s] + args.slope[r] * static_cast<float>(s - hi);
    }
  }
  if (args.bias[r] != nullptr) {
    const int64_t end = hi + 1 < kAttentionPage ? hi + 1 : kAttentionPage;
    for (int64_t s = lo > 0 ? lo : 0; s < end; ++s) scores[s] = scores[s] + args.bias[r][page_begin + s];
  }
  for (int64_t s = 0; s < lo && s < kAttentionPage; ++s) scores[s] = kNone;
  for (int64_t s = hi + 1; s < kAttentionPage; ++s) scores[s] = kNone;
  Vec largest = Vec::load(scores);
  for (int v = 1; v < kPageVectors; ++v) largest = max(largest, Vec::load(scores + v * Vec::kWidth));
  const float before = maximum;
  const float page_maximum = max_lanes(largest);
  maximum = page_maximum > before ? page_maximum : before;
  decay = maximum == before ? 1 : before == kNone ? 0 : std::exp(before - maximum);
  const Vec shift = Vec::set1(maximum);
  Vec sum = Vec::zero();
  for (int v = 0; v < kPageVectors; ++v) {
    Vec weight = exp(Vec::load(scores + v * Vec::kWidth) - shift);
#if defined(SUMI_BF16)
    if constexpr (kRounded) weight = rounded_to_bf16(weight);
#endif
    weight.store(scores + v * Vec::kWidth);
  }
  for (int64_t s = 0; s < lo && s < kAttentionPage; ++s) scores[s] = 0;
  for (int64_t s = hi + 1; s < kAttentionPage; ++s) scores[s] = 0;
  for (int v = 0; v < kPageVectors; ++v) sum = sum + Vec::load(scores + v * Vec::kWidth);
  return sum;
}

}  // namespace sumi::kernels::SUMI_ISA
