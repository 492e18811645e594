// A Hugging Face folder's tokenizer: tokenizer.json, or the vocabulary's own files, and the files
// beside them.
#include "text/tokenizer_folder.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "text/tokenizer_json.h"
#include "text/world_tokenizer.h"

namespace sumi::text {
namespace {

namespace fs = std::filesystem;

Json read_json(const std::string& path) {
  return formats::file_exists(path) ? formats::read_json_file(path) : Json::object();
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

// transformers adds tokens of tokenizer_config.json that tokenizer.json lacks. Where the vocabulary's own files are
// read (`replace`) they may take the place of its tokens: InternLM2's chat tokens that of [UNUSED_TOKEN_145] and others.
void merge_added_tokens(Json* tokenizer, const Json& config, const std::string& where,
                        bool replace) {
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
    if (replace) added["replaces"] = true;
    list.push_back(std::move(added));
  }
}

// Tokens that only the special ones' keys, added_tokens.json or lists name, which folders without
// tokenizer.json must find in the text as well.
void add_named_tokens(Json* description, const fs::path& folder, const Json& tokens,
                      const Json& config, const Json& map) {
  Json& list = (*description)["added_tokens"];
  if (list.is_null()) list = Json::array();
  const auto find = [&](const std::string& content) {
    return std::find_if(list.begin(), list.end(),
                        [&](const Json& item) { return item.at("content") == content; });
  };
  const auto add = [&](const std::string& content, Json token, int64_t id) {
    if (find(content) != list.end()) return;
    token["content"] = content;
    token["special"] = true;
    token["id"] = id;
    list.push_back(std::move(token));
  };
  const std::string name = (folder / "added_tokens.json").string();
  const Json added = read_json(name);
  if (!added.is_object()) fail("{}: expected an object", name);
  const auto id_of = [&](const std::string& content) -> int64_t {
    return added.contains(content) ? require_int(added, content, name) : kOfTheModel;
  };
  const auto add_special = [&](const Json& token, const std::string& where) {
    if (token.is_string()) {
      const std::string content = token.get<std::string>();
      add(content, Json::object(), id_of(content));
    } else {
      const std::string content = require_string(token, "content", where);
      add(content, token, id_of(content));
    }
  };
  for (const auto& [key, token] : tokens.items()) add_special(token, key);
  for (const Json* file : {&config, &map}) {
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
      const Json* more = find_field(*file, key);
      if (!more || !more->is_array()) continue;
      for (const Json& token : *more) add_special(token, key);
    }
  }
  for (const auto& [content, id] : added.items()) {
    if (find(content) != list.end()) continue;
    list.push_back({{"content", content}, {"id", require_int(added, content, name)}});
  }
}

// The folder's special tokens by their keys in tokenizer_config.json. A later file's counts less.
Json special_tokens(const Json& config, const Json& map, const Json& defaults) {
  Json tokens = Json::object();
  for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token", "cls_token",
                          "sep_token", "mask_token"}) {
    for (const Json* source : {&config, &map, &defaults}) {
      // null in tokenizer_config.json means that there is none
      if (source->is_object() && source->contains(key)) {
        if (!(*source)[key].is_null()) tokens[key] = (*source)[key];
        break;
      }
    }
  }
  return tokens;
}

// Classes whose transformers code builds the post-processor from add_bos_token and add_eos_token
// even where tokenizer.json has one.
bool class_adds_tokens(const std::string& name) {
  constexpr std::array kClasses = {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer",
                                   "CohereTokenizer"};
  return std::find(kClasses.begin(), kClasses.end(), name) != kClasses.end();
}

// Classes that put BOS first unless add_bos_token says otherwise.
bool class_adds_bos(const std::string& name) {
  constexpr std::array kClasses = {"LlamaTokenizer", "CodeLlamaTokenizer", "BaichuanTokenizer",
                                   "InternLMTokenizer", "InternLM2Tokenizer"};
  return std::find(kClasses.begin(), kClasses.end(), name) != kClasses.end();
}

}  // namespace

bool has_tokenizer(const std::string& folder) {
  return formats::file_exists((fs::path(folder) / "tokenizer.json").string()) ||
         !find_plain_vocabulary(folder).empty();
}

std::unique_ptr<Tokenizer> open_tokenizer_file(const std::string& path) {
  if (fs::path(path).extension() == ".txt")
    return std::make_unique<WorldTokenizer>(formats::read_text_file(path), path);
  auto tokenizer = std::make_unique<JsonTokenizer>(formats::read_json_file(path), path);
  tokenizer->find_adds_bos();
  return tokenizer;
}

TokenizerFolder read_tokenizer_folder(const std::string& folder) {
  const fs::path base(folder);
  TokenizerFolder read;
  read.config_name = (base / "tokenizer_config.json").string();
  read.config = read_json(read.config_name);
  const Json map = read_json((base / "special_tokens_map.json").string());
  read.class_name = tokenizer_class(folder, read.config);
  const std::string json_name = (base / "tokenizer.json").string();
  read.has_json = formats::file_exists(json_name);
  read.tokens = special_tokens(
      read.config, map, read.has_json ? Json::object() : default_tokens(folder, read.class_name));
  if (read.has_json) {
    read.files.name = json_name;
    read.files.description = formats::read_json_file(json_name);
  } else {
    read.files = read_plain_files(folder, read.class_name, read.config, read.tokens);
  }
  merge_added_tokens(&read.files.description, read.config, read.config_name, !read.has_json);
  if (!read.has_json)
    add_named_tokens(&read.files.description, base, read.tokens, read.config, map);
  return read;
}

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& folder) {
  const fs::path base(folder);
  if (!formats::file_exists((base / "tokenizer.json").string()) &&
      find_plain_vocabulary(folder) == kRwkvVocabulary)
    return open_tokenizer_file((base / kRwkvVocabulary).string());
  TokenizerFolder read = read_tokenizer_folder(folder);
  const bool has_json = read.has_json;
  const std::string &config_name = read.config_name, &class_name = read.class_name;
  const Json &config = read.config, &tokens = read.tokens;
  PlainFiles& files = read.files;
  auto tokenizer =
      std::make_unique<JsonTokenizer>(files.description, files.name, std::move(files.parts));

  const auto id_of = [&](const char* key) -> std::optional<int32_t> {
    const auto token = token_member(tokens, key, config_name);
    // Files name tokens that the vocabulary lacks, mostly for padding: then there is no such token.
    return token ? tokenizer->find_token(*token) : std::nullopt;
  };
  tokenizer->bos_id = id_of("bos_token");
  tokenizer->eos_id = id_of("eos_token");
  tokenizer->unk_id = id_of("unk_token");
  tokenizer->pad_id = id_of("pad_token");

  const bool flags = find_field(config, "add_bos_token") || find_field(config, "add_eos_token");
  const bool bos_by_default = !has_json && class_adds_bos(class_name);
  if ((flags && (!has_json || class_adds_tokens(class_name))) || bos_by_default) {
    std::vector<int32_t> before, after;
    const bool add_bos =
        optional_bool(config, "add_bos_token", has_json || bos_by_default, config_name);
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

  // Files without a limit have 1e30 there.
  if (const Json* length = find_field(config, "model_max_length"))
    if (length->is_number() && length->get<double>() >= 1 && length->get<double>() < 1e9)
      tokenizer->max_length = length->get<int64_t>();

  const std::string jinja_name = (base / "chat_template.jinja").string();
  tokenizer->chat_template = formats::file_exists(jinja_name)
                                 ? formats::read_text_file(jinja_name)
                                 : template_member(config, config_name);
  return tokenizer;
}

}  // namespace sumi::text
