#include "tensor/dtype.h"

#include <array>

namespace sumi::tensor {

namespace {

struct Info {
  const char* name;
  int64_t block_size, block_bytes;
};

constexpr std::array<Info, 20> kInfo = {{
    {"f32", 1, 4},      {"f16", 1, 2},      {"bf16", 1, 2},     {"f64", 1, 8},
    {"i64", 1, 8},      {"i32", 1, 4},      {"i16", 1, 2},      {"i8", 1, 1},
    {"u8", 1, 1},       {"bool", 1, 1},     {"q4_0", 32, 18},   {"q4_1", 32, 20},
    {"q5_0", 32, 22},   {"q5_1", 32, 24},   {"q8_0", 32, 34},   {"q2_k", 256, 84},
    {"q3_k", 256, 110}, {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210},
}};

const Info& info(DType dtype) { return kInfo[static_cast<size_t>(dtype)]; }

}  // namespace

const char* dtype_name(DType dtype) { return info(dtype).name; }
int64_t dtype_block_size(DType dtype) { return info(dtype).block_size; }
int64_t dtype_block_bytes(DType dtype) { return info(dtype).block_bytes; }

}  // namespace sumi::tensor
