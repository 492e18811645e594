#include "generate/chat_session.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace sumi::generate {

namespace {

constexpr const char* kRule = "-----";  // between the exchanges of a plain dialogue

constexpr const char* kBlanks = " \t\r\n";

std::string trimmed(const std::string& text) {
  const size_t from = text.find_first_not_of(kBlanks), to = text.find_last_not_of(kBlanks);
  return from == std::string::npos ? std::string() : text.substr(from, to - from + 1);
}

// Passes pieces on without the blanks before the first word.
StreamCallback without_first_blanks(const StreamCallback& stream) {
  if (!stream) return {};
  return [stream, started = false](const StreamPiece& piece) mutable {
    StreamPiece shown = piece;
    if (!started) {
      const size_t from = shown.text.find_first_not_of(kBlanks);
      shown.text.remove_prefix(std::min(from, shown.text.size()));
      started = !shown.text.empty();
    }
    return stream(shown);
  };
}

}  // namespace

nlohmann::ordered_json template_variables(const std::vector<ChatMessage>& messages,
                                          const text::Tokenizer& tokenizer,
                                          bool add_generation_prompt) {
  nlohmann::ordered_json variables;
  variables["messages"] = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages)
    variables["messages"].push_back({{"role", message.role}, {"content", message.content}});
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  variables["add_generation_prompt"] = add_generation_prompt;
  const std::pair<const char*, std::optional<int32_t>> specials[] = {
      {"bos_token", tokenizer.bos_id},
      {"eos_token", tokenizer.eos_id},
      {"unk_token", tokenizer.unk_id},
      {"pad_token", tokenizer.pad_id}};
  for (const auto& [name, id] : specials)
    if (id) variables[name] = tokenizer.token_text(*id);
  return variables;
}

std::vector<int32_t> chat_prompt_ids(const std::vector<ChatMessage>& messages,
                                     const text::Tokenizer& tokenizer,
                                     const text::ChatTemplate& chat_template) {
  const std::string prompt = chat_template.render(template_variables(messages, tokenizer, true));
  return tokenizer.encode(prompt, {.add_special = false, .parse_special = true});
}

text::ChatTemplate open_chat_template(const text::Tokenizer& tokenizer, const std::string& model) {
  if (tokenizer.chat_template.empty())
    fail("{}: the model has no chat template; it may be a base model, for `sumi generate`", model);
  return text::ChatTemplate(tokenizer.chat_template, model + ": chat template");
}

std::vector<int32_t> dialogue_prompt_ids(const std::vector<ChatMessage>& messages,
                                         const text::Tokenizer& tokenizer,
                                         const DialogueMarkers& markers) {
  // Full-width punctuation brings its own space.
  const auto turn = [](const std::string& marker, const std::string& text) {
    return marker + (static_cast<unsigned char>(marker.back()) < 0x80 ? " " : "") + text;
  };
  std::string prompt;
  for (const ChatMessage& message : messages) {
    if (message.role == "user")
      prompt += turn(markers.user, message.content) + "\n\n";
    else if (message.role == "assistant")
      prompt += turn(markers.assistant, message.content) + "\n\n" + kRule + "\n\n";
    else
      prompt += message.content + "\n\n" + kRule + "\n\n";
  }
  return tokenizer.encode(prompt + markers.assistant,
                          {.add_special = true, .parse_special = false});
}

std::vector<std::string> dialogue_stops(const DialogueMarkers& markers) {
  return {"\n" + markers.user, "\n" + std::string(kRule)};
}

ChatSession::ChatSession(const models::LanguageModel& model, const text::Tokenizer& tokenizer,
                         const std::string& name)
    : model_(model),
      tokenizer_(tokenizer),
      name_(name),
      generator_(model, &tokenizer) {
  if (!tokenizer.chat_template.empty()) template_.emplace(open_chat_template(tokenizer, name));
}

void ChatSession::use(const Preset& preset) {
  set_system(preset.system);
  examples_ = preset.examples;
  markers_ = preset.markers;
}

void ChatSession::check_ready() const {
  if (template_ || !examples_.empty() || !system().empty()) return;
  fail(
      "{}: the model has no chat template: it may be a base model. --preset NAME makes an "
      "assistant of it (sumi chat --list-presets lists them), or --system-file with a text that "
      "describes one; `sumi generate` continues a text",
      name_);
}

std::vector<int32_t> ChatSession::prompt_ids(const std::vector<ChatMessage>& messages) const {
  std::vector<ChatMessage> all = messages;
  const bool has_system = !all.empty() && all[0].role == "system";
  all.insert(all.begin() + (has_system ? 1 : 0), examples_.begin(), examples_.end());
  return template_ ? chat_prompt_ids(all, tokenizer_, *template_)
                   : dialogue_prompt_ids(all, tokenizer_, markers_);
}

std::string ChatSession::system() const {
  return !messages_.empty() && messages_[0].role == "system" ? messages_[0].content : std::string();
}

void ChatSession::set_system(const std::string& text) {
  if (!messages_.empty() && messages_[0].role == "system") messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), {"system", text});
}

void ChatSession::reset() {
  const std::string kept = system();
  messages_.clear();
  set_system(kept);
}

nlohmann::ordered_json ChatSession::to_json() const {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const ChatMessage& message : messages_)
    list.push_back({{"role", message.role}, {"content", message.content}});
  return {{"messages", list}};
}

void ChatSession::load(const nlohmann::ordered_json& conversation) {
  const bool wrapped = conversation.is_object() && conversation.contains("messages");
  const nlohmann::ordered_json& list = wrapped ? conversation["messages"] : conversation;
  if (!list.is_array()) fail("conversation: expected a list of messages");
  std::vector<ChatMessage> messages;
  for (size_t i = 0; i < list.size(); ++i) {
    const nlohmann::ordered_json& entry = list[i];
    if (!entry.is_object() || !entry.contains("role") || !entry["role"].is_string() ||
        !entry.contains("content") || !entry["content"].is_string())
      fail("conversation: message {}: expected an object with the strings role and content", i);
    const std::string role = entry["role"];
    if (role != "system" && role != "user" && role != "assistant")
      fail("conversation: message {}: expected the role system, user or assistant, found {}", i,
           role);
    messages.push_back({role, entry["content"]});
  }
  messages_ = std::move(messages);
}

// Drops the oldest pairs from messages until their prompt leaves room for an answer: what
// options.max_tokens asks for, but no more than a quarter of the context or 256 tokens is insisted
// on.
std::vector<int32_t> ChatSession::fitting_prompt(std::vector<ChatMessage>& messages,
                                                 const GenerateOptions& options,
                                                 int64_t& dropped_pairs) const {
  int64_t wanted = std::min<int64_t>(256, std::max<int64_t>(1, model_.max_positions() / 4));
  if (options.max_tokens > 0) wanted = std::min(wanted, options.max_tokens);
  const size_t first = messages[0].role == "system" ? 1 : 0;
  for (;;) {
    std::vector<int32_t> ids = prompt_ids(messages);
    const int64_t room = room_after(model_, static_cast<int64_t>(ids.size()));
    if (room >= wanted) return ids;
    if (messages.size() == first + 1) {  // the question alone
      if (room >= 1) return ids;
      fail("the question takes {} tokens with the {}{}{}; the model's context is {}", ids.size(),
           template_ ? "template" : "markers", first ? " and the system text" : "",
           examples_.empty() ? "" : " and the preset's examples", model_.max_positions());
    }
    // Up to the next question, so that what remains begins with one.
    size_t end = first + 1;
    while (end + 1 < messages.size() && messages[end].role != "user") ++end;
    messages.erase(messages.begin() + static_cast<int64_t>(first),
                   messages.begin() + static_cast<int64_t>(end));
    ++dropped_pairs;
  }
}

GenerateResult ChatSession::ask(const std::string& question, GenerateOptions options,
                                const StreamCallback& stream,
                                const std::function<void(int64_t)>& dropped) {
  check_ready();
  std::vector<ChatMessage> messages = messages_;
  messages.push_back({"user", question});
  int64_t dropped_pairs = 0;
  const std::vector<int32_t> ids = fitting_prompt(messages, options, dropped_pairs);
  if (dropped_pairs > 0 && dropped) dropped(dropped_pairs);
  const int64_t room = room_after(model_, static_cast<int64_t>(ids.size()));
  if (options.max_tokens > room) options.max_tokens = room;
  if (!template_) {
    const std::vector<std::string> stops = dialogue_stops(markers_);
    options.stop.insert(options.stop.end(), stops.begin(), stops.end());
  }
  GenerateResult result =
      generator_.generate(ids, options, template_ ? stream : without_first_blanks(stream));
  if (!template_) result.text = trimmed(result.text);
  if (result.finish_reason == "cancelled" && result.text.empty()) return result;
  messages.push_back({"assistant", result.text});
  messages_ = std::move(messages);
  return result;
}

}  // namespace sumi::generate
