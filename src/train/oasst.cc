#include "train/oasst.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/error.h"
#include "formats/atomic_file.h"
#include "formats/json.h"

namespace sumi::train {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 200;  // messages in a dialogue

struct Message {
  std::string role, text;
  double rank = 0;
  bool rejected = false;
  std::string language;
  std::vector<size_t> replies;  // of all messages
};

class Forest {
 public:
  Message read_message(const Json& json, const std::string& where) {
    Message message;
    const std::string role = formats::require_string(json, "role", where);
    if (role != "prompter" && role != "assistant")
      fail("{}: role: expected prompter or assistant, found {}", where, role);
    message.role = role == "prompter" ? "user" : role;
    message.text = formats::require_string(json, "text", where);
    message.rank = formats::optional_float(json, "rank", 1e9, where);  // unranked after all ranked
    message.rejected = formats::optional_bool(json, "deleted", false, where) ||
                       !formats::optional_bool(json, "review_result", true, where);
    message.language = formats::optional_string(json, "lang", "", where);
    return message;
  }

  size_t add_tree(const Json& json, const std::string& where, int depth) {
    if (depth > kDeepest) fail("{}: a dialogue of more than {} messages", where, kDeepest);
    if (!json.is_object()) fail("{}: a message is {}, expected an object", where, json.type_name());
    const size_t index = messages_.size();
    messages_.push_back(read_message(json, where));
    if (formats::has_field(json, "replies"))
      for (const Json& reply : formats::require_array(json, "replies", where)) {
        const size_t child = add_tree(reply, where, depth + 1);
        messages_[index].replies.push_back(child);
      }
    return index;
  }

  void add_line(const Json& json, const std::string& where) {
    if (formats::has_field(json, "prompt")) {
      roots_.push_back(add_tree(json.at("prompt"), where, 0));
      return;
    }
    const std::string id = formats::require_string(json, "message_id", where);
    const size_t index = messages_.size();
    messages_.push_back(read_message(json, where));
    if (!by_id_.emplace(id, index).second) fail("{}: message_id {} is used twice", where, id);
    const std::string parent = formats::optional_string(json, "parent_id", "", where);
    if (parent.empty()) {
      roots_.push_back(index);
      return;
    }
    const auto found = by_id_.find(parent);
    if (found == by_id_.end()) fail("{}: parent_id {} has not been seen", where, parent);
    messages_[found->second].replies.push_back(index);
  }

  std::vector<Message> messages_;
  std::vector<size_t> roots_;

 private:
  std::map<std::string, size_t> by_id_;
};

class Flattener {
 public:
  Flattener(const Forest& forest, const OasstOptions& options, formats::AtomicFile& file)
      : forest_(forest), options_(options), file_(file) {}

  void walk(size_t index) {
    const Message& message = forest_.messages_[index];
    if (message.rejected && !options_.keep_rejected) return;
    if (static_cast<int>(way_.size()) >= kDeepest) return;
    way_.push_back(index);
    std::vector<size_t> replies;
    for (const size_t reply : message.replies)
      if (options_.keep_rejected || !forest_.messages_[reply].rejected) replies.push_back(reply);
    std::stable_sort(replies.begin(), replies.end(), [&](size_t a, size_t b) {
      return forest_.messages_[a].rank < forest_.messages_[b].rank;
    });
    if (options_.best_only && replies.size() > 1) replies.resize(1);
    const bool leads_on = std::any_of(replies.begin(), replies.end(), [&](size_t reply) {
      return message.role == "user" || has_answer(reply);
    });
    if (message.role == "assistant" && !leads_on) write();
    if (message.role == "user" || leads_on)
      for (const size_t reply : replies) walk(reply);
    way_.pop_back();
  }

  OasstCounts counts;

 private:
  // Whether something of the assistant follows a user's message.
  bool has_answer(size_t index) const {
    const Message& message = forest_.messages_[index];
    return std::any_of(message.replies.begin(), message.replies.end(), [&](size_t reply) {
      return options_.keep_rejected || !forest_.messages_[reply].rejected;
    });
  }

  void write() {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const size_t index : way_)
      list.push_back({{"role", forest_.messages_[index].role},
                      {"content", forest_.messages_[index].text}});
    const std::string line = nlohmann::ordered_json{{"messages", list}}.dump() + "\n";
    file_.write(line.data(), line.size());
    ++counts.dialogues;
    counts.messages += static_cast<int64_t>(way_.size());
  }

  const Forest& forest_;
  OasstOptions options_;
  formats::AtomicFile& file_;
  std::vector<size_t> way_;
};

}  // namespace

OasstCounts flatten_oasst(const std::string& input, const std::string& output,
                          const OasstOptions& options) {
  Forest forest;
  formats::JsonLimits limits;
  limits.depth = 2 * kDeepest + 10;
  formats::for_each_json_line(input, limits, [&](const Json& json, int64_t, const std::string& where) {
    forest.add_line(json, where);
  });
  formats::AtomicFile file(output);
  Flattener flattener(forest, options, file);
  for (const size_t root : forest.roots_) {
    const std::string& language = forest.messages_[root].language;
    if (!options.language.empty() && language != options.language) continue;
    ++flattener.counts.trees;
    flattener.walk(root);
  }
  if (flattener.counts.dialogues == 0) fail("{}: there are no dialogues to write", input);
  file.commit();
  return flattener.counts;
}

}  // namespace sumi::train
