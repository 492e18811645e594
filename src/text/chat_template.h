// Chat templates: an interpreter for the Jinja that model files carry. Templates come from untrusted files: the
// interpreter reaches nothing but the variables given, and stops at limits on steps, depth and output.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

namespace sumi::text {

struct TemplateLimits {
  int64_t steps = 2'000'000;         // expressions and statements evaluated
  int64_t depth = 200;               // nesting of expressions, blocks, macro calls
  int64_t output_bytes = 16 << 20;
};

class ChatTemplate {
 public:
  // Parses. Throws Error "name, line N: ..." naming the construct that is wrong or unknown.
  ChatTemplate(const std::string& source, const std::string& name, TemplateLimits limits = {});
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  // Renders with these variables, as Python's Jinja2 does under transformers' settings (trim_blocks,
  // lstrip_blocks, loop controls; tojson without HTML escapes; raise_exception and strftime_now).
  // Throws Error with the template's own message on raise_exception. `now`: seconds since 1970 for
  // strftime_now, -1 for the clock.
  std::string render(const nlohmann::ordered_json& variables, int64_t now = -1) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sumi::text
