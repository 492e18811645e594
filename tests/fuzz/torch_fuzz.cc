// Any bytes as a PyTorch checkpoint: refused with an Error, or every tensor can be read.
#include "base/error.h"
#include "formats/torch_file.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sumi::fuzz::InputFile input(data, size);
  try {
    const sumi::formats::TorchFile file(input.path());
    int64_t bytes = 0;
    for (const auto& info : file.tensors()) {
      // Repeated elements may make a small file large; enough of them are read.
      bytes += sumi::tensor::byte_count(info.shape, info.dtype);
      if (bytes > (8 << 20)) break;
      const sumi::Tensor tensor = file.get(info.name);
      sumi::fuzz::touch(tensor.bytes(), static_cast<size_t>(tensor.nbytes()));
      file.release(info.name);
    }
  } catch (const sumi::Error&) {
  }
  return 0;
}
