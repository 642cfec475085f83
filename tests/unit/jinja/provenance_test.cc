// Each byte of a rendered text is known to come from the template or from the data.
#include <map>

#include "gtest/gtest.h"
#include "tests/unit/jinja/render.h"

namespace deeprack::coordinator::jinja {
namespace {

// The text with the parts from the data in «guillemets».
std::string Marked(std::string_view source, std::string_view variables) {
  const absl::StatusOr<Text> text = Render(source, variables);
  if (!text.ok()) return ErrorOf(text);
  std::string marked;
  size_t begin = 0;
  for (const Text::Run& run : text->runs()) {
    const std::string part = text->bytes().substr(begin, run.end - begin);
    marked += run.origin == Origin::kData ? "«" + part + "»" : part;
    begin = run.end;
  }
  return marked;
}

constexpr std::string_view kData = R"({"s": " <b>Ada</b> ", "d": {"k": "v\n"}, "l": ["x", "y"], "n": 5})";

TEST(JinjaProvenance, FollowsTextThroughEveryOperation) {
  const std::map<std::string, std::string> cases = {
      {"<b>{{ s }}</b>", "<b>« <b>Ada</b> »</b>"},
      {"{{ '<' + s + '>' }}", "<« <b>Ada</b> »>"},
      {"{{ '<' ~ s ~ n ~ '>' }}", "<« <b>Ada</b> »5>"},
      {"{{ s | trim }}|{{ s.strip() }}", "«<b>Ada</b>»|«<b>Ada</b>»"},
      {"{{ ('<' + s + '>')[0:3] }}", "<« <»"},
      {"{{ ('a' + l[0] + 'b')[::-1] }}", "b«x»a"},
      {"{{ ('<' + l[0] + '>') | upper }}", "<«X»>"},
      {"{{ ('<' + l[0] + 'a b>') | title }}", "<«X»a B>"},
      {"{{ s.replace('Ada', 'Eve') }}", "« <b>»Eve«</b> »"},
      {"{{ 'axb'.replace('x', s) }}", "a« <b>Ada</b> »b"},
      {"{{ s.split('Ada') | join('|') }}", "« <b>»|«</b> »"},
      {"{{ l | join('-') }}", "«x»-«y»"},
      {"{{ s[0] }}{{ s | first }}{{ s | list | last }}", "«   »"},
      {"{{ d | tojson }}", "{\"«k»\": \"«v\\n»\"}"},
      {"{{ l }}", "['«x»', '«y»']"},
      {"{{ '{}:{}'.format('t', l[0]) }}", "t:«x»"},
      {"{{ '%s:%s' % ('t', l[0]) }}", "t:«x»"},
      {"{% set x %}<{{ l[0] }}>{% endset %}{{ x }}", "<«x»>"},
      {"{% macro m(a) %}[{{ a }}]{% endmacro %}{{ m(l[0]) }}{{ m('t') }}", "[«x»][t]"},
      {"{% filter upper %}a{{ l[0] }}{% endfilter %}", "A«X»"},
      {"{% for k, v in d.items() %}{{ k }}={{ v | trim }}{% endfor %}", "«k»=«v»"},
      {"{{ (d.k + 'a\nb') | indent(2) }}", "«v»\n  a\n  b"},
      {"{{ s | reverse }}", "« >b/<adA>b< »"},
      {"{{ s | default('t') }}{{ q | default('t') }}", "« <b>Ada</b> »t"},
      {"{{ namespace(a=l[0]).a }}{{ n }}{{ n | string }}", "«x»55"},
  };
  for (const auto& [source, marked] : cases) EXPECT_EQ(Marked(source, kData), marked) << source;
}

TEST(JinjaProvenance, SlicesCutRuns) {
  Text text("ab", Origin::kTemplate);
  text.Append("cd", Origin::kData);
  text.Append("ef", Origin::kData);
  text.Append("", Origin::kTemplate);
  ASSERT_EQ(text.runs().size(), 2u);
  EXPECT_EQ(text.runs()[1].end, 6u);
  const Text slice = text.Slice(1, 3);
  EXPECT_EQ(slice.bytes(), "bc");
  ASSERT_EQ(slice.runs().size(), 2u);
  EXPECT_EQ(slice.runs()[0].end, 1u);
  EXPECT_EQ(slice.runs()[1].origin, Origin::kData);
  EXPECT_TRUE(text.Slice(3, 3).runs().empty());
}

}  // namespace
}  // namespace deeprack::coordinator::jinja
