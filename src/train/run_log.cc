#include "train/run_log.h"

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"

namespace sumi::train {
namespace {

constexpr const char* kFile = "/log.jsonl";

// body(line, its step, its object) for each whole line. A last line without its end was cut off
// when the process was killed.
template <class Body>
void for_lines(const std::string& path, const Body& body) {
  const std::string text = formats::read_text_file(path);
  int64_t number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin);
    if (end == std::string::npos) return;
    const std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    const std::string where = fmt::format("{}, line {}", path, ++number);
    const nlohmann::json object = formats::parse_json(line, where);
    body(line, formats::require_int(object, "step", where), object);
  }
}

}  // namespace

RunLog::RunLog(const std::string& folder, int64_t step) : path_(folder + kFile), events_(folder) {
  std::string kept;
  if (formats::file_exists(path_))
    for_lines(path_, [&](const std::string& line, int64_t at, const nlohmann::json&) {
      if (at <= step) kept += line + "\n";
    });
  formats::write_text_file(path_, kept);
}

void RunLog::write(int64_t step, const std::vector<std::pair<std::string, double>>& numbers) {
  const double time =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  nlohmann::ordered_json object = {{"step", step}, {"time", time}};
  std::vector<std::pair<std::string, float>> scalars;
  for (const auto& [name, number] : numbers) {
    object[name] = number;
    scalars.emplace_back(name, static_cast<float>(number));
  }
  std::ofstream file(path_, std::ios::app | std::ios::binary);
  file << object.dump() << "\n";
  file.flush();
  if (!file) fail("{}: cannot write: {}", path_, std::strerror(errno));
  events_.write(step, time, scalars);
}

std::map<std::string, std::vector<std::pair<double, double>>> read_run_log(
    const std::string& folder) {
  const std::string path = folder + kFile;
  if (!formats::file_exists(path)) fail("{}: there is no log.jsonl: not a run of sumi train", folder);
  std::map<std::string, std::vector<std::pair<double, double>>> curves;
  for_lines(path, [&](const std::string&, int64_t step, const nlohmann::json& object) {
    for (const auto& [name, value] : object.items())
      if (name != "step" && name != "time" && value.is_number())
        curves[name].emplace_back(static_cast<double>(step), value.get<double>());
  });
  return curves;
}

}  // namespace sumi::train
