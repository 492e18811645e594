// What this machine can do at most, measured: the yardstick of `sumi bench`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/cpu.h"

namespace sumi::kernels {

struct MachineLimits {
  double read_bytes_per_second = 0;       // all threads summing memory far larger than the caches
  double int8_products_per_second = 0;    // all threads; exact u8 x s8 products summed in 32 bits, registers only
  double f32_products_per_second = 0;     // all threads; multiply-adds, registers only
  double bf16_products_per_second = 0;    // the same in bf16; 0 where the processor has none
  double tile_int8_products_per_second = 0;  // in AMX tiles, of 64 k each; 0 where there are none
  double tile_bf16_products_per_second = 0;  // of 32 k each
};

// Takes about a second and `buffer_bytes` of memory. Best of several rounds.
MachineLimits measure_limits(size_t buffer_bytes = size_t{512} << 20);

// One thread's loops, per instruction set. Each returns a value that depends on all its work.
struct LimitKernels {
  float (*read)(const float* data, int64_t count);          // sums count floats (a multiple of 256)
  int32_t (*int8_products)(int64_t rounds);                  // int8_products_per_round products a round
  float (*f32_products)(int64_t rounds);
  int64_t int8_products_per_round, f32_products_per_round;
  float (*bf16_products)(int64_t rounds);   // null where the level has none
  int64_t bf16_products_per_round;
  void (*tile_int8_products)(int64_t rounds);
  void (*tile_bf16_products)(int64_t rounds);
  int64_t tile_int8_products_per_round, tile_bf16_products_per_round;
};
const LimitKernels& limit_kernels();
const LimitKernels& limit_kernels_for(base::Isa isa);

}  // namespace sumi::kernels
