#include "text/post_processor.h"

#include "base/error.h"

namespace sumi::text {
namespace {

int32_t checked_id(int64_t id, const TokenTable& table, const std::string& where) {
  if (!table.has(id)) fail("{}: token id {} is not in the vocabulary", where, id);
  return static_cast<int32_t>(id);
}

// ["</s>", 2]
int32_t pair_id(const Json& config, const char* key, const TokenTable& table,
                const std::string& where) {
  const Json& pair = require_field(config, key, where);
  if (!pair.is_array() || pair.size() != 2 || !pair[1].is_number_integer()) {
    fail("{}: {}: expected [token, id]", where, key);
  }
  return checked_id(pair[1].get<int64_t>(), table, where);
}

void append_special(const std::string& name, const Json& tokens, const TokenTable& table,
                    const std::string& where, std::vector<int32_t>* out) {
  const Json& token = require_field(tokens, name.c_str(), where + " special_tokens");
  const Json& ids = require_array(token, "ids", where);
  for (const Json& id : ids) {
    if (!id.is_number_integer()) fail("{}: ids of {}: expected integers", where, name);
    out->push_back(checked_id(id.get<int64_t>(), table, where));
  }
}

}  // namespace

PostProcessor::PostProcessor(const Json& config, const TokenTable& table,
                             const std::string& where) {
  add(config, table, where);
}

PostProcessor::PostProcessor(std::vector<int32_t> before, std::vector<int32_t> after) {
  if (before.empty() && after.empty()) return;
  before.push_back(kText);
  before.insert(before.end(), after.begin(), after.end());
  templates_.push_back(std::move(before));
}

void PostProcessor::add(const Json& config, const TokenTable& table, const std::string& where) {
  const std::string type = require_string(config, "type", where);
  const std::string here = where + " " + type;
  if (type == "Sequence") {
    const Json& list = require_array(config, "processors", here);
    for (const Json& step : list) add(step, table, here);
  } else if (type == "TemplateProcessing") {
    const Json& list = require_array(config, "single", here);
    std::vector<int32_t> ids;
    bool has_text = false;
    for (const Json& item : list) {
      if (const Json* special = find_field(item, "SpecialToken")) {
        append_special(require_string(*special, "id", here),
                       require_field(config, "special_tokens", here), table, here, &ids);
      } else {
        const std::string id = require_string(require_field(item, "Sequence", here), "id", here);
        if (id != "A" || has_text) fail("{}: single: expected sequence A once", here);
        has_text = true;
        ids.push_back(kText);
      }
    }
    if (!has_text) fail("{}: single: sequence A is missing", here);
    templates_.push_back(std::move(ids));
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    templates_.push_back(
        {pair_id(config, "cls", table, here), kText, pair_id(config, "sep", table, here)});
  } else if (type != "ByteLevel") {  // ByteLevel only moves offsets, which nobody asks for here
    fail("{}: unknown post-processor type {}", where, type);
  }
}

std::vector<int32_t> PostProcessor::apply(std::vector<int32_t> ids) const {
  for (const auto& items : templates_) {
    std::vector<int32_t> result;
    result.reserve(ids.size() + items.size());
    for (const int32_t item : items) {
      if (item == kText) {
        result.insert(result.end(), ids.begin(), ids.end());
      } else {
        result.push_back(item);
      }
    }
    ids = std::move(result);
  }
  return ids;
}

}  // namespace sumi::text
