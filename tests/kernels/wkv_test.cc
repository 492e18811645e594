// The wkv recurrence of every instruction set against its naive twins.
#include "kernels/wkv.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "kernels/kernel_copies.h"
#include "kernels/naive.h"

namespace sumi::kernels {

SUMI_EMULATED_COPIES(WkvKernels, kWkvKernels)

namespace {

using Row = std::vector<float>;

Row random_row(int64_t n, uint32_t seed, float spread) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0, spread);
  Row row(static_cast<size_t>(n));
  for (float& value : row) value = normal(generator);
  return row;
}

struct Case {
  int64_t steps, channels, stride;
  float spread;  // of the keys
};
// Channels that end within a register; keys whose powers overflow a float, even a double.
constexpr Case kCases[] = {{1, 1, 1, 1},   {3, 7, 9, 1},    {20, 16, 16, 2}, {9, 17, 40, 3},
                           {33, 40, 41, 4}, {50, 8, 8, 200}, {6, 33, 33, 2000}};

struct Operands {
  explicit Operands(const Case& c)
      : decay(random_row(c.channels, 1, 2)),
        first(random_row(c.channels, 2, 1)),
        key(random_row(c.steps * c.stride, 3, c.spread)),
        value(random_row(c.steps * c.stride, 4, 1)),
        dout(random_row(c.steps * c.stride, 5, 1)) {}
  Row decay, first, key, value, dout;
};

struct Outcome {
  explicit Outcome(const Case& c)
      : out(static_cast<size_t>(c.steps * c.stride), 7.0f),
        numerator(static_cast<size_t>(c.channels)),
        denominator(numerator),
        maximum(static_cast<size_t>(c.channels), kWkvStart) {}
  WkvArgs args(const Case& c, const Operands& o, int64_t from, int64_t steps, int64_t channel) {
    const int64_t at = from * c.stride + channel;
    return {.steps = steps,
            .channels = c.channels - channel,
            .stride = c.stride,
            .decay = o.decay.data() + channel,
            .first = o.first.data() + channel,
            .key = o.key.data() + at,
            .value = o.value.data() + at,
            .out = out.data() + at,
            .numerator = numerator.data() + channel,
            .denominator = denominator.data() + channel,
            .maximum = maximum.data() + channel};
  }
  bool same_bits(const Outcome& other) const {
    const auto same = [](const Row& a, const Row& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
    };
    return same(out, other.out) && same(numerator, other.numerator) &&
           same(denominator, other.denominator) && same(maximum, other.maximum);
  }
  Row out, numerator, denominator, maximum;
};

auto copies() {
  return kernel_copies<WkvKernels>(wkv_kernels_for, avx512_emulated::kWkvKernels,
                                   avx512_bf16_emulated::kWkvKernels);
}

void expect_close(const Row& got, const Row& want, double tolerance, const char* what) {
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::fabs(want[i]))) << what << " " << i;
}

TEST(Wkv, EqualsItsTwin) {
  for (const auto& copy : copies())
    for (const Case& c : kCases) {
      SCOPED_TRACE(copy.name + ", channels = " + std::to_string(c.channels));
      const Operands o(c);
      Outcome fast(c), plain(c);
      copy.table->forward(fast.args(c, o, 0, c.steps, 0));
      naive::wkv(plain.args(c, o, 0, c.steps, 0));
      // Large keys: a float's last digit in the exponent.
      const double tolerance = 1e-5 + 1e-6 * c.spread;
      expect_close(fast.out, plain.out, tolerance, "out");
      expect_close(fast.numerator, plain.numerator, tolerance, "numerator");
      expect_close(fast.denominator, plain.denominator, tolerance, "denominator");
      expect_close(fast.maximum, plain.maximum, 1e-6, "maximum");
      for (const float value : fast.out) ASSERT_TRUE(std::isfinite(value));
    }
}

TEST(Wkv, SameBitsHoweverItIsCut) {
  for (const auto& copy : copies())
    for (const Case& c : kCases) {
      SCOPED_TRACE(copy.name + ", channels = " + std::to_string(c.channels));
      const Operands o(c);
      Outcome whole(c), cut(c);
      copy.table->forward(whole.args(c, o, 0, c.steps, 0));
      const int64_t middle = c.channels / 3;
      for (int64_t t = 0; t < c.steps; t += 2) {
        const int64_t steps = std::min<int64_t>(2, c.steps - t);
        WkvArgs left = cut.args(c, o, t, steps, 0);
        left.channels = middle;
        copy.table->forward(left);
        copy.table->forward(cut.args(c, o, t, steps, middle));
      }
      EXPECT_TRUE(whole.same_bits(cut));
    }
}

TEST(Wkv, BackwardEqualsItsTwin) {
  for (const auto& copy : copies())
    for (const Case& c : kCases) {
      if (c.spread > 10) continue;  // beyond the twin's doubles
      SCOPED_TRACE(copy.name + ", channels = " + std::to_string(c.channels));
      const Operands o(c);
      const size_t all = static_cast<size_t>(c.steps * c.stride),
                   channels = static_cast<size_t>(c.channels);
      Row scratch(static_cast<size_t>(wkv_scratch(c.steps)));
      const auto run = [&](Row& dkey, Row& dvalue, Row& ddecay, Row& dfirst) {
        return WkvBackwardArgs{.steps = c.steps,
                               .channels = c.channels,
                               .stride = c.stride,
                               .decay = o.decay.data(),
                               .first = o.first.data(),
                               .key = o.key.data(),
                               .value = o.value.data(),
                               .dout = o.dout.data(),
                               .dkey = dkey.data(),
                               .dvalue = dvalue.data(),
                               .ddecay = ddecay.data(),
                               .dfirst = dfirst.data(),
                               .scratch = scratch.data()};
      };
      Row dkey(all), dvalue(all), ddecay(channels, 0.5f), dfirst(channels, 0.25f);
      Row want_dkey(all), want_dvalue(all), want_ddecay(ddecay), want_dfirst(dfirst);
      copy.table->backward(run(dkey, dvalue, ddecay, dfirst));
      naive::wkv_backward(run(want_dkey, want_dvalue, want_ddecay, want_dfirst));
      expect_close(dkey, want_dkey, 1e-5, "dkey");
      expect_close(dvalue, want_dvalue, 1e-5, "dvalue");
      expect_close(ddecay, want_ddecay, 2e-5, "ddecay");
      expect_close(dfirst, want_dfirst, 1e-5, "dfirst");
    }
}

// Keys of +-2000: no gradient may overflow.
TEST(Wkv, BackwardStaysFinite) {
  for (const auto& copy : copies()) {
    const Case c{6, 33, 33, 2000};
    const Operands o(c);
    Row dkey(o.key.size()), dvalue(o.key.size()), ddecay(o.decay.size()), dfirst(o.decay.size());
    Row scratch(static_cast<size_t>(wkv_scratch(c.steps)));
    copy.table->backward({.steps = c.steps,
                          .channels = c.channels,
                          .stride = c.stride,
                          .decay = o.decay.data(),
                          .first = o.first.data(),
                          .key = o.key.data(),
                          .value = o.value.data(),
                          .dout = o.dout.data(),
                          .dkey = dkey.data(),
                          .dvalue = dvalue.data(),
                          .ddecay = ddecay.data(),
                          .dfirst = dfirst.data(),
                          .scratch = scratch.data()});
    for (const Row* row : {&dkey, &dvalue, &ddecay, &dfirst})
      for (const float value : *row) ASSERT_TRUE(std::isfinite(value)) << copy.name;
  }
}

}  // namespace
}  // namespace sumi::kernels
