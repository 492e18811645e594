#include "formats/image_resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include "base/error.h"
#include "base/threads.h"
#include "formats/image_codecs.h"

namespace sumi::formats {

namespace {

// Weights are fixed-point with this many bits after the point: 8 bits of pixel, 2 of headroom, as
// in Pillow, whose results these are.
constexpr int kPrecision = 32 - 8 - 2;

double sinc(double x) {
  if (x == 0) return 1;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double filter_value(Resample resample, double x) {
  switch (resample) {
    case Resample::box:
      return x > -0.5 && x <= 0.5 ? 1 : 0;
    case Resample::bilinear:
      return std::max(1 - std::abs(x), 0.0);
    case Resample::bicubic: {  // Keys' kernel with a = -0.5
      constexpr double a = -0.5;
      x = std::abs(x);
      if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    }
    case Resample::lanczos:
      return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0;
    case Resample::nearest:
      break;
  }
  fail("filter_value: nearest has no filter");
}

double filter_support(Resample resample) {
  switch (resample) {
    case Resample::box:
      return 0.5;
    case Resample::bilinear:
      return 1;
    case Resample::bicubic:
      return 2;
    default:
      return 3;
  }
}

// For each pixel of the result along one axis: the first source pixel and the weights.
struct Taps {
  struct Span {
    int first, count;
  };
  std::vector<Span> spans;
  std::vector<int32_t> weights;  // `stride` for each span
  int stride;
};

Taps taps_for(Resample resample, int from, int to) {
  const double scale = static_cast<double>(from) / to, stretch = std::max(scale, 1.0);
  const double support = filter_support(resample) * stretch;
  Taps taps;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.weights.resize(static_cast<size_t>(to) * static_cast<size_t>(taps.stride));
  std::vector<double> values(static_cast<size_t>(taps.stride));
  for (int i = 0; i < to; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), from) - first;
    double sum = 0;
    for (int k = 0; k < count; ++k) {
      const double value = filter_value(resample, (k + first - center + 0.5) * (1.0 / stretch));
      values[static_cast<size_t>(k)] = value;
      sum += value;
    }
    taps.spans.push_back({first, count});
    int32_t* weights =
        taps.weights.data() + static_cast<size_t>(i) * static_cast<size_t>(taps.stride);
    for (int k = 0; k < count; ++k) {
      const double value = sum != 0 ? values[static_cast<size_t>(k)] / sum : 0;
      weights[k] = static_cast<int32_t>(value * (1 << kPrecision) + (value < 0 ? -0.5 : 0.5));
    }
  }
  return taps;
}

// One byte of the result: the weighted sum of bytes `step` apart.
uint8_t weighted(const uint8_t* source, size_t step, const int32_t* weights, int count) {
  int32_t sum = 1 << (kPrecision - 1);
  for (int k = 0; k < count; ++k) sum += source[static_cast<size_t>(k) * step] * weights[k];
  return static_cast<uint8_t>(std::clamp(sum >> kPrecision, 0, 255));
}

Image resized_rows(const Image& image, int width, Resample resample) {
  const Taps taps = taps_for(resample, image.width, width);
  Image result(width, image.height, image.channels);
  const auto channels = static_cast<size_t>(image.channels);
  base::parallel_for(image.height, 1, [&](int64_t begin, int64_t end) {
    for (int y = static_cast<int>(begin); y < end; ++y)
      for (int x = 0; x < width; ++x) {
        const Taps::Span span = taps.spans[static_cast<size_t>(x)];
        const int32_t* weights =
            taps.weights.data() + static_cast<size_t>(x) * static_cast<size_t>(taps.stride);
        const uint8_t* source = image.row(y) + static_cast<size_t>(span.first) * channels;
        uint8_t* out = result.row(y) + static_cast<size_t>(x) * channels;
        for (size_t c = 0; c < channels; ++c)
          out[c] = weighted(source + c, channels, weights, span.count);
      }
  });
  return result;
}

Image resized_columns(const Image& image, int height, Resample resample) {
  const Taps taps = taps_for(resample, image.height, height);
  Image result(image.width, height, image.channels);
  const size_t step = image.row_bytes();
  base::parallel_for(height, 1, [&](int64_t begin, int64_t end) {
    for (int y = static_cast<int>(begin); y < end; ++y) {
      const Taps::Span span = taps.spans[static_cast<size_t>(y)];
      const int32_t* weights =
          taps.weights.data() + static_cast<size_t>(y) * static_cast<size_t>(taps.stride);
      const uint8_t* source = image.row(span.first);
      for (size_t i = 0; i < step; ++i)
        result.row(y)[i] = weighted(source + i, step, weights, span.count);
    }
  });
  return result;
}

// Source index for each result index; Pillow adds the step up, so the sums round as its do.
std::vector<int> nearest_indices(int from, int to) {
  const double step = static_cast<double>(from) / to;
  std::vector<int> indices;
  double at = step * 0.5;
  for (int i = 0; i < to; ++i, at += step)
    indices.push_back(std::min(static_cast<int>(at), from - 1));
  return indices;
}

Image resized_nearest(const Image& image, int width, int height) {
  const std::vector<int> columns = nearest_indices(image.width, width);
  const std::vector<int> rows = nearest_indices(image.height, height);
  Image result(width, height, image.channels);
  const auto channels = static_cast<size_t>(image.channels);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      std::memcpy(result.row(y) + static_cast<size_t>(x) * channels,
                  image.row(rows[static_cast<size_t>(y)]) +
                      static_cast<size_t>(columns[static_cast<size_t>(x)]) * channels,
                  channels);
  return result;
}

// Half of an even or odd difference, rounded to even as Python's round() does.
int half_to_even(int difference) { return static_cast<int>(std::nearbyint(difference / 2.0)); }

}  // namespace

Image resize(const Image& image, int width, int height, Resample resample) {
  check_image(image, "resize");
  check_image_size(width, height, "resize", {});
  if (resample == Resample::nearest) return resized_nearest(image, width, height);
  Image result = image;
  if (width != image.width) result = resized_rows(result, width, resample);
  if (height != image.height) result = resized_columns(result, height, resample);
  return result;
}

Image crop(const Image& image, int left, int top, int width, int height) {
  check_image(image, "crop");
  if (left < 0 || top < 0 || width < 1 || height < 1 || width > image.width - left ||
      height > image.height - top)
    fail("crop: {} x {} pixels at ({}, {}) do not lie in a picture of {} x {}", width, height, left,
         top, image.width, image.height);
  Image result(width, height, image.channels);
  for (int y = 0; y < height; ++y)
    std::memcpy(
        result.row(y),
        image.row(top + y) + static_cast<size_t>(left) * static_cast<size_t>(image.channels),
        result.row_bytes());
  return result;
}

Image center_crop(const Image& image, int width, int height) {
  return crop(image, half_to_even(image.width - width), half_to_even(image.height - height), width,
              height);
}

}  // namespace sumi::formats
