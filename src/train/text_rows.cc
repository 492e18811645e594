#include "train/text_rows.h"

#include "base/error.h"
#include "formats/json.h"

namespace sumi::train {
namespace {

using Json = nlohmann::json;

constexpr const char* kKinds[] = {"messages", "prompt and completion", "text"};

std::vector<generate::ChatMessage> read_messages(const Json& row, const std::string& where) {
  std::vector<generate::ChatMessage> messages;
  bool answered = false;
  for (const Json& entry : formats::require_array(row, "messages", where)) {
    const std::string at = fmt::format("{}: message {}", where, messages.size());
    if (!entry.is_object()) fail("{}: expected an object, found {}", at, entry.type_name());
    const std::string role = formats::require_string(entry, "role", at);
    if (role != "system" && role != "user" && role != "assistant")
      fail("{}: role: expected system, user or assistant, found {}", at, role);
    messages.push_back({role, formats::require_string(entry, "content", at)});
    answered = answered || role == "assistant";
  }
  if (!answered) fail("{}: messages: there is no assistant's turn to learn from", where);
  return messages;
}

TextRow read_row(const Json& row, const std::string& where) {
  TextRow out;
  if (formats::has_field(row, "messages")) {
    out.kind = TextRow::Kind::messages;
    out.messages = read_messages(row, where);
  } else if (formats::has_field(row, "prompt") && formats::has_field(row, "completion")) {
    out.kind = TextRow::Kind::prompt;
    out.prompt = formats::require_string(row, "prompt", where);
    out.text = formats::require_string(row, "completion", where);
  } else if (formats::has_field(row, "text")) {
    out.text = formats::require_string(row, "text", where);
  } else {
    std::vector<std::string> keys;
    for (const auto& [key, value] : row.items()) keys.push_back(key);
    fail("{}: expected the columns messages, prompt and completion, or text; found {}", where,
         keys.empty() ? "none" : fmt::format("{}", fmt::join(keys, ", ")));
  }
  return out;
}

}  // namespace

std::vector<TextRow> read_text_rows(const std::string& path) {
  std::vector<TextRow> rows;
  formats::for_each_json_line(path, {}, [&](const Json& object, int64_t line, const std::string& where) {
    TextRow row = read_row(object, where);
    row.line = line;
    if (!rows.empty() && row.kind != rows[0].kind)
      fail("{}: has {}, the lines before have {}", where, kKinds[static_cast<int>(row.kind)],
           kKinds[static_cast<int>(rows[0].kind)]);
    rows.push_back(std::move(row));
  });
  if (rows.empty()) fail("{}: there are no examples", path);
  return rows;
}

}  // namespace sumi::train
