// Any bytes as a GGUF file: refused with an Error, or every tensor and value can be read.
#include "base/error.h"
#include "formats/gguf.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sumi::fuzz::InputFile input(data, size);
  try {
    const sumi::formats::GgufFile file(input.path());
    for (const auto& info : file.tensors()) {
      const sumi::Tensor tensor = file.get(info.name);
      sumi::fuzz::touch(tensor.bytes(), static_cast<size_t>(tensor.nbytes()));
      file.release(info.name);
    }
    for (const std::string& key : file.keys()) {
      try {
        file.get_float(key);
        file.get_int(key);
      } catch (const sumi::Error&) {
      }
    }
  } catch (const sumi::Error&) {
  }
  return 0;
}
