#include "kernels/limits.h"

#include <chrono>
#include <cstring>

#include "base/memory.h"
#include "base/threads.h"
#include "kernels/isa_copies.h"

namespace sumi::kernels {

SUMI_ISA_COPIES(LimitKernels, kLimitKernels)

const LimitKernels& limit_kernels_for(base::Isa isa) { return SUMI_SELECT_ISA_WITH_TILES(kLimitKernels, isa); }
const LimitKernels& limit_kernels() { return limit_kernels_for(base::active_isa()); }

namespace {

template <class Body>
double seconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Units a second over all threads: the best of `rounds` tries.
template <class Body>
double best_rate(int rounds, double units, const Body& body) {
  double best = 0;
  for (int i = 0; i < rounds; ++i) best = std::max(best, units / seconds(body));
  return best;
}

volatile float sink;  // so that results count as used

}  // namespace

MachineLimits measure_limits(size_t buffer_bytes) {
  const LimitKernels& kernels = limit_kernels();
  const int threads = base::num_threads();
  MachineLimits limits;

  const int64_t chunk = 1 << 16;  // floats
  const int64_t chunks = static_cast<int64_t>(buffer_bytes / sizeof(float)) / chunk;
  const auto memory = base::allocate(static_cast<size_t>(chunks * chunk) * sizeof(float));
  float* data = reinterpret_cast<float*>(memory.get());
  base::parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
    std::memset(data + begin * chunk, 0, static_cast<size_t>((end - begin) * chunk) * sizeof(float));
  });
  limits.read_bytes_per_second = best_rate(6, static_cast<double>(chunks * chunk) * sizeof(float), [&] {
    base::parallel_for(chunks, 1, [&](int64_t begin, int64_t end) {
      sink = kernels.read(data + begin * chunk, (end - begin) * chunk);
    });
  });

  const int64_t rounds = 1 << 21;
  const auto products = [&](int64_t per_round, const auto& loop) {
    return best_rate(4, static_cast<double>(per_round * rounds) * threads, [&] {
      base::parallel_for(threads, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) sink = static_cast<float>(loop(rounds));
      });
    });
  };
  limits.int8_products_per_second = products(kernels.int8_products_per_round, kernels.int8_products);
  limits.f32_products_per_second = products(kernels.f32_products_per_round, kernels.f32_products);
  if (kernels.bf16_products)
    limits.bf16_products_per_second = products(kernels.bf16_products_per_round, kernels.bf16_products);
  const auto tiles = [&](int64_t per_round, void (*loop)(int64_t)) {
    return products(per_round, [&](int64_t count) { return loop(count), 0; });
  };
  if (kernels.tile_int8_products) {
    limits.tile_int8_products_per_second = tiles(kernels.tile_int8_products_per_round, kernels.tile_int8_products);
    limits.tile_bf16_products_per_second = tiles(kernels.tile_bf16_products_per_round, kernels.tile_bf16_products);
  }
  return limits;
}

}  // namespace sumi::kernels
