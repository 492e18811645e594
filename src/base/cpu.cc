#include "base/cpu.h"

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "base/error.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
#endif

namespace sumi::base {

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::avx512_vnni: return "avx512_vnni";
    case Isa::avx512_bf16: return "avx512_bf16";
    case Isa::avx512_amx: return "avx512_amx";
  }
  return "?";
}

#if defined(__x86_64__)
namespace {

uint64_t saved_register_state() {
  uint32_t eax, edx;
  __asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return (uint64_t{edx} << 32) | eax;
}

bool bit(uint32_t word, int n) { return (word >> n) & 1; }

// Asks Linux for the tiles' registers (Documentation/arch/x86/xstate.rst); threads started later have them, too.
bool allowed_tiles() {
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

bool is_vendor(uint32_t first, uint32_t second, uint32_t third) {
  uint32_t a, b, c, d;
  return __get_cpuid(0, &a, &b, &c, &d) && b == first && c == second && d == third;
}

// Intel's processors with AMX leave products of bf16 to it; where a virtual machine hides that, VDPBF16PS does a third of
// what multiply-adds of floats do (two cores of an Emerald Rapids: 57 and 171 G multiply-adds a second).
bool has_slow_bf16() {
  uint32_t a, b, c, d;
  if (!is_vendor(signature_INTEL_ebx, signature_INTEL_ecx, signature_INTEL_edx) || !__get_cpuid(1, &a, &b, &c, &d))
    return false;
  const uint32_t family = (a >> 8) & 15, model = ((a >> 4) & 15) | ((a >> 12) & 0xf0);
  constexpr uint32_t kCooperLake = 0x55;  // the only one that has AVX-512 BF16 and never had AMX
  return family == 6 && model != kCooperLake;
}

Isa find_isa() {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return Isa::scalar;
  const bool fma = bit(c, 12), osxsave = bit(c, 27), f16c = bit(c, 29);
  if (!osxsave || !fma || !f16c) return Isa::scalar;
  const uint64_t saved = saved_register_state();
  if ((saved & 0x6) != 0x6) return Isa::scalar;  // XMM and YMM
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return Isa::scalar;
  const bool avx2 = bit(b, 5);
  if (!avx2) return Isa::scalar;
  const bool avx512 = bit(b, 16) && bit(b, 17) && bit(b, 30) && bit(b, 31);  // F, DQ, BW, VL
  if (!avx512 || (saved & 0xe6) != 0xe6) return Isa::avx2;  // opmask and both ZMM halves
  const bool vnni = bit(c, 11);
  const bool amx = bit(d, 22) && bit(d, 24) && bit(d, 25) && (saved & 0x60000) == 0x60000;  // bf16, tiles, int8
  const bool has_subleaf = __get_cpuid_count(7, 1, &a, &b, &c, &d);
  const bool bf16 = has_subleaf && bit(a, 5);
  if (!vnni) return Isa::avx512;
  if (!bf16) return Isa::avx512_vnni;
  return amx && allowed_tiles() ? Isa::avx512_amx : Isa::avx512_bf16;
}

}  // namespace

Isa detect_isa() {
  static const Isa isa = find_isa();
  return isa;
}
#else
Isa detect_isa() { return Isa::scalar; }
namespace {
bool has_slow_bf16() { return false; }
}  // namespace
#endif

std::vector<Isa> runnable_isas() {
  std::vector<Isa> levels;
  for (int i = 0; i <= static_cast<int>(detect_isa()); ++i) levels.push_back(static_cast<Isa>(i));
  return levels;
}

Isa active_isa() {
  static const Isa isa = [] {
    const Isa best = detect_isa();
    const char* forced = std::getenv("SUMI_ISA");
    if (!forced || !*forced) return best == Isa::avx512_bf16 && has_slow_bf16() ? Isa::avx512_vnni : best;
    for (int i = 0; i <= static_cast<int>(kBestIsa); ++i) {
      const Isa level = static_cast<Isa>(i);
      if (isa_name(level) != std::string(forced)) continue;
      if (level > best)
        fail("SUMI_ISA={}: this machine runs at most {}", forced, isa_name(best));
      return level;
    }
    fail("SUMI_ISA={}: expected scalar, avx2, avx512, avx512_vnni, avx512_bf16 or avx512_amx", forced);
  }();
  return isa;
}

std::string cpu_model_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "unknown";
}

bool follows_streams() {
#if defined(__x86_64__)
  static const bool amd = is_vendor(signature_AMD_ebx, signature_AMD_ecx, signature_AMD_edx);
  return amd;
#else
  return false;
#endif
}

long last_level_cache_bytes() {
#ifdef _SC_LEVEL3_CACHE_SIZE
  const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  return bytes > 0 ? bytes : 0;
#else
  return 0;
#endif
}

}  // namespace sumi::base
