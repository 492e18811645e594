#include "models/diffusion/tiling.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace sumi::models {

namespace {

// Rows [y, y + height) and columns [x, x + width) of a picture [B, H, W, C].
Tensor cut(const Tensor& picture, int64_t y, int64_t x, int64_t height, int64_t width) {
  const int64_t batch = picture.size(0), rows = picture.size(1), columns = picture.size(2),
                channels = picture.size(3);
  Tensor part = Tensor::empty({batch, height, width, channels});
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t r = 0; r < height; ++r)
      std::memcpy(part.f32() + (b * height + r) * width * channels,
                  picture.f32() + ((b * rows + y + r) * columns + x) * channels,
                  static_cast<size_t>(width * channels) * sizeof(float));
  return part;
}

// The other way round.
void paste(const Tensor& part, Tensor& picture, int64_t y, int64_t x, int64_t height,
           int64_t width) {
  const int64_t channels = part.size(3);
  for (int64_t b = 0; b < part.size(0); ++b)
    for (int64_t r = 0; r < height; ++r)
      std::memcpy(picture.f32() +
                      ((b * picture.size(1) + y + r) * picture.size(2) + x) * channels,
                  part.f32() + (b * part.size(1) + r) * part.size(2) * channels,
                  static_cast<size_t>(width * channels) * sizeof(float));
}

// The first `extent` rows (or columns) of `tile` fade in over the last ones of `before`.
void blend(const Tensor& before, Tensor& tile, int64_t extent, bool rows) {
  const int64_t axis = rows ? 1 : 2;
  extent = std::min({extent, before.size(axis), tile.size(axis)});
  const int64_t height = rows ? extent : std::min(tile.size(1), before.size(1));
  const int64_t width = rows ? std::min(tile.size(2), before.size(2)) : extent;
  const int64_t channels = tile.size(3);
  for (int64_t b = 0; b < tile.size(0); ++b)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) {
        const float share = static_cast<float>(rows ? y : x) / static_cast<float>(extent);
        const int64_t from_y = rows ? before.size(1) - extent + y : y;
        const int64_t from_x = rows ? x : before.size(2) - extent + x;
        const float* from =
            before.f32() + ((b * before.size(1) + from_y) * before.size(2) + from_x) * channels;
        float* to = tile.f32() + ((b * tile.size(1) + y) * tile.size(2) + x) * channels;
        for (int64_t c = 0; c < channels; ++c) to[c] = from[c] * (1 - share) + to[c] * share;
      }
}

}  // namespace

Tensor in_tiles(const Tensor& x, const TilesIn& in, const TilesOut& out,
                const std::function<Tensor(const Tensor&)>& network) {
  const int64_t height = x.size(1), width = x.size(2);
  std::vector<Tensor> above, row;  // tiles after blending; only one row of tiles is kept
  // Each row of tiles gives a strip; strips lie under one another.
  std::vector<Tensor> strips;
  for (int64_t y = 0; y < height; y += in.stride) {
    row.clear();
    int64_t strip_width = 0;
    for (int64_t left = 0; left < width; left += in.stride) {
      Tensor tile = network(cut(x, y, left, std::min(in.size, height - y),
                                std::min(in.size, width - left)));
      if (!above.empty()) blend(above[row.size()], tile, out.overlap, true);
      if (!row.empty()) blend(row.back(), tile, out.overlap, false);
      strip_width += std::min(out.stride, tile.size(2));
      row.push_back(std::move(tile));
    }
    const int64_t strip_height = std::min(out.stride, row[0].size(1));
    Tensor strip = Tensor::empty({x.size(0), strip_height, strip_width, row[0].size(3)});
    int64_t left = 0;
    for (const Tensor& tile : row) {
      const int64_t kept = std::min(out.stride, tile.size(2));
      paste(tile, strip, 0, left, strip_height, kept);
      left += kept;
    }
    strips.push_back(std::move(strip));
    above = row;
  }
  int64_t rows = 0;
  for (const Tensor& strip : strips) rows += strip.size(1);
  Tensor all = Tensor::empty({x.size(0), rows, strips[0].size(2), strips[0].size(3)});
  int64_t top = 0;
  for (const Tensor& strip : strips) {
    paste(strip, all, top, 0, strip.size(1), strip.size(2));
    top += strip.size(1);
  }
  return all;
}

}  // namespace sumi::models
