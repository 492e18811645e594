// The generator draws what torch draws, bit for bit: tests/data/base/random.txt, written by
// tools/reference/torch_random.py.
#include "base/random.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include "base/error.h"

namespace sumi::base {
namespace {

std::string hash(const void* data, size_t bytes) {
  uint64_t value = 0xcbf29ce484222325u;
  for (size_t i = 0; i < bytes; ++i)
    value = (value ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001b3u;
  return fmt::format("{:016x}", value);
}

template <class T>
std::string shown(const std::vector<T>& values) {
  const auto text = [&](size_t i) {
    if constexpr (std::is_same_v<T, float>)
      return fmt::format("{:x}", std::bit_cast<uint32_t>(values[i]));
    else if constexpr (std::is_same_v<T, uint16_t>)
      return fmt::format("{:x}", values[i]);
    else
      return std::to_string(values[i]);
  };
  const bool all = values.size() <= 64;
  std::string line = all ? "" : hash(values.data(), values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i)
    if (all || i < 4 || i + 4 >= values.size()) line += (line.empty() ? "" : " ") + text(i);
  return line;
}

std::string draw(Generator& generator, const std::string& call) {
  std::istringstream words(call);
  std::string name;
  words >> name;
  std::vector<double> numbers;
  for (double number; words >> number;) numbers.push_back(number);
  const size_t count = numbers.empty() ? 0 : static_cast<size_t>(numbers.back());
  std::vector<float> floats(count);
  std::vector<uint16_t> halves(count);
  if (name == "state") {
    const std::vector<std::byte> state = generator.state();
    return hash(state.data(), state.size());
  }
  if (name == "rand") return generator.rand(floats), shown(floats);
  if (name == "randn") return generator.randn(floats), shown(floats);
  if (name == "randn_f16") return generator.randn_f16(halves), shown(halves);
  if (name == "randn_bf16") return generator.randn_bf16(halves), shown(halves);
  if (name == "randint") {
    std::vector<int64_t> values(count);
    generator.randint(static_cast<int64_t>(numbers[0]), static_cast<int64_t>(numbers[1]), values);
    return shown(values);
  }
  if (name == "randperm") return shown(generator.randperm(static_cast<int64_t>(count)));
  if (name == "bernoulli") {
    std::vector<uint8_t> values(count);
    generator.bernoulli(static_cast<float>(numbers[0]), values);
    return shown(values);
  }
  return "no such call";
}

TEST(Random, DrawsWhatTorchDraws) {
  std::ifstream file(std::string(SUMI_TEST_DATA) + "/base/random.txt");
  Generator generator(99);
  int cases = 0;
  std::string seed;
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("seed ", 0) == 0) {
      seed = line;
      generator = Generator(std::stoull(line.substr(5)));
      continue;
    }
    const size_t bar = line.find(" | ");
    ASSERT_NE(bar, std::string::npos) << line;
    EXPECT_EQ(draw(generator, line.substr(0, bar)), line.substr(bar + 3))
        << seed << ": " << line.substr(0, bar);
    ++cases;
  }
  EXPECT_GT(cases, 300);
}

TEST(Random, StateGoesOnWhereItWasTaken) {
  Generator generator(7);
  std::vector<float> odd(3), expected(500), found(500);
  generator.randn(odd);  // leaves a second normal in the cache
  const std::vector<std::byte> state = generator.state();
  generator.randn(std::span(expected).first(5));
  generator.rand(std::span(expected).subspan(5));
  Generator other(1);
  other.set_state(state);
  other.randn(std::span(found).first(5));
  other.rand(std::span(found).subspan(5));
  EXPECT_EQ(found, expected);
  EXPECT_EQ(other.state(), generator.state());
}

TEST(Random, StatesThatAreNoneAreRefused) {
  Generator generator(7);
  const std::vector<std::byte> good = generator.state();
  EXPECT_THROW(generator.set_state(std::span(good).first(5000)), Error);
  for (const size_t at : {size_t{8}, size_t{12}, size_t{16}, size_t{30}}) {
    std::vector<std::byte> bad = good;
    bad[at] = std::byte{77};
    EXPECT_THROW(generator.set_state(bad), Error) << at;
  }
  EXPECT_EQ(generator.state(), good);
}

TEST(Random, BadArguments) {
  Generator generator(7);
  std::vector<int64_t> ints(1);
  std::vector<uint8_t> bytes(1);
  EXPECT_THROW(generator.randint(3, 3, ints), Error);
  EXPECT_THROW(generator.randperm(-1), Error);
  EXPECT_THROW(generator.bernoulli(1.5f, bytes), Error);
  EXPECT_THROW(generator.bernoulli(std::nanf(""), bytes), Error);
}

}  // namespace
}  // namespace sumi::base
