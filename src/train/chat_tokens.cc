#include "train/chat_tokens.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"
#include "models/language/export.h"
#include "text/tokenizer.h"

namespace sumi::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStart = "<|im_start|>";
constexpr const char* kEnd = "<|im_end|>";
constexpr const char* kTemplate =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

// Changes an object in a file; one that is missing begins empty if `make`.
template <class Change>
void change_file(const std::string& path, bool make, const Change& change) {
  Json object = Json::object();
  if (formats::file_exists(path))
    object = Json::parse(formats::read_json_file(path).dump());
  else if (!make)
    return;
  change(object);
  formats::write_text_file(path, object.dump(2) + "\n");
}

}  // namespace

ChatTokens write_chatml_tokenizer(const std::string& source, const std::string& folder) {
  if (!formats::file_exists(source + "/tokenizer.json"))
    fail("{}: adding tokens needs a Hugging Face folder with tokenizer.json", source);
  const auto old = text::open_tokenizer(source);
  models::copy_tokenizer_files(source, folder);
  ChatTokens tokens{old->vocab_size(), 0};
  Json added = Json::array();
  for (const char* text : {kStart, kEnd})
    if (!old->find_token(text))
      added.push_back({{"id", tokens.begin + tokens.count++},
                       {"content", text},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", true}});
  change_file(folder + "/tokenizer.json", false, [&](Json& object) {
    for (const Json& token : added) object["added_tokens"].push_back(token);
  });
  change_file(folder + "/tokenizer_config.json", true, [&](Json& object) {
    object["chat_template"] = kTemplate;
    object["eos_token"] = kEnd;
    if (object.contains("added_tokens_decoder"))
      for (const Json& token : added) {
        Json entry = token;
        entry.erase("id");
        object["added_tokens_decoder"][token.at("id").dump()] = entry;
      }
  });
  change_file(folder + "/special_tokens_map.json", false,
              [](Json& object) { object["eos_token"] = kEnd; });
  if (formats::file_exists(folder + "/chat_template.jinja"))
    formats::write_text_file(folder + "/chat_template.jinja", kTemplate);
  const auto now = text::open_tokenizer(folder);
  // Both the new end of a turn and what ended a text before.
  change_file(folder + "/generation_config.json", true, [&](Json& object) {
    std::vector<int32_t> ends = {*now->find_token(kEnd)};
    for (const int32_t id : old->end_ids)
      if (id != ends[0]) ends.push_back(id);
    object["eos_token_id"] = ends;
  });
  return tokens;
}

}  // namespace sumi::train
