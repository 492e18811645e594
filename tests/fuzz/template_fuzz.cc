// Chat templates: the first byte picks the variables, the rest is the template. Errors are fine;
// crashes, leaks, endless loops and unbounded memory are not.
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "text/chat_template.h"

namespace {

const nlohmann::ordered_json& variables(uint8_t choice) {
  static const nlohmann::ordered_json kChoices[] = {
      {{"messages",
        {{{"role", "user"}, {"content", "hi"}}, {{"role", "assistant"}, {"content", "ho"}}}},
       {"bos_token", "<s>"},
       {"eos_token", "</s>"},
       {"add_generation_prompt", true}},
      {{"messages",
        {{{"role", "system"}, {"content", "S\n"}},
         {{"role", "user"}, {"content", {{{"type", "text"}, {"text", "日本"}}}}},
         {{"role", "assistant"},
          {"content", nullptr},
          {"tool_calls", {{{"function", {{"name", "f"}, {"arguments", {{"x", 1.5}}}}}}}}}}},
       {"tools",
        {{{"type", "function"}, {"function", {{"name", "f"}, {"parameters", {{"a", "b"}}}}}}}}},
      {{"s", "Hello World é🙂"},
       {"n", 7},
       {"f", -2.5},
       {"l", {3, 1, 2}},
       {"d", {{"b", 1}, {"a", {1, {{"c", "x"}}}}}},
       {"e", nlohmann::ordered_json::array()},
       {"none", nullptr}},
      nlohmann::ordered_json::object()};
  return kChoices[choice % 4];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  sumi::text::TemplateLimits limits;
  limits.steps = 20000;
  limits.output_bytes = 1 << 16;
  try {
    const std::string source(reinterpret_cast<const char*>(data + 1), size - 1);
    sumi::text::ChatTemplate(source, "fuzz", limits).render(variables(data[0]), 1721000000);
  } catch (const sumi::Error&) {
  }
  return 0;
}
