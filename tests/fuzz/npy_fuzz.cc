// Any bytes as an npy file: refused with an Error, or every element can be read.
#include "base/error.h"
#include "formats/npy.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sumi::fuzz::InputFile input(data, size);
  try {
    const sumi::Tensor tensor = sumi::formats::read_npy(input.path());
    sumi::fuzz::touch(tensor.bytes(), static_cast<size_t>(tensor.nbytes()));
  } catch (const sumi::Error&) {
  }
  return 0;
}
