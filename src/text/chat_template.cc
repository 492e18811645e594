#include "text/chat_template.h"

#include <utility>

#include "base/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/lexer.h"
#include "text/jinja/parser.h"
#include "text/jinja/unicode.h"

namespace sumi::text {

struct ChatTemplate::Impl {
  std::string name;
  TemplateLimits limits;
  jinja::Block block;
};

ChatTemplate::ChatTemplate(const std::string& source, const std::string& name,
                           TemplateLimits limits)
    : impl_(std::make_unique<Impl>()) {
  if (limits.steps < 0 || limits.depth < 1 || limits.output_bytes < 0 ||
      limits.output_bytes > (int64_t{1} << 40)) {
    fail("{}: template limits must not be negative, and output at most 2^40 bytes", name);
  }
  impl_->name = name;
  impl_->limits = limits;
  impl_->block =
      jinja::Parser(jinja::tokenize(jinja::valid_utf8(source), name), name, limits.depth).parse();
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const nlohmann::ordered_json& variables, int64_t now) const {
  return jinja::Interpreter(impl_->name, impl_->limits, now).render(impl_->block, variables);
}

}  // namespace sumi::text
