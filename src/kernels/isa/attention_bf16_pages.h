// Softmax attention over pages of keys and values in bf16 with a running maximum (arXiv:2205.14135): what kernels with
// tiles and with vectors have in common, the walk over pages. Queries and weights are rounded to bf16. Every query goes
// through whole pages in rising order, whichever rows share the call.
#pragma once

#include "kernels/isa/attention_page.h"
#include "kernels/isa/simd_int.h"

#if defined(SUMI_BF16)

namespace sumi::kernels::SUMI_ISA {

// The rows of a call: where their scores, weights and results are, and how far they got.
class Bf16PageRows {
 public:
  // Uses args.scratch; from rest() on it is the kernel's.
  explicit Bf16PageRows(const CachedAttentionArgs& args)
      : args_(args),
        keys_size_(attention_keys_size(args.head_dim)),
        values_size_(attention_values_size(args.head_dim)),
        first_(args.first[0]),
        last_(args.last[0]),
        weights_(args.scratch),
        out_(weights_ + kAttentionRows * kAttentionPage) {
    std::memset(out_, 0, static_cast<size_t>(kAttentionRows * values_size_) * sizeof(float));
    for (int r = 0; r < args.rows; ++r) {
      maximum_[r] = -std::numeric_limits<float>::infinity();
      total_[r] = Vec::zero();
      first_ = args.first[r] < first_ ? args.first[r] : first_;
      last_ = args.last[r] > last_ ? args.last[r] : last_;
    }
  }

  int rows() const { return static_cast<int>(args_.rows); }
  int64_t keys_size() const { return keys_size_; }
  int64_t values_size() const { return values_size_; }
  float* weights(int r) const { return weights_ + r * kAttentionPage; }  // scores before
  float* out(int r) const { return out_ + r * values_size_; }
  float* rest() const { return out_ + kAttentionRows * values_size_; }

  // scores(keys): of all rows with a page's keys. add_values(values, begin, end, next_keys): adds weights times values to
  // out, of which only positions [begin, end) of the page have weights; next_keys are those of the next page, or null.
  template <class Scores, class AddValues>
  void pages(const Scores& scores, const AddValues& add_values) {
    for (int64_t page = first_ / kAttentionPage; page <= last_ / kAttentionPage; ++page) {
      scores(static_cast<const uint16_t*>(args_.keys[page]));
      const int64_t begin = page * kAttentionPage;
      for (int r = 0; r < rows(); ++r) weigh(r, begin);
      add_values(static_cast<const uint16_t*>(args_.values[page]), first_ > begin ? first_ - begin : 0,
                 last_ + 1 - begin < kAttentionPage ? last_ + 1 - begin : kAttentionPage,
                 page < last_ / kAttentionPage ? static_cast<const uint16_t*>(args_.keys[page + 1]) : nullptr);
    }
    for (int r = 0; r < rows(); ++r) {
      const float sum = sum_lanes(total_[r]), inverse = sum > 0 ? 1 / sum : 0;
      for (int64_t d = 0; d < args_.head_dim; ++d) args_.out[r][d] = out(r)[d] * inverse;
    }
  }

 private:
  // Turns a row's scores with the page from position `begin` on into weights.
  void weigh(int r, int64_t begin) {
    if (args_.first[r] >= begin + kAttentionPage || args_.last[r] < begin) {  // sees nothing of this page
      std::memset(weights(r), 0, kAttentionPage * sizeof(float));
      return;
    }
    float decay = 1;
    const Vec sum = page_weights<true>(args_, r, begin, weights(r), maximum_[r], decay);
    total_[r] = total_[r] * Vec::set1(decay) + sum;
    if (decay == 1) return;
    for (int64_t d = 0; d < values_size_; d += Vec::kWidth)
      (Vec::load(out(r) + d) * Vec::set1(decay)).store(out(r) + d);
  }

  const CachedAttentionArgs& args_;
  int64_t keys_size_, values_size_, first_, last_;
  float *weights_, *out_;
  float maximum_[kAttentionRows];
  Vec total_[kAttentionRows];
};

}  // namespace sumi::kernels::SUMI_ISA

#endif
