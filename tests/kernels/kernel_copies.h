// The copies of a kernel table that tests run: one for each instruction set this machine has, and the AVX-512 ones
// over emulated intrinsics (tests/kernels/emulated_avx512.h) on every machine.
#pragma once

#include <string>
#include <vector>

#include "base/cpu.h"

#define SUMI_EMULATED_COPIES(Type, name)                \
  namespace avx512_emulated { extern const Type name; } \
  namespace avx512_bf16_emulated { extern const Type name; }

namespace sumi::kernels {

template <class Table>
struct KernelCopy {
  std::string name;
  const Table* table;
};

template <class Table>
std::vector<KernelCopy<Table>> kernel_copies(const Table& (*table_for)(base::Isa), const Table& avx512,
                                             const Table& avx512_bf16) {
  std::vector<KernelCopy<Table>> copies;
  for (base::Isa isa : base::runnable_isas()) copies.push_back({base::isa_name(isa), &table_for(isa)});
  copies.push_back({"avx512_emulated", &avx512});
  copies.push_back({"avx512_bf16_emulated", &avx512_bf16});
  return copies;
}

}  // namespace sumi::kernels
