// Stop strings in a text that arrives in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sumi::text {

// Lets text through up to the first stop string, and holds back an end that may become one. The
// match that is complete first counts (of several complete at the same place, the longest), so that
// the outcome does not depend on how the text is cut into pieces.
class StopMatcher {
 public:
  // Throws Error on an empty stop string.
  explicit StopMatcher(std::vector<std::string> stops);

  // The text that is now certain. After a match: nothing.
  std::string add(std::string_view text);
  // The text is over: what was held back. After a match: nothing.
  std::string finish();

  bool stopped() const { return !matched_.empty(); }
  const std::string& matched() const { return matched_; }  // the stop string found, else empty

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string matched_;
};

}  // namespace sumi::text
