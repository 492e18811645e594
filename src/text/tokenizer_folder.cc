// A Hugging Face folder's tokenizer: tokenizer.json and the files beside it.
#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "text/tokenizer_json.h"

namespace sumi::text {
namespace {

namespace fs = std::filesystem;

Json read_json(const std::string& path) {
  return formats::file_exists(path) ? formats::read_json_file(path) : Json::object();
}

// A token is a string, or an object with "content".
std::optional<std::string> token_member(const Json& config, const char* key,
                                        const std::string& where) {
  const Json* value = find_field(config, key);
  if (!value) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  return require_string(*value, "content", where + " " + key);
}

// A string, or a list of named templates of which "default" is taken.
std::string template_member(const Json& config, const std::string& where) {
  const Json* value = find_field(config, "chat_template");
  if (!value) return "";
  if (!value->is_array()) return require_string(config, "chat_template", where);
  for (const Json& item : *value) {
    if (require_string(item, "name", where + " chat_template") == "default") {
      return require_string(item, "template", where + " chat_template");
    }
  }
  fail("{}: chat_template: no template is named default", where);
}

void add_end_id(Tokenizer* tokenizer, int64_t id, const std::string& where) {
  if (id < 0 || id >= tokenizer->vocab_size()) {
    fail("{}: eos_token_id: {} is not in the vocabulary of {}", where, id, tokenizer->vocab_size());
  }
  auto& ids = tokenizer->end_ids;
  if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(static_cast<int32_t>(id));
}

// eos_token_id is a number or a list of them. False if there is none.
bool add_end_ids(Tokenizer* tokenizer, const Json& config, const std::string& where) {
  const Json* value = find_field(config, "eos_token_id");
  if (!value) return false;
  if (!value->is_array()) {
    add_end_id(tokenizer, require_int(config, "eos_token_id", where), where);
    return true;
  }
  for (const Json& id : *value) {
    if (!id.is_number_integer()) fail("{}: eos_token_id: expected integers", where);
    add_end_id(tokenizer, id.get<int64_t>(), where);
  }
  return true;
}

// transformers adds tokens of tokenizer_config.json that tokenizer.json lacks.
void merge_added_tokens(Json* tokenizer, const Json& config, const std::string& where) {
  const Json* more = find_field(config, "added_tokens_decoder");
  if (!more) return;
  if (!more->is_object()) fail("{}: added_tokens_decoder: expected an object", where);
  Json& list = (*tokenizer)["added_tokens"];
  if (list.is_null()) list = Json::array();
  if (!list.is_array()) return;  // the reader of tokenizer.json says so
  std::vector<std::string> known;
  for (const Json& item : list) known.push_back(require_string(item, "content", "added_tokens"));
  for (const auto& [id, token] : more->items()) {
    const std::string content = require_string(token, "content", where + " added_tokens_decoder");
    if (std::find(known.begin(), known.end(), content) != known.end()) continue;
    Json added = token;
    const bool number =
        !id.empty() && id.size() < 10 &&
        std::all_of(id.begin(), id.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!number) fail("{}: added_tokens_decoder: expected an id, found {}", where, id);
    added["id"] = std::stoll(id);
    list.push_back(std::move(added));
  }
}

// Classes whose transformers code builds the post-processor from add_bos_token and add_eos_token.
bool class_adds_tokens(std::string name) {
  if (name.size() > 4 && name.compare(name.size() - 4, 4, "Fast") == 0)
    name.resize(name.size() - 4);
  constexpr std::array kClasses = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer",
                                   "CohereTokenizer"};
  return std::find(kClasses.begin(), kClasses.end(), name) != kClasses.end();
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& folder) {
  const fs::path base(folder);
  const std::string name = (base / "tokenizer.json").string();
  Json description = formats::read_json_file(name);
  const std::string config_name = (base / "tokenizer_config.json").string();
  const std::string map_name = (base / "special_tokens_map.json").string();
  const Json config = read_json(config_name), map = read_json(map_name);
  merge_added_tokens(&description, config, config_name);
  auto tokenizer = std::make_unique<JsonTokenizer>(description, name);

  const auto id_of = [&](const char* key) -> std::optional<int32_t> {
    auto token = token_member(config, key, config_name);
    if (!token) token = token_member(map, key, map_name);
    // Files name tokens that the vocabulary lacks, mostly for padding: then there is no such token.
    return token ? tokenizer->find_token(*token) : std::nullopt;
  };
  tokenizer->bos_id = id_of("bos_token");
  tokenizer->eos_id = id_of("eos_token");
  tokenizer->unk_id = id_of("unk_token");
  tokenizer->pad_id = id_of("pad_token");

  if (class_adds_tokens(optional_string(config, "tokenizer_class", "", config_name)) &&
      (find_field(config, "add_bos_token") || find_field(config, "add_eos_token"))) {
    std::vector<int32_t> before, after;
    const bool add_bos = optional_bool(config, "add_bos_token", true, config_name);
    const bool add_eos = optional_bool(config, "add_eos_token", false, config_name);
    if (add_bos && tokenizer->bos_id) before.push_back(*tokenizer->bos_id);
    if (add_eos && tokenizer->eos_id) after.push_back(*tokenizer->eos_id);
    tokenizer->set_post_processor(PostProcessor(before, after));
  }
  tokenizer->find_adds_bos();

  const std::string generation_name = (base / "generation_config.json").string();
  const std::string model_name = (base / "config.json").string();
  if (!add_end_ids(tokenizer.get(), read_json(generation_name), generation_name)) {
    add_end_ids(tokenizer.get(), read_json(model_name), model_name);
  }
  if (tokenizer->eos_id) {
    add_end_id(tokenizer.get(), *tokenizer->eos_id, config_name);
  } else if (!tokenizer->end_ids.empty()) {
    tokenizer->eos_id = tokenizer->end_ids.front();
  }

  const std::string jinja_name = (base / "chat_template.jinja").string();
  tokenizer->chat_template = formats::file_exists(jinja_name)
                                 ? formats::read_text_file(jinja_name)
                                 : template_member(config, config_name);
  return tokenizer;
}

}  // namespace sumi::text
