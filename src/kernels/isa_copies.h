// Names the copies of a kernel table: SUMI_ISA_COPIES(Type, name) declares `extern const Type name` in the
// namespace of each instruction set built, and SUMI_SELECT_ISA(name, isa) is the one for `isa`. Tables whose kernels use
// tiles (cmake/SumiFolders.cmake lists their files) have a copy for AMX: SUMI_SELECT_ISA_WITH_TILES chooses among those,
// too.
#pragma once

#include "base/cpu.h"

#if defined(__x86_64__)
#define SUMI_ISA_COPIES(Type, name)                   \
  namespace scalar { extern const Type name; }        \
  namespace avx2 { extern const Type name; }          \
  namespace avx512 { extern const Type name; }        \
  namespace avx512_vnni { extern const Type name; }   \
  namespace avx512_bf16 { extern const Type name; }   \
  namespace avx512_amx { extern const Type name; }
#define SUMI_SELECT_ISA(name, isa)                                  \
  ((isa) == ::sumi::base::Isa::scalar        ? scalar::name         \
   : (isa) == ::sumi::base::Isa::avx2        ? avx2::name           \
   : (isa) == ::sumi::base::Isa::avx512      ? avx512::name         \
   : (isa) == ::sumi::base::Isa::avx512_vnni ? avx512_vnni::name    \
                                             : avx512_bf16::name)
#define SUMI_SELECT_ISA_WITH_TILES(name, isa) \
  ((isa) == ::sumi::base::Isa::avx512_amx ? avx512_amx::name : SUMI_SELECT_ISA(name, isa))
#else
#define SUMI_ISA_COPIES(Type, name) \
  namespace scalar { extern const Type name; }
#define SUMI_SELECT_ISA(name, isa) ((void)(isa), scalar::name)
#define SUMI_SELECT_ISA_WITH_TILES(name, isa) SUMI_SELECT_ISA(name, isa)
#endif
