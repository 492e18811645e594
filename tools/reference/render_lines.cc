// Renders templates for tools/reference/chat_templates.py --compare: each line of standard input is
// a JSON object
// {"template", "variables", "now"}, each line of output {"expected": text} or {"error": message}.
#include <iostream>

#include "base/error.h"
#include "text/chat_template.h"

int main() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const auto question = nlohmann::ordered_json::parse(line);
    nlohmann::json answer;
    try {
      const sumi::text::ChatTemplate chat(question.at("template").get<std::string>(), "template");
      answer["expected"] =
          chat.render(question.at("variables"), question.value("now", int64_t{-1}));
    } catch (const sumi::Error& error) {
      answer["error"] = error.what();
    }
    std::cout << answer.dump() << '\n';
  }
}
