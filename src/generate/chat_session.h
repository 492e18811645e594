// A conversation: messages, the chat template that writes them as a prompt, and a generator that
// keeps what it has already processed of them.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "generate/generator.h"
#include "generate/preset.h"
#include "text/chat_template.h"

namespace sumi::generate {

// The variables a template is rendered with: messages, add_generation_prompt, the texts of the
// special tokens (bos_token ...), tools and documents (none), as transformers gives them.
nlohmann::ordered_json template_variables(const std::vector<ChatMessage>& messages,
                                          const text::Tokenizer& tokenizer,
                                          bool add_generation_prompt);

// The prompt of a conversation, special tokens parsed and none added. Throws Error if the tokenizer
// has no template, or the template's own message if it refuses the messages.
std::vector<int32_t> chat_prompt_ids(const std::vector<ChatMessage>& messages,
                                     const text::Tokenizer& tokenizer,
                                     const text::ChatTemplate& chat_template);

// The template of a model's files. Throws Error naming `model` if it has none.
text::ChatTemplate open_chat_template(const text::Tokenizer& tokenizer, const std::string& model);

// The prompt of a conversation with a model that has no template: the system text, then the turns,
// each after its marker, with a rule after every answer. Nothing in it becomes a special token.
std::vector<int32_t> dialogue_prompt_ids(const std::vector<ChatMessage>& messages,
                                         const text::Tokenizer& tokenizer,
                                         const DialogueMarkers& markers);
// What ends an answer there.
std::vector<std::string> dialogue_stops(const DialogueMarkers& markers);

class ChatSession {
 public:
  // model and tokenizer must outlive the session; name is the model's, for messages. A model
  // without a template needs a preset or a system text before it can answer.
  ChatSession(const models::LanguageModel& model, const text::Tokenizer& tokenizer,
              const std::string& name);

  // Its system text and examples from now on, and for a model without a template its markers.
  void use(const Preset& preset);
  // Throws Error naming the options that help if the model has no template and nothing was set that
  // makes an assistant of it.
  void check_ready() const;

  // The model's answer. options.max_tokens is a wish: an answer is cut where the context ends. When
  // the conversation does not fit, its oldest question and answer are dropped, as often as needed,
  // and `dropped` is called with how many of these pairs went. A question that fits in no way is an
  // Error, and leaves the conversation as it was. A cancelled answer stays as far as it went;
  // without any text the question goes too.
  GenerateResult ask(const std::string& question, GenerateOptions options,
                     const StreamCallback& stream = {},
                     const std::function<void(int64_t)>& dropped = {});

  void set_system(const std::string& text);  // empty: none
  std::string system() const;                // empty: none
  void reset();                              // forgets all messages but the system's
  const std::vector<ChatMessage>& messages() const { return messages_; }

  // {"messages": [{"role", "content"}, ...]}
  nlohmann::ordered_json to_json() const;
  // Takes such an object, or the list itself. Throws Error naming the entry that is not a message;
  // the conversation then stays as it was.
  void load(const nlohmann::ordered_json& conversation);

 private:
  std::vector<int32_t> prompt_ids(const std::vector<ChatMessage>& messages) const;
  std::vector<int32_t> fitting_prompt(std::vector<ChatMessage>& messages,
                                      const GenerateOptions& options, int64_t& dropped_pairs) const;

  const models::LanguageModel& model_;
  const text::Tokenizer& tokenizer_;
  std::string name_;
  std::optional<text::ChatTemplate> template_;
  DialogueMarkers markers_;            // without a template
  std::vector<ChatMessage> examples_;  // after the system text, in every prompt
  Generator generator_;
  std::vector<ChatMessage> messages_;
};

}  // namespace sumi::generate
