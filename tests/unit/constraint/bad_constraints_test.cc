// Constraints that are refused before they are compiled: what is not supported, and what would take very
// long.
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "constraint/compile.h"
#include "constraint/limits.h"
#include "constraint/spec_check.h"
#include "gtest/gtest.h"
#include "test_vocabulary.h"

namespace deeprack::constraint {
namespace {

using model::ConstraintKind;

std::string Repeat(const std::string& text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

// `count` members `"k0": value, "k1": value, ...`
std::string Members(int count, const std::string& value) {
  std::string members;
  for (int i = 0; i < count; ++i) absl::StrAppend(&members, i > 0 ? "," : "", "\"k", i, "\":", value);
  return members;
}

std::string Reason(ConstraintKind kind, const std::string& text) {
  static const std::shared_ptr<const Vocabulary> vocabulary = TestVocabulary();
  const auto compiled = Compile(vocabulary, {kind, text}, MaskTime::kAhead);
  EXPECT_EQ(compiled.status().code(), absl::StatusCode::kInvalidArgument)
      << compiled.status() << " of " << text.substr(0, 200);
  return std::string(compiled.status().message());
}

struct Refused {
  std::string text, reason;
};

constexpr char kTooLarge[] =
    "the expression is too large with its repetitions written out: the most is 4096 characters, of which a "
    "digit's "
    "class counts 4, another class 32, and \".\" and a negated class 256";

TEST(BadConstraintsTest, Schemas) {
  const std::vector<Refused> all = {
      {"{", "the schema is not valid JSON"},
      {"1", "the schema: 1 is no schema: a schema is an object or true"},
      {"false", "the schema: false accepts no value"},
      {R"({"type": "text"})", R"(the schema: type is "text", which is no type or list of types)"},
      {R"({"properties": {"a": {"not": {}}}})", R"(properties.a: the keyword "not" is not supported)"},
      {R"({"type": "array", "uniqueItems": true})",
       R"(the schema: the keyword "uniqueItems" is not supported)"},
      {R"({"patternProperties": {"x": {}}})",
       R"(the schema: the keyword "patternProperties" is not supported)"},
      {R"({"if": {}, "then": {}})", R"(the schema: the keyword "if" is not supported)"},
      {R"({"type": "object", "dependentRequired": {}})",
       R"(the schema: the keyword "dependentRequired" is not supported)"},
      {R"({"allOf": [{}, {}]})", "the schema: allOf with more than one schema is not supported"},
      {R"({"anyOf": [{"type": "null"}], "properties": {}})",
       R"(the schema: "properties" beside "anyOf" is not supported)"},
      {R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})",
       "the schema: oneOf: schemas 0 and 1 may accept the same value, which is not supported: use anyOf"},
      {R"({"$ref": "http://example.com/x"})",
       R"(the schema: $ref is "http://example.com/x"; it must point into the schema, as in "#/$defs/name")"},
      {R"({"items": {"$ref": "#/$defs/b"}})", R"(items: $ref "#/$defs/b" does not name a schema)"},
      {R"({"$ref": "#", "minLength": 1})", R"(the schema: "minLength" beside "$ref" is not supported)"},
      {R"j({"type": "string", "pattern": "a(?=b)"})j",
       "pattern: at byte 3: looking ahead or behind is not supported"},
      {R"({"type": "string", "pattern": "\""})",
       "pattern: at byte 0: a character that JSON escapes, inside a string's pattern, is not supported"},
      {R"({"type": "string", "pattern": "a", "minLength": 2})",
       R"(the schema: "pattern" beside "minLength" or "maxLength" is not supported)"},
      {R"({"type": "string", "format": "email", "maxLength": 20})",
       R"(the schema: "format" beside "minLength", "maxLength" or "pattern" is not supported)"},
      {R"({"type": "string", "minLength": 3, "maxLength": 2})",
       "the schema: minLength 3 is above maxLength 2"},
      {R"({"type": "string", "maxLength": -1})",
       "the schema: maxLength is -1; it must be a whole number from 0 to 100000"},
      {R"({"type": "number", "multipleOf": 0.1})",
       "the schema: multipleOf is supported for integers without a range, from 1 to 1024"},
      {R"({"type": "number", "minimum": 1e300})", "the schema: minimum is 1e+300; at most 1e15 is supported"},
      {R"({"minimum": 1, "minLength": 1})",
       R"(the schema: "type" is missing, and the keywords are those of several types)"},
      {R"({"type": "object", "properties": {}, "additionalProperties": false, "required": ["a"]})",
       R"(the schema: required names "a", which properties does not have)"},
      {R"({"type": "string", "enum": [1]})", "the schema: enum has no value of the schema's type"},
  };
  for (const Refused& one : all) EXPECT_EQ(Reason(ConstraintKind::kJsonSchema, one.text), one.reason);
}

// The reason of the check that comes before compiling. What this check refuses costs the time of reading its
// text.
std::string EarlyReason(ConstraintKind kind, const std::string& text) {
  const absl::StatusOr<std::string> checked = CheckSpec({kind, text});
  EXPECT_EQ(checked.status().code(), absl::StatusCode::kInvalidArgument)
      << checked.status() << " of " << text.substr(0, 200);
  return std::string(checked.status().message());
}

// An object with `count` required properties of the schema `value`.
std::string RequiredMembers(int count, const std::string& value) {
  std::string names;
  for (int i = 0; i < count; ++i) absl::StrAppend(&names, i > 0 ? "," : "", "\"k", i, "\"");
  return absl::StrCat(R"({"type": "object", "properties": {)", Members(count, value), R"(}, "required": [)",
                      names, "]}");
}

// `count` numbers from 0, as JSON.
std::string Numbers(int count) {
  std::string numbers;
  for (int i = 0; i < count; ++i) absl::StrAppend(&numbers, i > 0 ? "," : "", i);
  return numbers;
}

TEST(BadConstraintsTest, SchemasThatWouldTakeLong) {
  const std::string too_large =
      "the schema is too large. Up to this place its parts weigh more than 40960: a string, an object or an "
      "array "
      "weighs 30, a range of numbers 90, a pattern as many as its characters, most formats 32 to 700";
  const std::vector<Refused> all = {
      {Repeat(R"({"items":)", 65) + "true" + Repeat("}", 65), "the schema is nested more than 64 deep"},
      {R"({"title": ")" + std::string(kMostTextBytes, 'x') + "\"}",
       absl::StrCat("the schema has ", kMostTextBytes + 13, " bytes; the most is 262144")},
      {R"({"type": "string", "maxLength": 1000000000})",
       "the schema: maxLength is 1000000000; it must be a whole number from 0 to 100000"},
      {R"({"type": "array", "minItems": 1e9})",
       "the schema: minItems is 1000000000.0; it must be a whole number from 0 to 100000"},
      {R"({"properties": {)" + Members(101, "true") + "}}",
       "the schema: an object has 101 properties that are not required; the most is 100"},
      {R"({"properties": {)" + Members(1001, "true") + "}}",
       "the schema: an object has 1001 properties; the most is 1000"},
      {R"({"enum": [)" + Numbers(1001) + "]}", "the schema has more than 1000 enum values"},
      {R"({"enum": [")" + std::string(32769, 'x') + "\"]}",
       "the enum values of the schema have more than 32768 bytes"},
      {R"({"enum": [)" + Numbers(40000) + "]}", "the schema has more than 1000 enum values"},
      {R"({"anyOf": [)" + Repeat("true,", 128) + "true]}", "anyOf has 129 schemas; the most is 128"},
      {R"({"oneOf": [)" + Repeat("true,", 40000) + "true]}", "oneOf has 40001 schemas; the most is 128"},
      {RequiredMembers(5, RequiredMembers(900, R"({"type": "null"})")),
       "the schema holds more than 4096 schemas"},
      {RequiredMembers(2, RequiredMembers(900, R"({"type": "string"})")), too_large},
      {RequiredMembers(500, R"({"type": "number", "minimum": 0.5, "maximum": 99.25})"), too_large},
      {RequiredMembers(900, R"({"type": "string", "format": "email"})"), "properties.k64: " + too_large},
      {RequiredMembers(900, R"({"type": "string", "pattern": ".{16}"})"), "properties.k9: " + too_large},
      {RequiredMembers(3, R"({"type": "integer", "multipleOf": 1021})"), "properties.k2: " + too_large},
      {R"({"type": "object", "required": [)" + Numbers(40000) + "]}",
       "required has 40000 names; the most is 1000"},
      {R"({"type": [)" + Repeat("\"string\",", 20000) + R"("null"]})", "which is no type or list of types"},
      {"{" + Members(2049, "1") + "}", "the schema has an object of more than 2048 members"},
      {R"({"properties": {")" + std::string(257, 'n') + R"(": true}})",
       "a name of 257 bytes; the most is 256"},
      {R"({"$ref": "#)" + Repeat("/a", 512) + "\"}", "$ref is longer than 1024 bytes"},
      {R"({"type": "string", "pattern": "(((a{99}){99}){99}){99}"})",
       absl::StrCat("pattern: at byte 13: ", kTooLarge)},
  };
  for (const Refused& one : all) {
    const std::string reason = EarlyReason(ConstraintKind::kJsonSchema, one.text);
    EXPECT_TRUE(reason.ends_with(one.reason)) << reason;
    EXPECT_LT(reason.size(), 1000);
  }
}

TEST(BadConstraintsTest, RefusesAChainOfReferencesWithoutEnd) {
  EXPECT_EQ(
      Reason(ConstraintKind::kJsonSchema,
             R"({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})"),
      "Circular $ref chain with no schema content: #/$defs/a -> #/$defs/b -> #/$defs/a");
}

TEST(BadConstraintsTest, Regexes) {
  const std::string too_large = kTooLarge;
  const std::vector<Refused> all = {
      {"(", "at byte 1: a group is not closed"},
      {")", "at byte 0: \")\" closes no group"},
      {"a)", "at byte 1: \")\" closes no group"},
      {"[a", "at byte 2: a class is not closed"},
      {"[^]", "at byte 2: an empty class"},
      {"[]", "at byte 1: an empty class"},
      {"*a", "at byte 0: \"*\" repeats nothing"},
      {"a{2,1}", "at byte 5: a repetition's upper number is below its lower number"},
      {"a{x}", "at byte 2: \"{\" begins no repetition: \"{n}\", \"{n,}\" or \"{n,m}\""},
      {"a**", "at byte 2: a repetition of a repetition is not supported"},
      {"a\\", "at byte 1: a backslash at the end is not supported"},
      {"(a)\\1", "at byte 3: a back reference is not supported"},
      {"(?<!a)b", "at byte 2: looking ahead or behind is not supported"},
      {"(?i)a", "at byte 2: \"(?i\" is not supported"},
      {"(?\xc3\xa9)", "at byte 2: \"(?\\xc3\" is not supported"},
      {"\\bword", "at byte 0: a word boundary is not supported"},
      {"a^b", "at byte 1: \"^\" inside the expression is not supported"},
      {"a$b", "at byte 1: \"$\" inside the expression is not supported"},
      {"\\p{L}", "at byte 0: a class of Unicode is not supported"},
      {"[[:alpha:]]", "at byte 1: a named class is not supported"},
      {"\\x4", "at byte 0: an escape sequence is cut short"},
      {std::string(kMostRegexBytes + 1, 'a'), "the expression has 16385 bytes; the most is 16384"},
      {Repeat("(", 65) + Repeat(")", 65), "at byte 64: groups stand more than 64 deep"},
      {"(?:a{1000}){1000}", "at byte 17: " + too_large},
      {".{0,17}", "at byte 7: " + too_large},
      {"[a-z]{129}", "at byte 10: " + too_large},
      {"[é]{17}", "at byte 8: " + too_large},
      {"\\d{1025}", "at byte 8: " + too_large},
      {Repeat(".*", 17), "at byte 34: " + too_large},
      {Repeat(".{16}|", 2700),
       "at byte 65: the expression is too large with its repetitions written out: the most is 40960" +
           too_large.substr(too_large.find(" characters"))},
      {Repeat("a?", 33), "at byte 66: more than 32 parts that may be empty follow each other"},
      {"(\\w+\\s?)+",
       "at byte 9: a repetition without bound of a part that begins and ends with such a repetition"},
      {"(?:a*|b)*",
       "at byte 9: a repetition without bound of a part that begins and ends with such a repetition"},
      {"(?:a+){2,}",
       "at byte 10: a repetition without bound of a part that begins and ends with such a repetition"},
      {"[^a]{1,99999999999999999999}", "at byte 28: " + too_large},
      {"(a|b?){0,300}", "at byte 13: a part that may be empty is repeated more than 8 times"},
  };
  for (const Refused& one : all)
    EXPECT_EQ(EarlyReason(ConstraintKind::kRegex, one.text), one.reason) << one.text.substr(0, 80);
}

TEST(BadConstraintsTest, GrammarsChoicesAndTags) {
  const std::string too_large =
      "the rule is too large with its repetitions written out: the most is 4096 characters, of which a class "
      "counts 32 "
      "and a negated class 256";
  EXPECT_EQ(Reason(ConstraintKind::kGrammar, "root ::= \"a"), "the grammar, at byte 9: a text is not closed");
  EXPECT_EQ(Reason(ConstraintKind::kGrammar, "root ::= a"),
            "EBNF parser error at line 1, column 10: Rule \"a\" is not defined");
  EXPECT_EQ(Reason(ConstraintKind::kGrammar, "root ::= Token(5)"),
            "the grammar, at byte 14: \"Token(\" is not supported");
  EXPECT_EQ(Reason(ConstraintKind::kGrammar, "root ::= " + Repeat("(", 65) + "\"a\"" + Repeat(")", 65)),
            "the grammar, at byte 73: groups stand more than 64 deep");
  EXPECT_EQ(Reason(ConstraintKind::kGrammar, "root ::= (\"ab\"{99}){99}"),
            "the grammar, at byte 23: " + too_large);
  std::string rules = "root ::= r0\n";
  for (int i = 0; i < 12; ++i) absl::StrAppend(&rules, "r", i, " ::= [^a]{16}\n");
  EXPECT_EQ(EarlyReason(ConstraintKind::kGrammar, rules),
            "the grammar, at byte 175: the rules are too large with their repetitions written out: the most "
            "is 40960 "
            "characters, of which a class and a rule's name count 32 and a negated class 256");
  EXPECT_EQ(Reason(ConstraintKind::kGrammar, std::string(kMostTextBytes + 1, ' ')),
            "the grammar has 262145 bytes; the most is 262144");
  EXPECT_EQ(Reason(ConstraintKind::kChoice, "[]"), "the choices must be a list of strings");
  EXPECT_EQ(Reason(ConstraintKind::kChoice, R"(["a", 1])"), "choice 1 is no string");
  EXPECT_EQ(Reason(ConstraintKind::kChoice, R"([""])"), "choice 0 is empty");
  EXPECT_EQ(Reason(ConstraintKind::kChoice, "[\"" + std::string(32768, 'x') + "\"]"),
            "the choices have 32772 bytes; the most is 32768");
  std::string tools;
  for (int i = 0; i < 40; ++i)
    absl::StrAppend(&tools, R"({"json_schema": )", RequiredMembers(40, R"({"type": "string"})"), "},");
  EXPECT_TRUE(
      absl::StrContains(EarlyReason(ConstraintKind::kTags, absl::StrCat(R"({"elements": [)", tools, "1]}")),
                        "elements[33].json_schema: properties.k11: the schema is too large"));
  EXPECT_EQ(Reason(ConstraintKind::kTags, R"({"format": {"json_schema": {"type": "x"}}})"),
            R"(format.json_schema: the schema: type is "x", which is no type or list of types)");
  EXPECT_NE(Reason(ConstraintKind::kTags, R"({"type": "structural_tag", "format": {"type": "unheard"}})"),
            "");
}

TEST(BadConstraintsTest, Vocabularies) {
  const TokenId end[] = {5};
  EXPECT_EQ(Vocabulary::Make({"a", "b"}, 1, end).status().message(),
            "the tokenizer has 2 tokens, and the model has 1 logits");
  EXPECT_EQ(Vocabulary::Make({"a"}, 4, end).status().message(),
            "the end token 5 is not a token of the model, which has 4");
  EXPECT_EQ(Vocabulary::Make({"a"}, 4, {}).status().message(), "no token ends an answer");
}

}  // namespace
}  // namespace deeprack::constraint
