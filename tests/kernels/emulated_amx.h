// The AMX tiles of kernels/isa/tiles.h in plain C++, after the operation descriptions in Intel's Software Developer's
// Manual. What the shapes do not cover is an abort, as the processor's fault would be.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/half.h"

namespace emulated {

class Tiles {
 public:
  void configure(const uint8_t* config) {
    *this = Tiles();
    for (int i = 0; i < 8; ++i) {
      uint16_t bytes;
      std::memcpy(&bytes, config + 16 + 2 * i, 2);
      tile_[i].bytes = bytes;
      tile_[i].rows = config[48 + i];
      if (bytes > 64 || config[48 + i] > 16) std::abort();
    }
  }
  void zero(int tile) { std::memset(shaped(tile).data, 0, sizeof tile_[tile].data); }
  void load(int tile, const void* from, int64_t stride) {
    Tile& t = shaped(tile);
    zero(tile);
    for (int r = 0; r < t.rows; ++r)
      std::memcpy(t.data[r], static_cast<const char*>(from) + r * stride, static_cast<size_t>(t.bytes));
  }
  void store(int tile, void* to, int64_t stride) {
    const Tile& t = shaped(tile);
    for (int r = 0; r < t.rows; ++r)
      std::memcpy(static_cast<char*>(to) + r * stride, t.data[r], static_cast<size_t>(t.bytes));
  }
  void dot_s8_s8(int sum, int a, int b) {
    each<int32_t>(sum, a, b, [&](int32_t& total, int m, int k, int n) {
      for (int i = 0; i < 4; ++i)
        total += static_cast<int8_t>(tile_[a].data[m][4 * k + i]) * static_cast<int8_t>(tile_[b].data[k][4 * n + i]);
    });
  }
  // First and second products of the pairs are summed apart, from zero (but denormals, which the hardware takes as zero).
  void dot_bf16(int sum, int a, int b) {
    float part[2];
    const int last = tile_[b].rows - 1;
    each<float>(sum, a, b, [&](float& total, int m, int k, int n) {
      if (k == 0) part[0] = part[1] = 0;
      for (int i = 0; i < 2; ++i) {
        uint16_t x, y;
        std::memcpy(&x, &tile_[a].data[m][4 * k + 2 * i], 2);
        std::memcpy(&y, &tile_[b].data[k][4 * n + 2 * i], 2);
        part[i] = std::fma(sumi::base::bf16_to_float(x), sumi::base::bf16_to_float(y), part[i]);
      }
      if (k == last) total += part[0] + part[1];
    });
  }

 private:
  struct Tile {
    int rows = 0, bytes = 0;
    uint8_t data[16][64] = {};
  };
  Tile& shaped(int tile) {
    if (tile_[tile].rows == 0 || tile_[tile].bytes == 0) std::abort();
    return tile_[tile];
  }
  template <class Number, class Add>
  void each(int sum, int a, int b, const Add& add) {
    Tile& c = shaped(sum);
    if (shaped(a).rows != c.rows || shaped(a).bytes != 4 * shaped(b).rows || tile_[b].bytes != c.bytes) std::abort();
    for (int m = 0; m < c.rows; ++m)
      for (int n = 0; n < c.bytes / 4; ++n) {
        Number total;
        std::memcpy(&total, &c.data[m][4 * n], 4);
        for (int k = 0; k < tile_[b].rows; ++k) add(total, m, k, n);
        std::memcpy(&c.data[m][4 * n], &total, 4);
      }
  }
  Tile tile_[8];
};

inline Tiles& tiles() {
  thread_local Tiles tiles;
  return tiles;
}

}  // namespace emulated
