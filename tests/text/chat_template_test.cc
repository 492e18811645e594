// Renderings against those of Python's Jinja2 (tools/reference/chat_templates.py), and what Jinja2
// does not have: limits, and errors that name the construct and the line.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <fstream>

#include "base/error.h"

namespace sumi::text {
namespace {

using Json = nlohmann::ordered_json;

Json read(const std::string& file) {
  const std::string path = std::string(SUMI_TEST_DATA) + "/templates/" + file;
  std::ifstream stream(path);
  EXPECT_TRUE(stream) << path;
  return Json::parse(stream);
}

constexpr int64_t kNow = 1721000000;

std::string render(const std::string& source, const Json& variables = Json::object(),
                   TemplateLimits limits = {}) {
  return ChatTemplate(source, "test", limits).render(variables, kNow);
}

// The message of the Error that rendering throws, or what it rendered.
std::string error_of(const std::string& source, const Json& variables = Json::object(),
                     TemplateLimits limits = {}) {
  try {
    return "rendered: " + render(source, variables, limits).substr(0, 200);
  } catch (const Error& error) {
    return error.what();
  }
}

class ChatTemplateTest : public ::testing::Test {
 protected:
  void SetUp() override {  // strftime_now shows local time
    setenv("TZ", "UTC", 1);
    tzset();
  }
};

void check(const Json& expected, const std::string& source, const Json& variables,
           const std::string& what) {
  const std::string error = error_of(source, variables);
  if (expected.contains("expected")) {
    try {
      EXPECT_EQ(render(source, variables), expected["expected"].get<std::string>()) << what;
    } catch (const Error&) {
      ADD_FAILURE() << what << "\nthrew " << error;
    }
    return;
  }
  EXPECT_TRUE(error.starts_with("test, line ")) << what << "\n" << error;
  // A template's own message is passed on.
  const std::string theirs = expected["error"].get<std::string>();
  const std::string prefix = "TemplateError: ";
  if (theirs.starts_with(prefix)) {
    EXPECT_TRUE(error.ends_with(": " + theirs.substr(prefix.size()))) << what << "\n" << error;
  }
}

TEST_F(ChatTemplateTest, FamiliesAsJinja2) {
  const Json data = read("families.json");
  ASSERT_EQ(data["now"].get<int64_t>(), kNow);
  ASSERT_GE(data["families"].size(), 18u);
  for (const auto& family : data["families"]) {
    ASSERT_EQ(family["results"].size(), data["conversations"].size());
    for (size_t i = 0; i < family["results"].size(); ++i) {
      const auto& conversation = data["conversations"][i];
      check(family["results"][i], family["template"].get<std::string>(), conversation["variables"],
            family["name"].get<std::string>() + ", " + conversation["title"].get<std::string>());
    }
  }
}

TEST_F(ChatTemplateTest, CasesAsJinja2) {
  const Json cases = read("cases.json"), variables = read("case_variables.json");
  ASSERT_GT(cases.size(), 500u);
  for (const auto& one : cases) {
    const std::string source = one["template"].get<std::string>();
    check(one, source, variables[one["variables"].get<size_t>()], source);
  }
}

TEST_F(ChatTemplateTest, ErrorsNameConstructAndLine) {
  const std::pair<const char*, const char*> cases[] = {
      {"a\n{{ x | nope }}", "test, line 2: unknown filter 'nope'"},
      {"a\n\n{{ x is nope }}", "test, line 3: unknown test 'nope'"},
      {"{% if true %}\n{{ 1 | nope }}{% endif %}", "test, line 2: unknown filter 'nope'"},
      {"\n{% include 'x' %}", "test, line 2: unsupported tag 'include'"},
      {"\n{% block x %}{% endblock %}", "test, line 2: unsupported tag 'block'"},
      {"{% do x %}", "test, line 1: unknown tag 'do'"},
      {"{% for i in x recursive %}{% endfor %}", "test, line 1: unsupported: recursive loops"},
      {"\n{{ 'a'.encode() }}", "test, line 2: unsupported method 'encode' of str"},
      {"\n\n{{ x.y }}", "test, line 3: 'x' is undefined"},
      {"{{ {}.a.b }}", "test, line 1: 'dict' object has no attribute 'a'"},
      {"{{ [].append(1) }}",
       "test, line 1: access to attribute 'append' of 'list' object is unsafe."},
      {"\n{{ raise_exception('my words') }}", "test, line 2: my words"},
      {"{{ 2 ** 63 }}",
       "test, line 1: integer overflow: 2147483648 * 4294967296 needs over 64 bits"},
      {"{{ 9223372036854775807 + 1 }}",
       "test, line 1: integer overflow: 9223372036854775807 + 1 needs over 64 bits"},
      {"{{ 9223372036854775808 }}",
       "test, line 1: integer 9223372036854775808 does not fit 64 bits"},
      {"{% if true %}", "test, line 1: expected 'endif', found the end of the template"},
      {"x\n{# y", "test, line 2: missing end of comment tag"},
      {"{{ 'x }}", "test, line 1: a string without end"},
      {"{% set x = [1, 2 %}", "test, line 1: unexpected '}', expected ']'"},
  };
  for (const auto& [source, message] : cases) EXPECT_EQ(error_of(source), message) << source;
  // The line of a macro's fault is that of its body; the line of a later one is right again.
  const std::string macro = "{% macro m(x) %}\n{{ x.y.z }}\n{% endmacro %}\n\n{{ m({}) }}";
  EXPECT_EQ(error_of(macro), "test, line 2: 'dict' object has no attribute 'y'");
}

// Each takes a short template to much time or memory: all must end as errors, soon.
TEST_F(ChatTemplateTest, LimitsHold) {
  const std::string nines(100000, '(');
  std::string nested_if, sum = "{{ 1", list = "{{ ", attributes = "{{ x", filters = "{{ 'a'";
  for (int i = 0; i < 20000; ++i) {
    nested_if += "{% if true %}";
    sum += "+1";
    list += "[";
    attributes += ".a";
    filters += "|upper";
  }
  const std::string cases[] = {
      "{{ 'x' * 10000000000 }}",
      "{{ [0] * 10000000000 }}",
      "{% set ns = namespace(s='x') %}{% for i in range(64) %}{% set ns.s = ns.s ~ ns.s %}{% "
      "endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}{% "
      "endfor %}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] %}{% "
      "endfor %}"
      "{{ ns.s }}",
      "{% set ns = namespace(s=[1], t=[1]) %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] %}"
      "{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(64) %}{% set ns.s = [ns.s, ns.s] %}{% "
      "endfor %}"
      "{{ ns.s | tojson }}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(100000) %}{% set ns.s = [ns.s] %}{% endfor "
      "%}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% for a in range(100000) %}{{ 'x' * 1000 }}{% endfor %}",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro m() %}{{ caller() }}{% endmacro %}{% macro n() %}{% call m() %}{{ n() }}{% endcall "
      "%}"
      "{% endmacro %}{{ n() }}",
      "{{ '%100000000000d' % 1 }}",
      "{{ '%99999999d' % 1 }}",
      "{{ '{:99999999}'.format(1) }}",
      "{{ 'a'.center(99999999999) }}",
      "{{ '1'.zfill(99999999999) }}",
      "{{ [[1]] | tojson(indent=99999999999) }}",
      "{{ 'a' | indent(99999999999) }}",
      "{{ [1] | batch(99999999999, 0) | list }}",
      "{{ [1] | slice(99999999999) | list }}",
      "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
      "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}",
      "{{ ('b' * 8000).join('a' * 8000) }}",
      "{% set s = 'a' * 8000000 %}{% for i in range(10000) %}{{ s[4000000:4000000] }}{{ "
      "s.find('b') }}"
      "{% endfor %}",
      "{% set s = 'a' * 8000000 %}{{ s.rfind('b' + 'a' * 4000000) }}",
      nested_if,
      sum + " }}",
      list,
      attributes + " }}",
      filters + " }}",
      "{{ " + nines,
      "{{ " + std::string(100000, '-') + "1 }}",
      "{{ " + std::string(100000, '{'),
  };
  for (const std::string& source : cases) {
    const std::string error = error_of(source);
    EXPECT_TRUE(error.starts_with("test, line ")) << source.substr(0, 200) << "\n" << error;
  }
  TemplateLimits few;
  few.steps = 100;
  EXPECT_EQ(error_of("{% for i in range(1000) %}{{ i }}{% endfor %}", {}, few),
            "test, line 1: the template takes too many steps");
  TemplateLimits small;
  small.output_bytes = 10;
  EXPECT_EQ(render("0123456789", {}, small), "0123456789");
  EXPECT_EQ(error_of("0123456789a", {}, small),
            "test, line 1: a string or the output would exceed 10 bytes");
}

// Values that refer to themselves must neither hang nor leak (the sanitizer builds see leaks).
TEST_F(ChatTemplateTest, CyclesAreHarmless) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.a = [ns] %}{% set ns.b = ns %}x"), "x");
  EXPECT_EQ(
      render("{% macro m() %}{% endmacro %}{% set ns = namespace(m=m) %}{% set ns.n = ns %}x"),
      "x");
  EXPECT_EQ(render("{% set ns = namespace() %}{% for i in [1] %}{% set ns.f = loop.changed %}"
                   "{{ loop.changed(loop) }}{% endfor %}{{ ns.f(ns.f) }}"),
            "TrueTrue");
}

TEST_F(ChatTemplateTest, InvalidUtf8IsReplaced) {
  EXPECT_EQ(render("\xff{{ s | length }}\xc3", {{"s", "a\xf0\x9f"}}),
            "\xef\xbf\xbd"
            "3\xef\xbf\xbd");
}

TEST_F(ChatTemplateTest, RendersAgainAndMoves) {
  ChatTemplate first("{% set ns = namespace(n=0) %}{% set ns.n = ns.n + x %}{{ ns.n }}", "test");
  EXPECT_EQ(first.render({{"x", 1}}), "1");
  const ChatTemplate second = std::move(first);
  EXPECT_EQ(second.render({{"x", 2}}), "2");
  EXPECT_EQ(second.render({{"x", 3}}), "3");
}

TEST_F(ChatTemplateTest, DeepVariables) {
  Json deep = 1;
  for (int i = 0; i < 1000; ++i) deep = Json::array({deep});
  EXPECT_EQ(error_of("x", {{"deep", deep}}),
            "test, line 1: variables are nested more than 400 deep");
  EXPECT_EQ(error_of("{{ x }}", {{"x", UINT64_MAX}}),
            "test, line 1: the variable 18446744073709551615 does not fit 64 bits");
}

}  // namespace
}  // namespace sumi::text
