#include "diffusion/condition/condition.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/threads.h"
#include "diffusion/condition/slope.h"
#include "formats/image_resize.h"

namespace sumi::diffusion {

using formats::Image;
using formats::Resample;

namespace {

// Weights of a Gaussian out to four sigmas, of sum 1; the first is the middle's.
std::vector<float> gaussian_weights(double sigma) {
  if (!(sigma > 0 && sigma <= 1000))
    fail("sigma: expected more than 0 and at most 1000 pixels, found {}", sigma);
  std::vector<double> values;
  double sum = 0;
  for (int i = 0; i <= static_cast<int>(std::ceil(4 * sigma)); ++i) {
    values.push_back(std::exp(-0.5 * i * i / (sigma * sigma)));
    sum += values.back() * (i == 0 ? 1 : 2);
  }
  std::vector<float> weights;
  for (const double value : values) weights.push_back(static_cast<float>(value / sum));
  return weights;
}

// Rows of floats [height][width * channels], blurred both ways.
std::vector<float> blurred(const Image& image, double sigma) {
  const std::vector<float> weights = gaussian_weights(sigma);
  const int reach = static_cast<int>(weights.size()) - 1;
  const int width = image.width, height = image.height, channels = image.channels;
  const size_t stride = image.row_bytes();
  std::vector<float> across(image.pixels.size()), result(image.pixels.size());
  base::parallel_for(height, 1, [&](int64_t begin, int64_t end) {
    for (int y = static_cast<int>(begin); y < end; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < channels; ++c) {
          const auto pixel = [&](int at) {
            return static_cast<float>(image.row(y)[std::clamp(at, 0, width - 1) * channels + c]);
          };
          float sum = weights[0] * pixel(x);
          for (int k = 1; k <= reach; ++k)
            sum += weights[static_cast<size_t>(k)] * (pixel(x - k) + pixel(x + k));
          across[static_cast<size_t>(y) * stride + static_cast<size_t>(x * channels + c)] = sum;
        }
  });
  base::parallel_for(height, 1, [&](int64_t begin, int64_t end) {
    for (int y = static_cast<int>(begin); y < end; ++y)
      for (int k = -reach; k <= reach; ++k) {
        const float weight = weights[static_cast<size_t>(std::abs(k))];
        const float* source =
            across.data() + static_cast<size_t>(std::clamp(y + k, 0, height - 1)) * stride;
        float* out = result.data() + static_cast<size_t>(y) * stride;
        for (size_t i = 0; i < stride; ++i) out[i] += weight * source[i];
      }
  });
  return result;
}

uint8_t byte_of(float value) {
  return static_cast<uint8_t>(std::clamp(std::lround(value), 0l, 255l));
}

// The value that a share of the values does not exceed.
float percentile(std::vector<float> values, double share) {
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<size_t>(at)];
}

void check_block(int block) {
  if (block < 1 || block > 4096) fail("block: expected 1 to 4096 pixels, found {}", block);
}

Image reduced(const Image& image, int block, Resample resample) {
  check_block(block);
  return formats::resize(image, std::max(image.width / block, 1), std::max(image.height / block, 1),
                         resample);
}

// sqrt of the largest channel's squares, scaled to bytes; ridges only, if asked.
Image edge_strengths(const Slopes& slopes, bool ridges) {
  std::vector<float> sizes;
  for (const int size : slopes.size) sizes.push_back(std::sqrt(static_cast<float>(size)));
  // 16 grey levels of slope at least are white, so that noise of a flat picture stays dark.
  const float scale = 255 / std::max(percentile(sizes, 0.99), 64.0f);
  Image result(slopes.width, slopes.height, 1);
  for (int y = 0; y < slopes.height; ++y)
    for (int x = 0; x < slopes.width; ++x) {
      const size_t at =
          static_cast<size_t>(y) * static_cast<size_t>(slopes.width) + static_cast<size_t>(x);
      if (!ridges || slopes.is_ridge(x, y)) result.pixels[at] = byte_of(sizes[at] * scale);
    }
  return result;
}

}  // namespace

Image gaussian_blur(const Image& image, double sigma) {
  const std::vector<float> values = blurred(image, sigma);
  Image result(image.width, image.height, image.channels);
  std::transform(values.begin(), values.end(), result.pixels.begin(), byte_of);
  return result;
}

Image soft_edges(const Image& image, double sigma) {
  return edge_strengths(sobel(gaussian_blur(image, sigma), true), false);
}

Image line_art(const Image& image, double sigma) {
  const std::vector<float> around = blurred(image, sigma);
  const auto channels = static_cast<size_t>(image.channels);
  std::vector<float> darker(image.pixels.size() / channels), clear;
  for (size_t i = 0; i < darker.size(); ++i) {
    float least = 255;
    for (size_t c = 0; c < channels; ++c)
      least = std::min(
          least, around[i * channels + c] - static_cast<float>(image.pixels[i * channels + c]));
    darker[i] = std::max(least, 0.0f);
    if (darker[i] > 8) clear.push_back(darker[i]);
  }
  const float middle = clear.empty() ? 16.0f : std::max(percentile(clear, 0.5), 16.0f);
  Image result(image.width, image.height, 1);
  for (size_t i = 0; i < darker.size(); ++i) result.pixels[i] = byte_of(darker[i] / middle * 127);
  return result;
}

Image scribble(const Image& image, double sigma) {
  const Image ridges = edge_strengths(sobel(gaussian_blur(image, sigma), true), true);
  Image result(image.width, image.height, 1);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      if (ridges.row(y)[x] < 64) continue;
      for (int ny = std::max(y - 1, 0); ny <= std::min(y + 1, image.height - 1); ++ny)
        for (int nx = std::max(x - 1, 0); nx <= std::min(x + 1, image.width - 1); ++nx)
          result.row(ny)[nx] = 255;
    }
  return result;
}

Image tile(const Image& image, int block) {
  return formats::resize(reduced(image, block, Resample::box), image.width, image.height,
                         Resample::bicubic);
}

Image palette(const Image& image, int block) {
  return formats::resize(reduced(image, block, Resample::bicubic), image.width, image.height,
                         Resample::nearest);
}

const std::vector<std::string>& condition_kinds() {
  static const std::vector<std::string> kinds = {"canny",   "softedge", "lineart", "scribble",
                                                 "tile",    "palette",  "blur"};
  return kinds;
}

formats::Image condition_picture(const std::string& kind, const formats::Image& image,
                                 const ConditionSettings& settings) {
  if (kind == "canny") return canny(image, settings.canny);
  if (kind == "softedge") return soft_edges(image, settings.sigma.value_or(1.5));
  if (kind == "lineart") return line_art(image, settings.sigma.value_or(6));
  if (kind == "scribble") return scribble(image, settings.sigma.value_or(3));
  if (kind == "tile") return tile(image, settings.block.value_or(8));
  if (kind == "palette") return palette(image, settings.block.value_or(64));
  if (kind == "blur") return gaussian_blur(image, settings.sigma.value_or(8));
  fail("condition {}: expected {}", kind, fmt::join(condition_kinds(), ", "));
}

}  // namespace sumi::diffusion
