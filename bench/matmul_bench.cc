// The matrix kernels alone, on the shapes of the tests' table made large: one thread.
//   bench_matmul --benchmark_filter=q4_1
#include <benchmark/benchmark.h>

#include "kernels/matmul_cases.h"

namespace sumi::kernels {
namespace {

void matmul(benchmark::State& state, const SourceFormat& format, const Shape3& shape) {
  const MatmulKernels& kernels = matmul_kernels();
  const PackedCase packed(packed_layout(format.kind, shape.n, shape.k), format.kind,
                          random_rows(format, shape.n, shape.k, 1));
  Activations a(shape.m, shape.k, 2);
  Aligned<float> y(static_cast<size_t>(shape.m * shape.n), 0.0f);
  MatmulArgs args;
  args.weight = packed.matrix;
  args.m = shape.m;
  args.x = a.x.data();
  args.x_bf16 = a.bf16.data();
  a.quantize(kernels, args);
  args.y = y.data();
  args.ldy = shape.n;
  for (auto _ : state) kernels.matmul(args, 0, packed.matrix.panels());
  const double calls = static_cast<double>(state.iterations());
  state.counters["GMAC/s"] = benchmark::Counter(
      calls * static_cast<double>(shape.m * shape.n * shape.k) * 1e-9, benchmark::Counter::kIsRate);
  state.counters["GB/s"] =
      benchmark::Counter(calls * static_cast<double>(packed.matrix.bytes()) * 1e-9, benchmark::Counter::kIsRate);
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const SourceFormat& format : source_formats())
    for (const Shape3& shape : {Shape3{1, 2048, 2048}, Shape3{256, 1024, 5632}})
      benchmark::RegisterBenchmark(
          (std::string(format.name) + "/m" + std::to_string(shape.m)).c_str(),
          [&format, shape](benchmark::State& state) { matmul(state, format, shape); });
  return true;
}();

}  // namespace
}  // namespace sumi::kernels
