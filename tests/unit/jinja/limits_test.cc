// No template takes more steps, stack, memory or output than the limits say.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/jinja/render.h"

namespace deeprack::coordinator::jinja {
namespace {

using ::testing::HasSubstr;

bool IsExhausted(const absl::StatusOr<Text>& text) {
  return text.status().code() == absl::StatusCode::kResourceExhausted;
}

std::string Repeated(std::string_view part, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += part;
  return text;
}

TEST(JinjaLimits, StepsAreCounted) {
  const std::string loop =
      "{% for x in range(1000) %}{% for y in range(1000) %}{{ x }}{% endfor %}{% endfor %}";
  const auto text = Render(loop, "{}", {.steps = 100'000});
  EXPECT_TRUE(IsExhausted(text));
  EXPECT_THAT(ErrorOf(text), HasSubstr("line 1: the template takes more than 100000 steps"));
  EXPECT_TRUE(Render("{% for x in range(1000) %}{{ x }}{% endfor %}", "{}", {.steps = 100'000}).ok());
}

TEST(JinjaLimits, LongTextsCountForSeveralSteps) {
  // Work on 2^20 bytes counts for 2^14 steps.
  const std::string source =
      "{% set ns = namespace(s='x' * 1048576) %}{% for i in range(1000) %}{% if ns.s | upper %}{% endif %}{% "
      "endfor %}";
  EXPECT_TRUE(IsExhausted(Render(source, "{}", {.steps = 100'000})));
}

TEST(JinjaLimits, OutputIsBounded) {
  const auto text = Render("{% for x in range(100) %}0123456789{% endfor %}", "{}", {.output_bytes = 999});
  EXPECT_TRUE(IsExhausted(text));
  EXPECT_THAT(ErrorOf(text), HasSubstr("more than 999 bytes"));
  EXPECT_EQ(Render("{% for x in range(100) %}0123456789{% endfor %}", "{}", {.output_bytes = 1000})->size(),
            1000u);
}

TEST(JinjaLimits, TextsThatGrowAreBounded) {
  EXPECT_TRUE(IsExhausted(Render("{{ 'x' * 99999999999 }}")));
  EXPECT_TRUE(IsExhausted(Render(
      "{% set ns = namespace(s='xx') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}")));
  EXPECT_TRUE(IsExhausted(Render("{% set a = 'x' * 1000000 %}{{ a.replace('x', a) }}")));
  EXPECT_TRUE(IsExhausted(Render("{% set a = 'x' * 1000000 %}{{ ('x' * 100000) | join(a) }}")));
  EXPECT_TRUE(IsExhausted(Render("{% set a = 'x' * 40000000 %}{{ '{0}{0}'.format(a) }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ ('x' * 2000000).split('x') }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ [1] * 99999999 }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ ('x' * 2000000) | list }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ range(100001) }}")));
}

TEST(JinjaLimits, ValuesInValuesAreBounded) {
  // Lists in lists: deep, and with the same list twice, wide.
  EXPECT_TRUE(IsExhausted(
      Render("{% set ns = namespace(x=[]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}")));
  EXPECT_TRUE(
      IsExhausted(Render("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] "
                         "%}{% endfor %}{{ ns.x == ns.x }}")));
}

TEST(JinjaLimits, MacrosMayNotCallThemselvesForever) {
  EXPECT_TRUE(IsExhausted(Render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}")));
  EXPECT_EQ(Render("{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}.{% endmacro %}{{ m(20) }}")->size(),
            21u);
}

TEST(JinjaLimits, ASourceIsBoundedInSizeAndNesting) {
  EXPECT_TRUE(IsExhausted(Render(std::string((1 << 20) + 1, 'x'))));
  EXPECT_TRUE(IsExhausted(Render("{{ " + Repeated("(", 10'000) + "1" + Repeated(")", 10'000) + " }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ " + Repeated("[", 10'000) + Repeated("]", 10'000) + " }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ 1" + Repeated(" + 1", 10'000) + " }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ " + Repeated("not ", 10'000) + "1 }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ 1" + Repeated(" | abs", 10'000) + " }}")));
  EXPECT_TRUE(IsExhausted(Render("{{ 1" + Repeated(" if 1 else 1", 10'000) + " }}")));
  EXPECT_TRUE(IsExhausted(Render(Repeated("{% if 1 %}", 10'000) + Repeated("{% endif %}", 10'000))));
  EXPECT_EQ(Render("{{ 1" + Repeated(" + 1", 100) + " }}")->bytes(), "101");
}

TEST(JinjaLimits, CirclesOfNamespacesAndMacrosAreFreed) {
  // The leak check of AddressSanitizer sees what a circle keeps.
  EXPECT_EQ(
      Render("{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{% set a.l = [a] %}x")
          ->bytes(),
      "x");
  EXPECT_EQ(
      Render(
          "{% macro m() %}{% macro n() %}{% endmacro %}{% endmacro %}{{ m() }}{% set ns = namespace(m=m) %}x")
          ->bytes(),
      "x");
  EXPECT_EQ(Render("{% set ns = namespace() %}{% for x in [1] %}{% set ns.l = loop %}{{ loop.changed(loop) "
                   "}}{% endfor %}")
                ->bytes(),
            "True");
}

TEST(JinjaLimits, ALoopThatHasEndedHasNoItems) {
  EXPECT_EQ(Render("{% set ns = namespace() %}{% for x in [1, 2, 3] if x > 1 %}{% set ns.l = loop %}{% break "
                   "%}{% endfor %}"
                   "{{ ns.l.last }}{{ ns.l.length }}")
                ->bytes(),
            "True1");
}

TEST(JinjaLimits, IntegersStayIn64Bits) {
  EXPECT_THAT(ErrorOf(Render("{{ 9223372036854775807 + 1 }}")), HasSubstr("64 bits"));
  EXPECT_THAT(ErrorOf(Render("{{ (0 - 9223372036854775807 - 1) // -1 }}")), HasSubstr("64 bits"));
  EXPECT_THAT(ErrorOf(Render("{{ 2 ** 64 }}")), HasSubstr("64 bits"));
  EXPECT_THAT(ErrorOf(Render("{{ 99999999999999999999 }}")), HasSubstr("too large"));
  EXPECT_EQ(Render("{{ [1, 2, 3][::9223372036854775807] }}")->bytes(), "[1]");
  EXPECT_EQ(Render("{{ [1, 2, 3][::-9223372036854775807] }}")->bytes(), "[3]");
}

}  // namespace
}  // namespace deeprack::coordinator::jinja
