// The manual page knows every option of every verb; tools/man_options writes them there.
#include <gtest/gtest.h>

#include <regex>

#include "cli/command.h"

namespace sumi::cli {
namespace {

std::vector<std::string> matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it)
    found.push_back((*it)[1]);
  return found;
}

void expect_options(const std::string& verb, const std::string& page) {
  const std::string help = run(verb + " --help").out;
  const size_t list = help.find("\nSubcommands:\n");
  if (list != std::string::npos)  // two columns; the examples below them have single blanks
    for (const std::string& name : matches(help.substr(list), "\n  ([a-z-]+)  +"))
      expect_options(verb.empty() ? name : verb + " " + name, page);
  for (const std::string& option : matches(help, "\n  (?:-[a-zA-Z],)?(--[a-z0-9-]+)"))
    if (option != "--help") {
      EXPECT_TRUE(std::regex_search(page, std::regex(option + "[^a-z0-9-]")))
          << "sumi " << verb << ": " << option << " (run tools/man_options)";
    }
}

TEST(CliMan, HasEveryOption) {
  const std::string page =
      std::regex_replace(slurp(SUMI_TEST_DATA "/../../docs/man/sumi.1"), std::regex("\\\\-"), "-");
  ASSERT_GT(page.size(), 1000u);
  expect_options("", page);
}

}  // namespace
}  // namespace sumi::cli
