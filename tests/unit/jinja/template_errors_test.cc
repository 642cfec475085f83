// Errors name the line and the reason.
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/jinja/render.h"

namespace deeprack::coordinator::jinja {
namespace {

TEST(JinjaErrors, NameTheLineAndTheReason) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"a\n{{ x.y }}", "line 2: 'x' is undefined"},
      {"{{ d.a.b }}", "line 1: 'dict object' has no attribute 'a'"},
      {"\n\n{% for m in d %}\n{{ m.a.b }}{% endfor %}", "line 4: 'str object' has no attribute 'a'"},
      {"{{ 'a' + 1 }}", "line 1: unsupported operand types for +: 'str' and 'int'"},
      {"{{ raise_exception('Roles must alternate') }}", "line 1: Roles must alternate"},
      {"{% macro m() %}\n{{ 1 // 0 }}{% endmacro %}\n\n{{ m() }}", "line 2: division by zero"},
      {"{{\n\n1 | nope }}", "line 3: no filter named 'nope'"},
      {"{{ [].append(1) }}", "line 1: access to attribute 'append' of 'list' object is unsafe."},
      {"a\n{% if 1 %}\nb\n", "line 3: the template ends before {% endif %}"},
      {"{{ 'a' ", "line 1: a tag without }}"},
      {"\n{% include 'x' %}", "line 2: {% include %} is not supported"},
      {"{% set x = %}", "line 1: found '%}' where an expression should be"},
      {"{{ 'a }}", "line 1: a string without its closing quote"},
      {"{# a\n\n", "line 1: a comment without #}"},
      {"{% for x in [1] recursive %}{% endfor %}", "line 1: recursive loops are not supported"},
      {"{{ f(*a) }}", "line 1: arguments by * and ** are not supported"},
      {"{{ 'x'.split(sep=1) }}", "line 1: split(): 'sep' must be a str, not int"},
      {"{{ 'x'.strip('a', 'b') }}", "line 1: strip() takes 1 arguments, not 2"},
      {"{{ '\xFF' }}", "the template is not valid UTF-8 at byte 4"},
      {"{{ '\\ud800' }}", "line 1: an escape in a string is no character"},
  };
  for (const auto& [source, error] : cases) {
    const auto text = Render(source, R"({"d": {"b": 1}})");
    EXPECT_EQ(ErrorOf(text), error) << source;
    EXPECT_EQ(text.status().code(), absl::StatusCode::kInvalidArgument) << source;
  }
}

TEST(JinjaErrors, ATemplateMayBeRenderedAgainAfterAnError) {
  const Template parsed = *Template::Parse("{{ x + 1 }}");
  EXPECT_FALSE(parsed.Render(FromJson(R"({"x": "a"})")->dict(), absl::UnixEpoch()).ok());
  EXPECT_EQ(parsed.Render(FromJson(R"({"x": 1})")->dict(), absl::UnixEpoch())->bytes(), "2");
}

}  // namespace
}  // namespace deeprack::coordinator::jinja
