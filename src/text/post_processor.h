// What is put around the ids of a text: BOS, EOS, [CLS] …
#pragma once

#include <cstdint>
#include <vector>

#include "text/json_field.h"
#include "text/token_table.h"

namespace sumi::text {

class PostProcessor {
 public:
  PostProcessor() = default;  // adds nothing
  // From the value of "post_processor". Throws Error naming an unknown type or a wrong field.
  PostProcessor(const Json& config, const TokenTable& table, const std::string& where);
  // before, the text, after.
  PostProcessor(std::vector<int32_t> before, std::vector<int32_t> after);

  std::vector<int32_t> apply(std::vector<int32_t> ids) const;

 private:
  static constexpr int32_t kText = -1;
  void add(const Json& config, const TokenTable& table, const std::string& where);
  std::vector<std::vector<int32_t>>
      templates_;  // ids with kText where the text goes; applied in turn
};

}  // namespace sumi::text
