// Any bytes as a safetensors file: refused with an Error, or every tensor can be read.
#include "base/error.h"
#include "formats/safetensors.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sumi::fuzz::InputFile input(data, size);
  try {
    const sumi::formats::SafetensorsFile file(input.path());
    for (const auto& info : file.tensors()) {
      const sumi::Tensor tensor = file.get(info.name);
      sumi::fuzz::touch(tensor.bytes(), static_cast<size_t>(tensor.nbytes()));
      file.release(info.name);
    }
  } catch (const sumi::Error&) {
  }
  return 0;
}
