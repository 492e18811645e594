#include "ops/token_merging.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/half.h"
#include "ops/bf16.h"
#include "ops/common.h"
#include "ops/linear.h"

namespace sumi::ops {

namespace {

// Which of a block's four pixels is the destination: a grid of equal places would leave a pattern.
int64_t place_in_block(int64_t row, int64_t column) {
  uint32_t mixed = static_cast<uint32_t>(row) * 0x9e3779b1u ^ static_cast<uint32_t>(column) * 0x85ebca6bu;
  mixed ^= mixed >> 15;
  mixed *= 0x2c1b3c6du;
  return mixed >> 30;
}

struct Sides {
  std::vector<int32_t> sources, destinations;  // tokens, in rising order
};

Sides sides_of(int64_t height, int64_t width) {
  Sides sides;
  for (int64_t y = 0; y < height; ++y)
    for (int64_t x = 0; x < width; ++x) {
      const bool whole = y / 2 * 2 + 1 < height && x / 2 * 2 + 1 < width;  // its block is in the picture
      const bool chosen = whole && place_in_block(y / 2, x / 2) == y % 2 * 2 + x % 2;
      (chosen ? sides.destinations : sides.sources).push_back(static_cast<int32_t>(y * width + x));
    }
  return sides;
}

// sum += the row that begins at element `at` of x.
void add_row(const std::byte* x, bool bf16, int64_t at, std::vector<float>& sum) {
  if (bf16)
    for (size_t c = 0; c < sum.size(); ++c)
      sum[c] += base::bf16_to_float(reinterpret_cast<const uint16_t*>(x)[at + static_cast<int64_t>(c)]);
  else
    for (size_t c = 0; c < sum.size(); ++c) sum[c] += reinterpret_cast<const float*>(x)[at + static_cast<int64_t>(c)];
}

// The rows of these tokens of a picture of x [B, N, C] f32, each divided by its length.
Tensor directions(const Tensor& x, int64_t picture, const std::vector<int32_t>& tokens) {
  const int64_t channels = x.size(2);
  Tensor y = Tensor::empty({static_cast<int64_t>(tokens.size()), channels});
  const float* from = x.f32() + picture * x.size(1) * channels;
  for_rows(y.size(0), channels, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = from + tokens[static_cast<size_t>(r)] * channels;
      const float squares = elementwise().dot(row, row, channels);
      elementwise().scale(row, squares > 0 ? 1 / std::sqrt(squares) : 0, y.f32() + r * channels, channels);
    }
  });
  return y;
}

struct Match {
  int32_t destination = 0;  // index among the destinations
  float cosine = 0;
};

// The most similar destination of each source.
std::vector<Match> matches(const Tensor& sources, const Tensor& destinations, Products products) {
  std::vector<Match> best(static_cast<size_t>(sources.size(0)));
  constexpr int64_t kRows = 1024;  // of cosines at a time
  for (int64_t first = 0; first < sources.size(0); first += kRows) {
    const int64_t count = std::min(kRows, sources.size(0) - first), width = destinations.size(0);
    const Tensor cosines = linear(sources.rows(first, count), destinations, {}, products);
    for_rows(count, width, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const float* row = cosines.f32() + r * width;
        const float most = elementwise().maximum(row, width);
        const auto at = static_cast<int32_t>(std::find(row, row + width, most) - row);
        best[static_cast<size_t>(first + r)] = {std::min(at, static_cast<int32_t>(width - 1)), most};
      }
    });
  }
  return best;
}

}  // namespace

std::vector<int32_t> TokenMerging::destinations(int64_t height, int64_t width) {
  return sides_of(height, width).destinations;
}

TokenMerging::TokenMerging(const Tensor& x, int64_t height, int64_t width, double ratio) {
  if (!is_bf16(x)) check_f32("token merging", "x", x);
  if (x.dim() != 3 || height < 1 || width < 1 || x.size(1) != height * width)
    fail("token merging: x {}, expected [B, {}, C]", shape_string(x.shape()), height * width);
  if (!(ratio >= 0 && ratio <= 0.75)) fail("token merging: a ratio of {}, expected 0 to 0.75", ratio);
  if (needs_record({&x})) fail("token merging: no gradient is known");
  batch_ = x.size(0);
  all_ = height * width;
  const Sides sides = sides_of(height, width);
  const auto sources = static_cast<int64_t>(sides.sources.size());
  const int64_t merged = sides.destinations.empty()
                             ? 0
                             : std::min(sources, static_cast<int64_t>(ratio * static_cast<double>(all_)));
  tokens_ = all_ - merged;
  rows_.resize(static_cast<size_t>(batch_ * all_));
  const Tensor wide = widen(x);
  for (int64_t b = 0; b < batch_; ++b) {
    int32_t* rows = rows_.data() + b * all_;
    std::fill_n(rows, all_, -1);
    std::vector<Match> best;
    std::vector<int32_t> order(static_cast<size_t>(sources));
    if (merged > 0)
      best = matches(directions(wide, b, sides.sources), directions(wide, b, sides.destinations),
                     is_bf16(x) ? Products::bf16 : Products::f32);
    std::iota(order.begin(), order.end(), 0);
    if (merged > 0)
      std::stable_sort(order.begin(), order.end(), [&](int32_t i, int32_t j) {
        return best[static_cast<size_t>(i)].cosine > best[static_cast<size_t>(j)].cosine;
      });
    for (int64_t i = 0; i < merged; ++i)  // for the moment: -2 - the destination
      rows[sides.sources[static_cast<size_t>(order[static_cast<size_t>(i)])]] =
          -2 - sides.destinations[static_cast<size_t>(best[static_cast<size_t>(order[static_cast<size_t>(i)])].destination)];
    int32_t next = 0;
    for (int64_t t = 0; t < all_; ++t)
      if (rows[t] == -1) rows[t] = next++;
    for (int64_t t = 0; t < all_; ++t)
      if (rows[t] < 0) rows[t] = rows[-2 - rows[t]];
  }
}

Tensor TokenMerging::merge(const Tensor& x) const {
  const int64_t channels = x.dim() == 3 ? x.size(2) : 0;
  if (x.shape() != Shape{batch_, all_, channels})
    fail("token merging: x {}, expected [{}, {}, C]", shape_string(x.shape()), batch_, all_);
  const bool bf16 = is_bf16(x);
  Tensor y = Tensor::empty({batch_, tokens_, channels}, x.dtype());
  for (int64_t b = 0; b < batch_; ++b) {
    const int32_t* rows = rows_.data() + b * all_;
    // Group r's tokens are members[begins[r]] up to members[begins[r + 1]], in rising order.
    std::vector<int64_t> begins(static_cast<size_t>(tokens_ + 1), 0);
    for (int64_t t = 0; t < all_; ++t) ++begins[static_cast<size_t>(rows[t] + 1)];
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    std::vector<int64_t> members(static_cast<size_t>(all_)), next = begins;
    for (int64_t t = 0; t < all_; ++t) members[static_cast<size_t>(next[static_cast<size_t>(rows[t])]++)] = t;
    const int64_t size = bf16 ? 2 : 4;
    const std::byte* from = x.bytes() + b * all_ * channels * size;
    std::byte* to = y.bytes() + b * tokens_ * channels * size;
    for_rows(tokens_, channels, [&](int64_t first, int64_t end) {
      std::vector<float> sum(static_cast<size_t>(channels));
      for (int64_t r = first; r < end; ++r) {
        const int64_t begin = begins[static_cast<size_t>(r)], count = begins[static_cast<size_t>(r + 1)] - begin;
        if (count == 1) {
          std::memcpy(to + r * channels * size, from + members[static_cast<size_t>(begin)] * channels * size,
                      static_cast<size_t>(channels * size));
          continue;
        }
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (int64_t m = begin; m < begin + count; ++m)
          add_row(from, bf16, members[static_cast<size_t>(m)] * channels, sum);
        for (int64_t c = 0; c < channels; ++c) {
          const float mean = sum[static_cast<size_t>(c)] / static_cast<float>(count);
          if (bf16)
            reinterpret_cast<uint16_t*>(to)[r * channels + c] = base::float_to_bf16(mean);
          else
            reinterpret_cast<float*>(to)[r * channels + c] = mean;
        }
      }
    });
  }
  return y;
}

Tensor TokenMerging::unmerge(const Tensor& y) const {
  const int64_t channels = y.dim() == 3 ? y.size(2) : 0;
  if (y.shape() != Shape{batch_, tokens_, channels})
    fail("token merging: {}, expected [{}, {}, C]", shape_string(y.shape()), batch_, tokens_);
  Tensor out = Tensor::empty({batch_, all_, channels}, y.dtype());
  const int64_t row_bytes = channels * (is_bf16(y) ? 2 : 4);
  for_rows(batch_ * all_, channels, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      std::memcpy(out.bytes() + t * row_bytes,
                  y.bytes() + (t / all_ * tokens_ + rows_[static_cast<size_t>(t)]) * row_bytes,
                  static_cast<size_t>(row_bytes));
  });
  return out;
}

}  // namespace sumi::ops
