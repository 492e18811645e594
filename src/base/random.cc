#include "base/random.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/half.h"

namespace sumi::base {

namespace {

// 24 random bits of 32 as a number in [0, 1).
float uniform(uint32_t bits) { return static_cast<float>(bits & 0xffffff) * 0x1p-24f; }

// torch draws f32 normals eight at a time with the polynomials of the Cephes library (S. L.
// Moshier: logf, sinf, cosf). The last digits depend on which products are fused into the sums that
// follow; every std::fma below is one that torch's build has.

// ln(x) for a normal x in (0, 1].
float cephes_log(float x) {
  constexpr float kCoefficients[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f,
                                     -1.2420140846e-1f, 1.4249322787e-1f,  -1.6668057665e-1f,
                                     2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;
  int exponent;
  float m = std::frexp(x, &exponent) - 1.0f;  // x = (m + 1) 2^exponent
  if (m + 1.0f < std::numbers::sqrt2_v<float> / 2) {
    --exponent;
    m = m + (m + 1.0f);
  }
  const float e = static_cast<float>(exponent), square = m * m;
  float p = kCoefficients[0];
  for (int i = 1; i < 9; ++i) p = std::fma(p, m, kCoefficients[i]);
  float tail = std::fma(p * m, square, e * kLn2Low);
  tail = std::fma(square, -0.5f, tail);
  return std::fma(e, kLn2High, m + tail);
}

// Sine and cosine of x in [0, 8192).
std::pair<float, float> cephes_sin_cos(float x) {
  constexpr float kFourOverPi = 1.27323954473516f;
  const int octant = (static_cast<int>(x * kFourOverPi) + 1) & ~1;
  const float y = static_cast<float>(octant);
  // pi/4 in three parts, so that x - y pi/4 keeps its digits
  x = std::fma(y, -0.78515625f, x);
  x = std::fma(y, -2.4187564849853515625e-4f, x);
  x = std::fma(y, -3.77489497744594108e-8f, x);
  const float square = x * x;
  float c = std::fma(2.443315711809948e-5f, square, -1.388731625493765e-3f);
  c = std::fma(c, square, 4.166664568298827e-2f);
  c = std::fma(c * square, square, -0.5f * square) + 1.0f;
  float s = std::fma(-1.9515295891e-4f, square, 8.3321608736e-3f);
  s = std::fma(s, square, -1.6666654611e-1f);
  s = std::fma(s * square, x, x);
  if (octant & 2) std::swap(s, c);
  return {octant & 4 ? -s : s, (octant - 2) & 4 ? c : -c};
}

// Box-Muller over 16 uniform numbers: eight radii, then eight angles, become eight cosines, then
// eight sines.
void normal_16(float* data) {
  for (int i = 0; i < 8; ++i) {
    const float radius = std::sqrt(-2.0f * cephes_log(1.0f - data[i]));
    const auto [sine, cosine] =
        cephes_sin_cos(static_cast<float>(2 * std::numbers::pi) * data[i + 8]);
    data[i] = radius * cosine + 0.0f;  // -0 becomes 0
    data[i + 8] = radius * sine + 0.0f;
  }
}

// What torch.Generator.get_state() holds: the layout of an older generator, with the float cache,
// which no function of torch fills any more, after it.
struct TorchState {
  uint64_t seed;
  int32_t left, seeded;  // draws until the next refill; 1
  uint64_t next;         // the next word
  uint64_t words[624];
  double normal_x, normal_y, normal_rho;  // y is the cached normal number
  int32_t normal_is_valid, padding;
  float float_normal;
  uint8_t float_normal_is_valid, padding2[3];
};
static_assert(sizeof(TorchState) == 5056);

}  // namespace

Generator::Generator(uint64_t seed) : seed_(seed) {
  words_[0] = static_cast<uint32_t>(seed);
  for (uint32_t i = 1; i < kWords; ++i)
    words_[i] = 1812433253u * (words_[i - 1] ^ (words_[i - 1] >> 30)) + i;
}

// M. Matsumoto and T. Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998.
void Generator::refill() {
  for (int i = 0; i < kWords; ++i) {
    const auto k = static_cast<size_t>(i);
    const uint32_t mixed = (words_[k] & 0x80000000u) | (words_[(k + 1) % kWords] & 0x7fffffffu);
    words_[k] = words_[(k + 397) % kWords] ^ (mixed >> 1) ^ (mixed & 1 ? 0x9908b0dfu : 0u);
  }
}

uint32_t Generator::random() {
  if (used_ == 0 || used_ == kWords) {
    refill();
    used_ = 0;
  }
  uint32_t y = words_[static_cast<size_t>(used_++)];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

uint64_t Generator::random64() {
  const uint64_t high = random();
  return high << 32 | random();
}

void Generator::rand(std::span<float> out) {
  for (float& value : out) value = uniform(random());
}

double Generator::normal() {
  if (next_normal_) return *std::exchange(next_normal_, std::nullopt);
  const auto uniform53 = [this] {
    return static_cast<double>(random64() & ((uint64_t{1} << 53) - 1)) * 0x1p-53;
  };
  const double u1 = uniform53(), u2 = uniform53();
  const double radius = std::sqrt(-2.0 * std::log1p(-u2)), theta = 2.0 * std::numbers::pi * u1;
  next_normal_ = radius * std::sin(theta);
  return radius * std::cos(theta);
}

void Generator::randn_16(float* out) {
  rand({out, 16});
  normal_16(out);
}

void Generator::randn(std::span<float> out) {
  if (out.size() < 16) {
    for (float& value : out) value = static_cast<float>(normal());
    return;
  }
  rand(out);
  for (size_t i = 0; i + 16 <= out.size(); i += 16) normal_16(out.data() + i);
  // A last group that is not whole: the last 16 elements are drawn anew.
  if (out.size() % 16 != 0) randn_16(out.data() + out.size() - 16);
}

template <uint16_t (*kRound)(float)>
void Generator::randn_half(std::span<uint16_t> out) {
  if (out.size() < 16) {
    for (uint16_t& value : out) value = kRound(static_cast<float>(normal()));
    return;
  }
  float group[16];
  const auto draw_to = [&](size_t at) {
    randn_16(group);
    for (size_t i = 0; i < 16; ++i) out[at + i] = kRound(group[i]);
  };
  for (size_t i = 0; i + 16 <= out.size(); i += 16) draw_to(i);
  if (out.size() % 16 != 0) draw_to(out.size() - 16);
}

void Generator::randn_f16(std::span<uint16_t> out) { randn_half<float_to_f16>(out); }
void Generator::randn_bf16(std::span<uint16_t> out) { randn_half<float_to_bf16>(out); }

void Generator::randint(int64_t low, int64_t high, std::span<int64_t> out) {
  if (low >= high) fail("randint: expected low < high, found {} and {}", low, high);
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  const bool wide = range >= uint64_t{1} << 32;
  for (int64_t& value : out)
    value =
        static_cast<int64_t>((wide ? random64() : random()) % range + static_cast<uint64_t>(low));
}

std::vector<int64_t> Generator::randperm(int64_t count) {
  if (count < 0) fail("randperm: expected a count of 0 or more, found {}", count);
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  const bool wide = count >= UINT32_MAX / 20;
  for (size_t i = 0; i + 1 < order.size(); ++i)
    std::swap(order[i], order[i + (wide ? random64() : random()) % (order.size() - i)]);
  return order;
}

void Generator::bernoulli(float p, std::span<uint8_t> out) {
  if (!(p >= 0 && p <= 1)) fail("bernoulli: expected a probability of 0 to 1, found {}", p);
  for (uint8_t& value : out) value = uniform(random()) < p;
}

std::vector<std::byte> Generator::state() const {
  TorchState state{};
  state.seed = seed_;
  state.left = used_ == 0 ? 1 : kWords + 1 - used_;
  state.seeded = 1;
  state.next = static_cast<uint64_t>(used_);
  for (size_t i = 0; i < kWords; ++i) state.words[i] = words_[i];
  if (next_normal_) state.normal_y = *next_normal_;
  state.normal_is_valid = next_normal_.has_value();
  std::vector<std::byte> bytes(sizeof state);
  std::memcpy(bytes.data(), &state, sizeof state);
  return bytes;
}

void Generator::set_state(std::span<const std::byte> bytes) {
  TorchState state;
  if (bytes.size() != sizeof state)
    fail("random state: expected {} bytes, found {}", sizeof state, bytes.size());
  std::memcpy(&state, bytes.data(), sizeof state);
  const bool fresh = state.next == 0 && state.left == 1;
  if (state.seeded != 1 || state.left < 1 || state.left > kWords ||
      (!fresh && state.next != static_cast<uint64_t>(kWords + 1 - state.left)))
    fail("random state: not one of a torch CPU generator (seeded {}, left {}, next {})",
         state.seeded, state.left, state.next);
  for (const uint64_t word : state.words)
    if (word > UINT32_MAX) fail("random state: a word of {} has more than 32 bits", word);
  seed_ = state.seed;
  for (size_t i = 0; i < kWords; ++i) words_[i] = static_cast<uint32_t>(state.words[i]);
  used_ = static_cast<int>(state.next);
  next_normal_.reset();
  if (state.normal_is_valid != 0) next_normal_ = state.normal_y;
}

}  // namespace sumi::base
