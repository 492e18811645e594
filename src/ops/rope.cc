#include "ops/rope.h"

#include <cmath>
#include <cstring>
#include <memory>
#include <mutex>

#include "ops/common.h"

namespace sumi::ops {
namespace {

constexpr double kPi = 3.14159265358979323846;

// YaRN's blend of interpolated and extrapolated frequencies, arXiv:2309.00071, in the precision of
// transformers' _compute_yarn_parameters (range in double, frequencies in float).
void scale_yarn(const RopeOptions& o, std::vector<float>& inverse) {
  const double dim = static_cast<double>(o.rotary_dim);
  // The pair whose wave turns `rotations` times within the original context.
  const auto correction = [&](double rotations) {
    return dim * std::log(static_cast<double>(o.original_max_positions) / (rotations * 2 * kPi)) /
           (2 * std::log(o.theta));
  };
  double low = correction(o.beta_fast), high = correction(o.beta_slow);
  if (o.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inverse.size(); ++i) {
    const float ramp =
        std::clamp(static_cast<float>((static_cast<double>(i) - low) / (high - low)), 0.0f, 1.0f);
    const float period = 1 / inverse[i];
    const float interpolated = 1 / (static_cast<float>(o.factor) * period);
    const float keep = 1 - ramp;
    inverse[i] = interpolated * (1 - keep) + inverse[i] * keep;
  }
}

float yarn_magnitude(const RopeOptions& o) {
  if (o.attention_factor != 0) return static_cast<float>(o.attention_factor);
  const auto magnitude = [&](double mscale) {
    return o.factor <= 1 ? 1.0 : 0.1 * mscale * std::log(o.factor) + 1;
  };
  if (o.mscale != 0 && o.mscale_all_dim != 0)
    return static_cast<float>(magnitude(o.mscale) / magnitude(o.mscale_all_dim));
  return static_cast<float>(magnitude(1));
}

// transformers' _compute_longrope_parameters.
void scale_longrope(const RopeOptions& o, int64_t max_position, RopeFrequencies& f) {
  const std::vector<float>& factors =
      max_position > o.original_max_positions ? o.long_factors : o.short_factors;
  for (size_t i = 0; i < f.inverse.size(); ++i) {
    const float period = 1 / f.inverse[i];
    f.inverse[i] = 1 / (factors[i] * period);
  }
  if (o.attention_factor != 0)
    f.magnitude = static_cast<float>(o.attention_factor);
  else if (o.factor > 1)
    f.magnitude = static_cast<float>(std::sqrt(
        1 + std::log(o.factor) / std::log(static_cast<double>(o.original_max_positions))));
}

// Long waves are stretched by factor, short ones kept, those between blended: transformers'
// _compute_llama3_parameters.
void scale_llama3(const RopeOptions& o, std::vector<float>& inverse) {
  const double original = static_cast<double>(o.original_max_positions);
  const double longest = original / o.low_freq_factor, shortest = original / o.high_freq_factor;
  for (float& frequency : inverse) {
    const float wave = static_cast<float>(2 * kPi) / frequency;
    if (wave < shortest) continue;
    const float stretched = frequency / static_cast<float>(o.factor);
    if (wave > longest) {
      frequency = stretched;
    } else {
      const float smooth =
          (static_cast<float>(original) / wave - static_cast<float>(o.low_freq_factor)) /
          static_cast<float>(o.high_freq_factor - o.low_freq_factor);
      frequency = (1 - smooth) * frequency / static_cast<float>(o.factor) + smooth * frequency;
    }
  }
}

void check_options(const RopeOptions& o) {
  if (o.rotary_dim <= 0 || o.rotary_dim % 2 != 0)
    fail("rope: rotary_dim is {}, expected an even number", o.rotary_dim);
  if (!(o.theta > 0) || !std::isfinite(o.theta))
    fail("rope: theta is {}, expected a positive number", o.theta);
  if (o.scaling != RopeScaling::none && !(o.factor > 0))
    fail("rope: factor is {}, expected a positive number", o.factor);
  if (o.scaling >= RopeScaling::dynamic && o.original_max_positions <= 0)
    fail("rope: original_max_positions is {}, expected a positive number",
         o.original_max_positions);
  if (o.scaling == RopeScaling::dynamic && o.rotary_dim <= 2)
    fail("rope: dynamic scaling needs rotary_dim above 2, found {}", o.rotary_dim);
  if (o.scaling == RopeScaling::llama3 &&
      !(o.low_freq_factor > 0 && o.high_freq_factor > o.low_freq_factor))
    fail("rope: low_freq_factor {} and high_freq_factor {}, expected 0 < low < high",
         o.low_freq_factor, o.high_freq_factor);
  if (o.scaling == RopeScaling::yarn && !(o.beta_fast > 0 && o.beta_slow > 0 && o.theta != 1))
    fail(
        "rope: beta_fast {}, beta_slow {}, theta {}, expected positive betas and theta other than "
        "1",
        o.beta_fast, o.beta_slow, o.theta);
  if (o.scaling == RopeScaling::longrope &&
      (static_cast<int64_t>(o.short_factors.size()) != o.rotary_dim / 2 ||
       o.short_factors.size() != o.long_factors.size()))
    fail("rope: {} short and {} long factors, expected {}", o.short_factors.size(),
         o.long_factors.size(), o.rotary_dim / 2);
  if (!o.frequency_factors.empty() &&
      static_cast<int64_t>(o.frequency_factors.size()) != o.rotary_dim / 2)
    fail("rope: {} frequency factors, expected {}", o.frequency_factors.size(), o.rotary_dim / 2);
}

// cos and sin, times magnitude, of positions 0 .. count - 1: row p is [cos x half][sin x half].
struct Table {
  RopeFrequencies frequencies;
  int64_t count = 0;
  std::shared_ptr<const std::vector<float>> values;
};

constexpr size_t kMostTables = 4;  // kept, oldest dropped: models rarely use more than two
constexpr int64_t kLargestTable = int64_t{1} << 23;  // floats; beyond, rows are computed each time

// A position's row; in float throughout, as transformers does.
void fill_row(const RopeFrequencies& f, float position, float* row) {
  const size_t half = f.inverse.size();
  for (size_t i = 0; i < half; ++i) {
    const float angle = position * f.inverse[i];
    row[i] = std::cos(angle) * f.magnitude;
    row[half + i] = std::sin(angle) * f.magnitude;
  }
}

// The table for these frequencies with at least `count` rows, or null if that would be too large,
// or not worth making for `uses` rows (dynamic scaling has new frequencies at each step).
std::shared_ptr<const std::vector<float>> table(const RopeFrequencies& f, int64_t count,
                                                int64_t uses) {
  static std::mutex mutex;
  static std::vector<Table> tables;
  const auto row = static_cast<int64_t>(2 * f.inverse.size());
  if (count > kLargestTable / row) return nullptr;
  const std::lock_guard lock(mutex);
  Table* found = nullptr;
  for (Table& t : tables)
    if (t.frequencies.magnitude == f.magnitude && t.frequencies.inverse == f.inverse) found = &t;
  if (!found) {
    if (count > 8 * uses + 256) return nullptr;
    if (tables.size() == kMostTables) tables.erase(tables.begin());
    tables.push_back({f, 0, nullptr});
    found = &tables.back();
  }
  if (found->count < count) {
    const int64_t grown =
        std::min(std::max({count, 2 * found->count, int64_t{256}}), kLargestTable / row);
    auto values = std::make_shared<std::vector<float>>(static_cast<size_t>(grown * row));
    if (found->values) std::copy(found->values->begin(), found->values->end(), values->begin());
    for (int64_t p = found->count; p < grown; ++p)
      fill_row(f, static_cast<float>(p), values->data() + p * row);
    found->values = std::move(values);
    found->count = grown;
  }
  return found->values;
}

struct Heads {
  int64_t tokens, heads, size, period;  // period: positions repeat after so many tokens
};

// Turns forward, or back if `inverse`.
Tensor turn(const Tensor& x, const int32_t* positions, const Heads& h, const RopeFrequencies& f,
            RopePairs pairs, bool inverse) {
  Tensor out = Tensor::empty(x.shape());
  const auto half = static_cast<int64_t>(f.inverse.size());
  int32_t last = 0;
  for (int64_t t = 0; t < h.period; ++t) last = std::max(last, positions[t]);
  const auto rows = table(f, int64_t{last} + 1, h.period);
  const auto kernel =
      pairs == RopePairs::halves ? elementwise().rope_halves : elementwise().rope_neighbours;
  const float* from = x.f32();
  float* to = out.f32();
  for_rows(h.tokens, h.heads * h.size, [&](int64_t begin, int64_t end) {
    std::vector<float> own(rows && !inverse ? 0 : static_cast<size_t>(2 * half));  // one row
    for (int64_t t = begin; t < end; ++t) {
      const int32_t position = positions[t % h.period];
      const float* angles = rows ? rows->data() + position * 2 * half : own.data();
      if (!rows) fill_row(f, static_cast<float>(position), own.data());
      if (inverse) {
        for (int64_t i = 0; i < half; ++i) {
          own[static_cast<size_t>(i)] = angles[i];
          own[static_cast<size_t>(half + i)] = -angles[half + i];
        }
        angles = own.data();
      }
      for (int64_t i = 0; i < h.heads; ++i) {
        const int64_t offset = (t * h.heads + i) * h.size;
        kernel(from + offset, angles, angles + half, to + offset, half);
        if (2 * half < h.size)
          std::memcpy(to + offset + 2 * half, from + offset + 2 * half,
                      static_cast<size_t>(h.size - 2 * half) * sizeof(float));
      }
    }
  });
  return out;
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeOptions& o, int64_t max_position) {
  check_options(o);
  const double dim = static_cast<double>(o.rotary_dim);
  double theta = o.theta;
  if (o.scaling == RopeScaling::dynamic) {
    const double original = static_cast<double>(o.original_max_positions);
    const double length = std::max(static_cast<double>(max_position), original);
    theta *= std::pow(o.factor * length / original - (o.factor - 1), dim / (dim - 2));
  }
  RopeFrequencies result;
  for (int64_t i = 0; i < o.rotary_dim; i += 2) {
    const float exponent = static_cast<float>(i) / static_cast<float>(dim);
    result.inverse.push_back(1 / std::pow(static_cast<float>(theta), exponent));
  }
  switch (o.scaling) {
    case RopeScaling::none:
    case RopeScaling::dynamic:
      break;
    case RopeScaling::linear:
      for (float& frequency : result.inverse) frequency /= static_cast<float>(o.factor);
      break;
    case RopeScaling::llama3:
      scale_llama3(o, result.inverse);
      break;
    case RopeScaling::yarn:
      scale_yarn(o, result.inverse);
      result.magnitude = yarn_magnitude(o);
      break;
    case RopeScaling::longrope:
      scale_longrope(o, max_position, result);
      break;
  }
  for (size_t i = 0; i < o.frequency_factors.size(); ++i)
    result.inverse[i] /= o.frequency_factors[i];
  return result;
}

Tensor rope(const Tensor& x, const Tensor& positions, const RopeFrequencies& frequencies,
            RopePairs pairs) {
  check_f32("rope", "x", x);
  if (x.dim() != 4) fail("rope: x has shape {}, expected [B, T, H, D]", shape_string(x.shape()));
  const int64_t batch = x.size(0), length = x.size(1);
  const Shape one{length}, each{batch, length};
  if (!positions.defined() || positions.dtype() != DType::i32 ||
      (positions.shape() != one && positions.shape() != each))
    fail("rope: positions {}, expected i32 {} or {}",
         positions.defined() ? std::string(tensor::dtype_name(positions.dtype())) + " " +
                                   shape_string(positions.shape())
                             : "are undefined",
         shape_string(one), shape_string(each));
  if (2 * static_cast<int64_t>(frequencies.inverse.size()) > x.size(3))
    fail("rope: {} frequencies for heads of size {}", frequencies.inverse.size(), x.size(3));
  const int32_t* p = positions.data<int32_t>();
  for (int64_t i = 0; i < positions.numel(); ++i)
    if (p[i] < 0) fail("rope: position {} at {} is negative", p[i], i);
  const Heads heads{batch * length, x.size(2), x.size(3), positions.numel()};
  if (heads.tokens == 0) return Tensor::empty(x.shape());
  Tensor out = turn(x, p, heads, frequencies, pairs, false);
  if (needs_record({&x}))
    record(out, "rope", {x},
           [positions, heads, frequencies, pairs](const Tensor& g) -> std::vector<Tensor> {
             return {turn(g, positions.data<int32_t>(), heads, frequencies, pairs, true)};
           });
  return out;
}

}  // namespace sumi::ops
