// NumPy's .npy files: one array, in C order.
#pragma once

#include <string>

#include "tensor/tensor.h"

namespace sumi::formats {

// f32, f16, f64, i64, i32, u8 and bool, little-endian. The elements are a view of the mapped file,
// or a copy where they are not aligned. Throws Error if the file is no such array: another type or
// byte order, Fortran order, sizes that do not match the data.
Tensor read_npy(const std::string& path);

// Throws Error for element types that NumPy does not have.
void write_npy(const std::string& path, const Tensor& tensor);

}  // namespace sumi::formats
