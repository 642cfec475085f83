// Constraints against the texts that they have and do not have, with the real matcher.
#include "constraint/compile.h"

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "constraint/token_state.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "schema_validator.h"
#include "test_vocabulary.h"

namespace deeprack::constraint {
namespace {

using model::ConstraintKind;

std::shared_ptr<const CompiledConstraint> Compiled(ConstraintKind kind, const std::string& text,
                                                   MaskTime masks = MaskTime::kOnDemand) {
  static const std::shared_ptr<const Vocabulary> vocabulary = TestVocabulary();
  auto compiled = Compile(vocabulary, {kind, text}, masks);
  EXPECT_TRUE(compiled.ok()) << compiled.status() << " of " << text;
  return compiled.ok() ? *compiled : nullptr;
}

struct Texts {
  ConstraintKind kind;
  std::string text;
  std::vector<std::string> good, bad;
};

std::vector<Texts> AllTexts() {
  return {
      {ConstraintKind::kJsonObject,
       "",
       {"{}", R"({"a": [1, {"b": null}], "é": "\u00e9"})"},
       {"", "[]", "1", R"({"a")", "{} x"}},
      {ConstraintKind::kChoice,
       R"(["yes", "no", "a \"b\"\n\\c"])",
       {"yes", "no", "a \"b\"\n\\c"},
       {"", "ye", "yes ", "yesno", "maybe"}},
      {ConstraintKind::kRegex, "^[a-c]+-\\d{2,3}$", {"abc-10", "a-123"}, {"-12", "a-1", "a-1234", "d-12"}},
      {ConstraintKind::kRegex, ".*", {"", "ab é"}, {"a\nb"}},
      {ConstraintKind::kRegex, "(?:\\d+,)*[a-z]{1,100}", {"a", "10,1,abc"}, {"10,", ",a"}},
      {ConstraintKind::kRegex, "(?:ab|)c(?P<name>x?)", {"abc", "cx", "abcx"}, {"ab", "x"}},
      {ConstraintKind::kRegex, R"([\^\-\]a]{2}[^^a]\.)", {"^-b.", "]ax."}, {"b-b.", "^-^.", "^-bb"}},
      {ConstraintKind::kRegex, "[\\x5e][a^]", {"^a", "^^"}, {"aa", "^b"}},
      {ConstraintKind::kRegex,
       "\\.b\\!c\\x2e1(?:x\\d{1,2})?",
       {".b!c.1", ".b!c.1x12"},
       {"xb!c.1", ".bxc.1", ".b!c.112"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": "string", "pattern": "a(?:\\.b+)?(?:[xy](?:[xy]|)|[xy])\\+2"})",
       {R"("a.bbx+2")", R"("axy+2")"},
       {R"("ab.x+2")", R"("abbx+2")", R"("axyx+2")", R"("axx2")"}},
      {ConstraintKind::kGrammar,
       "root ::= item (\",\" item){0,2} # list\nitem ::= [0-9]+ | \"(\" root \")\"",
       {"1", "1,2,30", "(1,(2)),3"},
       {"", "1,", "1,2,3,4", "(1"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": "object", "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 3}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
           "tags": {"type": "array", "items": {"enum": ["x", "y"]}, "maxItems": 2}}, "required": ["name", "age"]})",
       {R"({"name":"abc","age":10})", R"({ "name" : "é中a", "age" : 150, "tags" : ["x", "y"] })"},
       {R"({"name":"","age":1})", R"({"name":"abcd","age":1})", R"({"name":"a","age":151})",
        R"({"name":"a"})", R"({"age":1,"name":"a"})", R"({"name":"a","age":1,"tags":["z"]})",
        R"({"name":"a","age":1,"tags":["x","x","x"]})", R"({"name":"a","age":1,"other":1})",
        "{\"name\":\"\t\",\"age\":1}"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": "string", "pattern": "^[^x]+.$"})",
       {R"("ab")"},
       {R"("a"b")", R"("xa")", "\"a\nb\"", R"("a\"b")"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": "string", "format": "date"})",
       {R"("2026-11-30")", R"("0001-12-31")", R"("2024-02-29")", R"("2000-02-29")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2026-11-31")", R"("2026-02-30")", R"("0000-01-01")",
        R"("2026-13-01")", R"("2026-1-1")"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": "string", "format": "ipv4"})",
       {R"("10.0.255.249")", R"("1.23.199.0")"},
       {R"("01.2.3.4")", R"("256.1.1.1")", R"("1.2.3")", R"("1.2.3.4.5")"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": ["string", "null"], "format": "date-time"})",
       {R"("2026-11-30T23:59:59Z")", R"("2026-11-30T00:00:00.125+01:00")", "null"},
       {R"("2026-11-30")", R"("2026-11-30T24:00:00Z")", R"("2026-11-30T10:00:00")",
        R"("2026-02-30T10:00:00Z")"}},
      {ConstraintKind::kJsonSchema, R"({"type": "object"})", {R"({"any": [1]})", "{}"}, {"1"}},
      {ConstraintKind::kJsonSchema, R"({"type": "array"})", {R"([1, "a", []])", "[]"}, {"{}"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": ["integer", "null"]})",
       {"10", "-1", "null"},
       {"0.5", "true"}},
      {ConstraintKind::kJsonSchema,
       R"({"type": "integer", "enum": [1, "a", 2]})",
       {"1", "2"},
       {R"("a")", "3"}},
      {ConstraintKind::kJsonSchema,
       R"({"required": ["a"], "type": "object", "additionalProperties": {"type": "boolean"}})",
       {R"({"a": true})", R"({"a": false, "b": true})"},
       {"{}", R"({"b": true})", R"({"a": 1})"}},
      {ConstraintKind::kJsonSchema,
       R"({"$defs": {"tree": {"type": "object", "properties": {"v": {"const": 1}, "c": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
           "required": ["v", "c"]}}, "$ref": "#/$defs/tree"})",
       {R"({"v":1,"c":[{"v":1,"c":[]}]})"},
       {R"({"v":1})", R"({"v":2,"c":[]})", R"({"v":1,"c":[1]})"}},
      {ConstraintKind::kJsonSchema,
       R"({"oneOf": [{"type": "object", "properties": {"kind": {"const": "a"}, "x": {"type": "null"}}, "required": ["kind", "x"]},
           {"type": "object", "properties": {"kind": {"const": "b"}}, "required": ["kind"]}, {"type": "integer"}]})",
       {R"({"kind":"a","x":null})", R"({"kind":"b"})", "10"},
       {R"({"kind":"a"})", R"({"kind":"c"})", "0.5"}},
      {ConstraintKind::kTags,
       absl::StrCat(
           R"({"type": "structural_tag", "format": {"type": "sequence", "elements": [{"type": "const_string", "value": "call "},)",
           R"({"type": "json_schema", "json_schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}}]}})"),
       {R"(call {"a":10})"},
       {R"(call {"a":true})", "call ", R"({"a":10})"}},
  };
}

TEST(CompileTest, ConstraintsHaveTheirTextsAndNoOthers) {
  for (const Texts& texts : AllTexts()) {
    for (const MaskTime masks : {MaskTime::kAhead, MaskTime::kOnDemand}) {
      const auto compiled = Compiled(texts.kind, texts.text, masks);
      ASSERT_NE(compiled, nullptr);
      for (const std::string& text : texts.good)
        EXPECT_TRUE(Accepts(*compiled, text)) << texts.text << " and " << text;
      for (const std::string& text : texts.bad)
        EXPECT_FALSE(Accepts(*compiled, text)) << texts.text << " and " << text;
    }
  }
}

TEST(CompileTest, TokensThatAreNoTextComeOnlyByTheirIds) {
  const auto compiled = Compiled(
      ConstraintKind::kTags,
      absl::StrCat(
          R"({"type": "structural_tag", "format": {"type": "sequence", "elements": [
      {"type": "token", "token": )",
          kCallBegin,
          R"(}, {"type": "json_schema", "json_schema": {"type": "string"}}, {"type": "token", "token": )",
          kCallEnd, "}]}}"));
  ASSERT_NE(compiled, nullptr);
  auto matcher = *compiled->NewMatcher("");
  EXPECT_EQ(Allowed(MaskOf(*matcher)), std::vector<TokenId>{kCallBegin});
  EXPECT_TRUE(*matcher->Accept(kCallBegin));
  EXPECT_TRUE(*matcher->Accept('"'));
  for (const TokenId token : {kCallBegin, kCallEnd, kEnd, TokenId{kVocabSize - 1}}) {
    EXPECT_FALSE(IsSet(MaskOf(*matcher), token));
    EXPECT_FALSE(*matcher->Accept(token));
  }
  EXPECT_TRUE(*matcher->Accept('"'));
  EXPECT_EQ(Allowed(MaskOf(*matcher)), std::vector<TokenId>{kCallEnd});
  EXPECT_TRUE(*matcher->Accept(kCallEnd));
  EXPECT_TRUE(matcher->complete());
  EXPECT_FALSE(matcher->ended());
  EXPECT_TRUE(*matcher->Accept(kEnd));
  EXPECT_TRUE(matcher->ended());
  EXPECT_FALSE(*matcher->Accept('a'));
  ASSERT_TRUE(matcher->Rollback(2).ok());
  EXPECT_EQ(Allowed(MaskOf(*matcher)), std::vector<TokenId>{kCallEnd});
}

TEST(CompileTest, NoHalfOfASurrogatePairComes) {
  const auto compiled = Compiled(ConstraintKind::kJsonSchema, R"({"type": "string", "maxLength": 1})");
  auto matcher = *compiled->NewMatcher("");
  for (const TokenId token : {TokenId{'"'}, 0xed}) EXPECT_TRUE(*matcher->Accept(token));
  EXPECT_TRUE(IsSet(MaskOf(*matcher), 0x9f));
  EXPECT_FALSE(IsSet(MaskOf(*matcher), 0xa0));
  EXPECT_FALSE(*matcher->Accept(0xa0));
  ASSERT_TRUE(matcher->Rollback(1).ok());
  for (const TokenId token : {0xee, 0xa0}) EXPECT_TRUE(*matcher->Accept(token));
  ASSERT_TRUE(matcher->Rollback(2).ok());
  for (const TokenId token : {0xed, 0x9f, 0xbf}) EXPECT_TRUE(*matcher->Accept(token));
  EXPECT_EQ(Allowed(MaskOf(*matcher)), std::vector<TokenId>{'"'});
}

TEST(CompileTest, APrefixIsTakenFirst) {
  const auto compiled = Compiled(ConstraintKind::kChoice, R"(["abc", "abd"])");
  auto matcher = *compiled->NewMatcher("ab");
  EXPECT_EQ(Allowed(MaskOf(*matcher)), (std::vector<TokenId>{'c', 'd'}));
  const absl::Status other = compiled->NewMatcher("b").status();
  EXPECT_EQ(other.code(), absl::StatusCode::kInvalidArgument);
}

// Random tokens of the masks, with closing brackets preferred, so that most answers end.
std::vector<TokenId> RandomAnswer(Matcher& matcher, std::mt19937& random, int most) {
  std::vector<TokenId> answer;
  while (std::ssize(answer) < most) {
    std::vector<TokenId> allowed = Allowed(MaskOf(matcher));
    EXPECT_FALSE(allowed.empty()) << Text(answer);
    if (allowed.empty()) return answer;
    if (allowed.back() == kEnd && (allowed.size() == 1 || random() % 2 == 0)) return answer;
    std::vector<TokenId> closing;
    for (const TokenId token : allowed) {
      if (token == '"' || token == '}' || token == ']') closing.push_back(token);
    }
    const std::vector<TokenId>& from = !closing.empty() && random() % 2 == 0 ? closing : allowed;
    const TokenId token = from[random() % from.size()];
    if (token == kEnd) return answer;
    EXPECT_TRUE(*matcher.Accept(token));
    answer.push_back(token);
  }
  return answer;
}

TEST(CompileTest, EveryFinishedAnswerValidates) {
  std::mt19937 random(1);
  int finished = 0;
  for (const Texts& texts : AllTexts()) {
    if (texts.kind != ConstraintKind::kJsonSchema) continue;
    const auto compiled = Compiled(texts.kind, texts.text);
    const nlohmann::json schema = nlohmann::json::parse(texts.text);
    for (int round = 0; round < 40; ++round) {
      auto matcher = *compiled->NewMatcher("");
      const std::vector<TokenId> answer = RandomAnswer(*matcher, random, 200);
      if (!matcher->complete()) continue;
      ++finished;
      const std::string text = Text(answer);
      const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
      // A lone half of a surrogate pair, "\ud800", is JSON for most parsers, though not for this one.
      if (value.is_discarded() && text.find("\\u") != std::string::npos) continue;
      EXPECT_TRUE(!value.is_discarded() && Validates(value, schema, schema))
          << Text(answer) << " of " << texts.text;
    }
  }
  EXPECT_GT(finished, 300);
}

// Tokens are tried and taken back at random; the masks are those of a run without rollbacks.
TEST(CompileTest, RollbackEqualsAStraightRun) {
  std::mt19937 random(2);
  for (const Texts& texts : AllTexts()) {
    const auto compiled = Compiled(texts.kind, texts.text);
    const std::vector<TokenId> answer = Tokens(texts.good[0]);
    auto straight = *compiled->NewMatcher("");
    std::vector<std::vector<uint32_t>> masks = {MaskOf(*straight)};
    for (const TokenId token : answer) {
      ASSERT_TRUE(*straight->Accept(token));
      masks.push_back(MaskOf(*straight));
    }
    auto matcher = *compiled->NewMatcher("");
    size_t at = 0;
    for (int step = 0; step < 60; ++step) {
      const size_t to = random() % masks.size();
      if (to < at) {
        ASSERT_TRUE(matcher->Rollback(static_cast<int32_t>(at - to)).ok());
      }
      for (; at < to; ++at) ASSERT_TRUE(*matcher->Accept(answer[at]));
      at = to;
      EXPECT_EQ(MaskOf(*matcher), masks[at]) << texts.text;
    }
  }
}

TEST(CompileTest, AnswersWithCallsAreFreeBetweenThem) {
  const auto compiled =
      Compiled(ConstraintKind::kTags,
               absl::StrCat(R"({"type": "structural_tag", "format": {"type": "star", "content":
      {"type": "sequence", "elements": [{"type": "token", "token": )",
                            kCallBegin, R"(}, {"type": "json_schema", "json_schema": {"type": "integer"}},
      {"type": "token", "token": )",
                            kCallEnd, "}]}}}"));
  ASSERT_NE(compiled, nullptr);
  TokenState state({.triggers = {kCallBegin}}, *compiled->NewMatcher(""));
  std::vector<uint32_t> mask(MaskWords(kVocabSize));
  for (int call = 0; call < 3; ++call) {
    EXPECT_FALSE(*state.FillMask(mask));
    EXPECT_TRUE(*state.Accept('x'));
    EXPECT_TRUE(*state.Accept(kCallBegin));
    EXPECT_TRUE(*state.FillMask(mask));
    EXPECT_FALSE(IsSet(mask, 'x'));
    EXPECT_TRUE(*state.Accept('7'));
    EXPECT_TRUE(*state.Accept(kCallEnd));
    EXPECT_EQ(state.phase(), TokenState::Phase::kFree);
  }
  ASSERT_TRUE(state.Rollback(7).ok());
  EXPECT_TRUE(*state.Accept(kCallBegin));
  EXPECT_EQ(state.phase(), TokenState::Phase::kConstrained);
}

}  // namespace
}  // namespace deeprack::constraint
