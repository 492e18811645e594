// Random numbers equal to those of PyTorch's CPU generator: a seed draws what
// torch.Generator().manual_seed(seed) draws.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace sumi::base {

// One torch.Generator on the CPU. Each function names the call of torch it equals; a call fills a
// whole contiguous tensor, and, as in torch, the numbers depend on where one call ends and the next
// begins. Normal numbers in f32 have the bits that torch gives on x86 processors with AVX2 or
// AVX-512; elsewhere torch's own differ from them in the last digits.
class Generator {
 public:
  explicit Generator(uint64_t seed);  // manual_seed(seed); as in torch, only the low 32 bits count

  void rand(std::span<float> out);   // torch.rand: [0, 1) in steps of 2^-24
  void randn(std::span<float> out);  // torch.randn, float32
  // torch.randn with dtype float16 and bfloat16, as bits: randn's numbers rounded, except that a
  // count which is no multiple of 16 is drawn otherwise.
  void randn_f16(std::span<uint16_t> out);
  void randn_bf16(std::span<uint16_t> out);
  // torch.randint(low, high, ...), int64: low <= number < high. Throws Error unless low < high.
  void randint(int64_t low, int64_t high, std::span<int64_t> out);
  // torch.randperm(count), int64. Throws Error if count is negative.
  std::vector<int64_t> randperm(int64_t count);
  // torch.bernoulli(torch.full_like(out, p)): 1 with probability p. Throws Error unless 0 <= p
  // <= 1. (Tensor.bernoulli_(p) and dropout draw from a generator of Intel MKL's in torch, and so
  // differ.)
  void bernoulli(float p, std::span<uint8_t> out);

  // get_state() and set_state(): the 5056 bytes of torch's own, so that states can be exchanged.
  // set_state throws Error if they are no such state.
  std::vector<std::byte> state() const;
  void set_state(std::span<const std::byte> state);

  uint32_t random();    // the next 32 bits of the Mersenne twister
  uint64_t random64();  // two of them, the first one high

 private:
  static constexpr int kWords = 624;

  void refill();
  double normal();  // one at a time, in double; keeps the second of each pair
  void randn_16(float* out);
  template <uint16_t (*kRound)(float)>
  void randn_half(std::span<uint16_t> out);

  uint64_t seed_;
  std::array<uint32_t, kWords> words_;  // MT19937's state
  int used_ = 0;                        // words given out since the last refill; 0 before the first
  std::optional<double> next_normal_;
};

}  // namespace sumi::base
