// What the processor and the operating system allow, found once at run time.
#pragma once

#include <string>
#include <vector>

namespace sumi::base {

// In rising order; each includes the ones before it.
//   scalar        plain C++, every architecture
//   avx2          AVX2, FMA and F16C
//   avx512        AVX-512 F, BW, DQ, VL
//   avx512_vnni   and AVX-512 VNNI (Cascade Lake, Ice Lake); multiplies bf16 as floats
//   avx512_bf16   and AVX-512 BF16 (Cooper Lake, Zen 4)
//   avx512_amx    and AMX tiles of int8 and bf16 (Sapphire Rapids)
enum class Isa { scalar, avx2, avx512, avx512_vnni, avx512_bf16, avx512_amx };
inline constexpr Isa kBestIsa = Isa::avx512_amx;

const char* isa_name(Isa isa);

// The best level this machine runs: CPUID for the processor, XGETBV for the registers the system saves. Linux lets a
// process use tiles only after it has asked (arch_prctl): the first call does.
Isa detect_isa();

// The fastest level: detect_isa(), but avx512_vnni where AVX-512 BF16 is slower than floats. Or the level named by the
// environment variable SUMI_ISA. Throws Error if that names no level, or one the machine cannot run. The answer is
// fixed at the first call.
Isa active_isa();

// Every level this machine runs, for tests that compare them.
std::vector<Isa> runnable_isas();

// The processor's name as the system reports it, e.g. "AMD EPYC 7B13"; "unknown" if it does not.
std::string cpu_model_name();

// Whether the processor's prefetching keeps up with whoever reads memory from front to back, so that asking for it by
// instructions only costs: AMD's does (two cores of a Zen 4 read 8-bit codes at 61 GB/s without and at 41 with them,
// 4-bit ones at 57 and 41).
bool follows_streams();

// Bytes of the last-level cache as the system reports it, or 0.
long last_level_cache_bytes();

}  // namespace sumi::base
