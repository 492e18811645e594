// Conversation trees of OpenAssistant (arXiv:2304.07327) as dialogues.
#pragma once

#include <cstdint>
#include <string>

namespace sumi::train {

struct OasstOptions {
  std::string language;    // only trees of this code ("en"); empty: all
  bool best_only = false;  // of several replies only the one ranked first
  bool keep_rejected = false;  // also messages that were deleted or failed their review
};

struct OasstCounts {
  int64_t trees = 0, dialogues = 0, messages = 0;
};

// Reads JSON lines with a tree each ({"prompt": {"text", "role", "replies": [...]}}), or a message
// each ({"message_id", "parent_id", "text", "role"}), and writes a line {"messages": [...]} for each
// way from a root to a last answer of the assistant. Throws Error naming file and line.
OasstCounts flatten_oasst(const std::string& input, const std::string& output,
                          const OasstOptions& options);

}  // namespace sumi::train
