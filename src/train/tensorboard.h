// Event files of TensorBoard, with scalars.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sumi::train {

// CRC-32C (Castagnoli), and as TensorFlow's record files mask it.
uint32_t crc32c(std::string_view bytes);
uint32_t masked_crc32c(std::string_view bytes);

class EventFile {
 public:
  // Makes FOLDER/events.out.tfevents.<time>.<process>. Throws Error if it cannot.
  explicit EventFile(const std::string& folder);

  void write(int64_t step, double wall_time, const std::vector<std::pair<std::string, float>>& scalars);

 private:
  void write_record(const std::string& event);

  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace sumi::train
