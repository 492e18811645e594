// Reading scheduler_config.json: each key with the default of the scheduler that reads it.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace sumi::diffusion {

// Takes out the keys that _use_default_values lists: values that were defaults when the file was
// written give way to the defaults of the kind that is made now.
void erase_default_values(nlohmann::json& object);

class SchedulerConfig {
 public:
  SchedulerConfig(const nlohmann::json& object, const std::string& file);

  // Values of keys; absent or null gives `missing`. Each throws Error on another type.
  bool flag(const std::string& key, bool missing);
  int64_t integer(const std::string& key, int64_t missing);
  double number(const std::string& key, double missing);
  // One of `allowed`; Error otherwise.
  std::string word(const std::string& key, const std::string& missing,
                   std::initializer_list<const char*> allowed);
  std::vector<double> numbers(const std::string& key);  // empty when absent
  bool has(const std::string& key);                     // present and not null
  // Throws Error if the flag is set: a feature that this program lacks.
  void refuse(const std::string& flag);

  // Throws Error at a key that was not read and that no scheduler of diffusers has.
  void finish() const;

  const std::string& file() const { return file_; }

 private:
  const nlohmann::json& object_;
  std::string file_;
  std::set<std::string> read_;
};

}  // namespace sumi::diffusion
