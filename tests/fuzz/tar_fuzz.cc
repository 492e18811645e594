// Any bytes as a tar archive and as a table: refused with an Error, or every member can be read.
#include "base/error.h"
#include "formats/csv.h"
#include "formats/tar_file.h"
#include "input_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sumi::fuzz::InputFile input(data, size);
  try {
    const sumi::formats::TarFile file(input.path());
    for (const auto& member : file.members()) {
      const auto bytes = file.bytes(member);
      sumi::fuzz::touch(bytes.data(), bytes.size());
    }
  } catch (const sumi::Error&) {
  }
  try {
    sumi::formats::parse_csv({reinterpret_cast<const char*>(data), size}, "table");
  } catch (const sumi::Error&) {
  }
  return 0;
}
