# Helpers that turn a folder of src/ into a library and a folder of tests/ into a test program.

# Kernels that use AMX tiles: they alone have a copy for that level, the others use AVX-512 BF16's.
set(sumi_tile_kernels attention_tiles bf16_product limits matmul_codes matmul_floats picture_attention
    picture_code_attention picture_tiles)
list(TRANSFORM sumi_tile_kernels REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/src/kernels/isa/\\1.cc")

# Large headers of a target's sources, compiled once (SUMI_PCH).
function(sumi_precompile target)
  if(SUMI_PCH)
    target_precompile_headers(${target} PRIVATE <algorithm> <cmath> <functional> <map> <memory> <string> <vector>
                                                <fmt/format.h> ${ARGN})
  endif()
endfunction()

function(sumi_options target)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_compile_options(${target} PRIVATE -Wall -Wextra $<$<BOOL:${SUMI_WERROR}>:-Werror>)
  if(SUMI_SANITIZE)
    target_compile_options(${target} PUBLIC -fsanitize=address,undefined -fno-sanitize-recover=all
                                            -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  elseif(SUMI_FUZZ)
    target_compile_options(${target} PUBLIC -fsanitize=fuzzer-no-link,address,undefined
                                            -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=address,undefined)
  endif()
endfunction()

# sumi_folder(name dependencies...): library sumi_<name> from src/<name>/**.cc.
# Files below src/kernels/isa/ are compiled once per instruction set by sumi_kernel_variants().
function(sumi_folder name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/kernels/isa/")
  if(NOT sources)
    add_library(sumi_${name} INTERFACE)
    target_link_libraries(sumi_${name} INTERFACE ${ARGN})
    return()
  endif()
  add_library(sumi_${name} STATIC ${sources})
  target_link_libraries(sumi_${name} PUBLIC ${ARGN})
  sumi_options(sumi_${name})
  if(SUMI_SANITIZE AND ${name} MATCHES "^(base|tensor|kernels|ops|nn)$")
    target_compile_options(sumi_${name} PRIVATE -O1)  # loops over numbers; the rest compiles four times as fast without
  endif()
  if(${name} MATCHES "^(formats|text|models|train|generate|diffusion|evaluate)$")
    sumi_precompile(sumi_${name} <nlohmann/json.hpp>)
  endif()
endfunction()

# Compiles every src/kernels/isa/*.cc once per instruction set; SUMI_ISA names the namespace in which
# the copy lives, and simd.h picks the vector type from the compiler's own feature macros.
function(sumi_kernel_variants)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/isa/*.cc)
  if(NOT sources)
    return()
  endif()
  set(variants scalar)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND variants avx2 avx512 avx512_vnni avx512_bf16 avx512_amx)
  endif()
  set(flags_scalar "")
  set(flags_avx2 -mavx2 -mfma -mf16c)
  set(flags_avx512 ${flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
                   -mprefer-vector-width=512)
  set(order)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 warns inside its own avx512fintrin.h.
    list(APPEND flags_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
    # Keep the order of operations written in the source: moved apart, they need more registers than there are, and
    # the matrix kernels spill (measured: 130 vector moves instead of 50 in the inner block of 4-bit codes).
    set(order -fno-tree-ter -fno-tree-reassoc -fno-schedule-insns)
  endif()
  set(flags_avx512_vnni ${flags_avx512} -mavx512vnni)
  set(flags_avx512_bf16 ${flags_avx512_vnni} -mavx512bf16)
  set(flags_avx512_amx ${flags_avx512_bf16} -mamx-tile -mamx-int8 -mamx-bf16)
  set(optimize -O3)
  if(SUMI_SANITIZE)
    set(optimize -O1)
  endif()
  foreach(variant ${variants})
    set(own ${sources})
    if(variant STREQUAL "avx512_amx")
      set(own ${sumi_tile_kernels})
    endif()
    add_library(sumi_kernels_${variant} OBJECT ${own})
    target_compile_options(sumi_kernels_${variant} PRIVATE ${optimize} -ffp-contract=off ${order} -Wall -Wextra
      $<$<BOOL:${SUMI_WERROR}>:-Werror> ${flags_${variant}})
    target_compile_definitions(sumi_kernels_${variant} PRIVATE SUMI_ISA=${variant})
    target_include_directories(sumi_kernels_${variant} PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_link_libraries(sumi_kernels_${variant} PRIVATE fmt::fmt OpenMP::OpenMP_CXX)
    if(SUMI_SANITIZE OR SUMI_FUZZ)
      target_compile_options(sumi_kernels_${variant} PRIVATE -fsanitize=address,undefined
                                                             -fno-sanitize-recover=all)
    endif()
    target_sources(sumi_kernels PRIVATE $<TARGET_OBJECTS:sumi_kernels_${variant}>)
  endforeach()
endfunction()

# sumi_tests(folder): program test_<folder> from tests/<folder>/**_test.cc, one ctest entry each.
function(sumi_tests folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*_test.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${folder} ${sources})
  if(folder STREQUAL "cli")
    add_dependencies(test_${folder} sumi)
    target_link_libraries(test_${folder} PRIVATE sumi_all GTest::gtest_main)
  else()
    target_link_libraries(test_${folder} PRIVATE sumi_${folder} GTest::gtest_main)
  endif()
  target_include_directories(test_${folder} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(test_${folder} PRIVATE
    SUMI_TEST_DATA="${PROJECT_SOURCE_DIR}/tests/data" SUMI_BINARY="$<TARGET_FILE:sumi>")
  sumi_options(test_${folder})
  if(NOT SUMI_SANITIZE)
    target_compile_options(test_${folder} PRIVATE -O1)
  endif()
  sumi_precompile(test_${folder} <nlohmann/json.hpp> <gtest/gtest.h>)
  add_test(NAME ${folder} COMMAND test_${folder})
endfunction()

# For test_kernels: the AVX-512 copies of the kernels over emulated intrinsics, so that they are tested on machines
# without AVX-512.
function(sumi_emulated_kernel_variants target)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/isa/*.cc)
  foreach(variant avx512_emulated avx512_bf16_emulated avx512_amx_emulated)
    set(own ${sources})
    if(variant STREQUAL "avx512_amx_emulated")
      set(own ${sumi_tile_kernels})
    endif()
    add_library(sumi_kernels_${variant} OBJECT ${own})
    target_compile_options(sumi_kernels_${variant} PRIVATE -O1 -ffp-contract=off)
    target_compile_definitions(sumi_kernels_${variant} PRIVATE SUMI_ISA=${variant} SUMI_EMULATE_AVX512)
    target_include_directories(sumi_kernels_${variant} PRIVATE ${PROJECT_SOURCE_DIR}/src
                                                               ${PROJECT_SOURCE_DIR}/tests)
    target_link_libraries(sumi_kernels_${variant} PRIVATE fmt::fmt OpenMP::OpenMP_CXX)
    target_sources(${target} PRIVATE $<TARGET_OBJECTS:sumi_kernels_${variant}>)
  endforeach()
  target_compile_definitions(sumi_kernels_avx512_bf16_emulated PRIVATE SUMI_EMULATE_BF16)
  target_compile_definitions(sumi_kernels_avx512_amx_emulated PRIVATE SUMI_EMULATE_BF16 SUMI_EMULATE_AMX)
endfunction()
