#include "kernels/eight_bit.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(EightBitKernels, kEightBit)

namespace {

// The numbers of exponent i of 0 ... 6 lie in [10^(i - 6) / 10, 10^(i - 6)]: the middles of as many
// equal pieces as the bits left allow.
std::array<float, 256> make_values(bool is_signed) {
  std::vector<float> values = {0, 1};
  for (int i = 0; i < kEightBitDecades; ++i) {
    const int pieces = eight_bit_pieces(i, is_signed);
    const double scale = std::pow(10.0, i - 6), width = 0.9 / pieces;
    for (int j = 0; j < pieces; ++j) {
      const auto value = static_cast<float>(scale * (0.1 + (j + 0.5) * width));
      values.push_back(value);
      if (is_signed) values.push_back(-value);
    }
  }
  std::sort(values.begin(), values.end());
  std::array<float, 256> out{};
  std::copy(values.begin(), values.end(), out.begin());
  return out;
}

// Where to begin looking for a value: by the leading bits of its float, which grow with it.
// Between two of those lie at most kSteps codes: the search has no branches to mispredict.
constexpr int kShift = 17, kLeading = (0x3f800000 >> kShift) + 1;  // up to 1.0
constexpr int kSteps = 2;
struct Finder {
  std::array<float, 256> values, middles;  // middles[i]: between value i and i + 1
  std::array<std::array<uint8_t, kLeading>, 2> first;  // [negative][leading bits]: the lowest code

  explicit Finder(bool is_signed) : values(make_values(is_signed)), middles{}, first{} {
    for (size_t i = 0; i + 1 < 256; ++i) middles[i] = (values[i] + values[i + 1]) / 2;
    middles[255] = INFINITY;
    for (int leading = 0; leading < kLeading; ++leading) {
      const float low = std::bit_cast<float>(static_cast<uint32_t>(leading) << kShift);
      const float high = std::bit_cast<float>((static_cast<uint32_t>(leading + 1) << kShift) - 1);
      first[0][static_cast<size_t>(leading)] = search(low);
      first[1][static_cast<size_t>(leading)] = search(-high);
      if (search(high) > search(low) + kSteps || search(-low) > search(-high) + kSteps)
        fail("8-bit numbers: more than {} codes begin with the bits of {}", kSteps, low);
    }
  }
  uint8_t search(float value) const {
    return static_cast<uint8_t>(std::lower_bound(middles.begin(), middles.end() - 1, value) -
                                middles.begin());
  }
  uint8_t find(float value) const {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t leading = std::min<uint32_t>((bits & 0x7fffffff) >> kShift, kLeading - 1);
    int code = first[bits >> 31][leading];
    for (int i = 0; i < kSteps; ++i) code += middles[static_cast<size_t>(code)] < value ? 1 : 0;
    return static_cast<uint8_t>(code);
  }
};

const Finder& finder(bool is_signed) {
  static const Finder with_sign(true), without(false);
  return is_signed ? with_sign : without;
}

}  // namespace

const std::array<float, 256>& eight_bit_values(bool is_signed) { return finder(is_signed).values; }

uint8_t nearest_eight_bit(float value, bool is_signed) { return finder(is_signed).find(value); }

const EightBitKernels& eight_bit_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA(kEightBit, isa); }

const EightBitKernels& eight_bit_kernels() {
  static const EightBitKernels& kernels = eight_bit_kernels_for(base::active_isa());
  return kernels;
}

}  // namespace sumi::kernels
