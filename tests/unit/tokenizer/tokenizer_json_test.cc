// Files that are refused, and the messages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "tests/unit/tokenizer/small_tokenizer.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;

using Json = nlohmann::json;

struct Refusal {
  std::string name;
  std::function<void(Json&)> spoil;
  std::string message;  // a part of the message
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

class RefusedTokenizer : public ::testing::TestWithParam<Refusal> {};

TEST_P(RefusedTokenizer, IsNamed) {
  Json description = SmallTokenizer({"a b", "ab c"});
  AddToken(&description, "<s>", /*special=*/true);
  ASSERT_TRUE(Load(description).ok());
  GetParam().spoil(description);
  const auto tokenizer = Load(description);
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tokenizer.status().message()), HasSubstr(GetParam().message));
}

const Json kSplit = {
    {"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Isolated"}, {"invert", false}};

void PreSplit(Json& file, const char* key, const Json& value) {
  Json split = kSplit;
  split[key] = value;
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {split, file["pre_tokenizer"]}}};
}

INSTANTIATE_TEST_SUITE_P(
    Files, RefusedTokenizer,
    ::testing::Values(
        Refusal{"ModelType", [](Json& f) { f["model"]["type"] = "Unigram"; }, "model.type: \"Unigram\""},
        Refusal{"NoModel", [](Json& f) { f.erase("model"); }, "model: expected an object"},
        Refusal{"UnknownKey", [](Json& f) { f["surprise"] = 1; }, "unknown key \"surprise\""},
        Refusal{"UnknownModelKey", [](Json& f) { f["model"]["surprise"] = 1; }, "model: unknown key"},
        Refusal{"Dropout", [](Json& f) { f["model"]["dropout"] = 0.1; }, "model.dropout"},
        Refusal{"Prefix", [](Json& f) { f["model"]["continuing_subword_prefix"] = "##"; },
                "continuing_subword"},
        Refusal{"ByteFallback", [](Json& f) { f["model"]["byte_fallback"] = true; }, "byte_fallback"},
        Refusal{"Truncation",
                [](Json& f) {
                  f["truncation"] = {{"max_length", 5}};
                },
                "truncation"},
        Refusal{"Normalizer",
                [](Json& f) {
                  f["normalizer"] = {{"type", "NFKC"}};
                },
                "NFKC"},
        Refusal{"PreTokenizer",
                [](Json& f) {
                  f["pre_tokenizer"] = {{"type", "Metaspace"}};
                },
                "Metaspace"},
        Refusal{"NoPreTokenizer", [](Json& f) { f["pre_tokenizer"] = nullptr; }, "pre_tokenizer"},
        Refusal{"NoByteLevel", [](Json& f) { f["pre_tokenizer"] = kSplit; }, "has no ByteLevel"},
        Refusal{"PrefixSpace", [](Json& f) { f["pre_tokenizer"].erase("add_prefix_space"); },
                "add_prefix_space"},
        Refusal{"Behavior", [](Json& f) { PreSplit(f, "behavior", "Removed"); }, "\"Removed\""},
        Refusal{"Invert", [](Json& f) { PreSplit(f, "invert", true); }, "invert"},
        Refusal{"PatternString",
                [](Json& f) {
                  PreSplit(f, "pattern", {{"String", "a"}});
                },
                "pattern"},
        Refusal{"Regex",
                [](Json& f) {
                  PreSplit(f, "pattern", {{"Regex", "\\d+"}});
                },
                "\\d"},
        Refusal{"Decoder",
                [](Json& f) {
                  f["decoder"] = {{"type", "WordPiece"}};
                },
                "decoder: {\"type\":\"WordPiece\"}"},
        Refusal{"NoDecoder", [](Json& f) { f["decoder"] = nullptr; }, "decoder"},
        Refusal{"PostProcessor",
                [](Json& f) {
                  f["post_processor"] = {{"type", "BertProcessing"}};
                },
                "BertProcessing"},
        Refusal{"IncompleteBytes", [](Json& f) { f["model"]["vocab"].erase("!"); }, "byte 33 has no token"},
        Refusal{"TextId", [](Json& f) { f["model"]["vocab"]["ab"] = "7"; },
                "model.vocab[\"ab\"]: expected a token id"},
        Refusal{"NegativeId", [](Json& f) { f["model"]["vocab"]["ab"] = -1; }, "found -1"},
        Refusal{"HugeId", [](Json& f) { f["model"]["vocab"]["ab"] = 18446744073709551615u; },
                "18446744073709551615"},
        Refusal{"FractionalId", [](Json& f) { f["model"]["vocab"]["ab"] = 1.5; }, "found 1.5"},
        Refusal{"DoubleId", [](Json& f) { f["model"]["vocab"]["ab"] = 7; }, "id 7 is also that of"},
        Refusal{"MergeOfUnknown", [](Json& f) { f["model"]["merges"][1] = "ab \u4e2d"; },
                "model.merges[1]: \"\u4e2d\""},
        Refusal{"MergeIntoUnknown", [](Json& f) { f["model"]["merges"][1] = "b a"; },
                "model.merges[1]: \"ba\""},
        Refusal{"MergeOfThree", [](Json& f) { f["model"]["merges"][0] = "a b c"; }, "model.merges[0]"},
        Refusal{"MergeOfNumber",
                [](Json& f) {
                  f["model"]["merges"][0] = {1, 2};
                },
                "model.merges[0]"},
        Refusal{"MergeTwice", [](Json& f) { f["model"]["merges"].push_back("a b"); },
                "model.merges[2]: \"a b\" is there twice"},
        Refusal{"MergesObject", [](Json& f) { f["model"]["merges"] = Json::object(); },
                "model.merges: expected a list"},
        Refusal{"AddedEmpty", [](Json& f) { f["added_tokens"][0]["content"] = ""; },
                "added_tokens[0].content"},
        Refusal{"AddedTwice", [](Json& f) { AddToken(&f, "<s>", true); }, "is there twice"},
        Refusal{"AddedIdTaken", [](Json& f) { f["added_tokens"][0]["id"] = 5; },
                "added_tokens[0]: id 5 is also"},
        Refusal{"AddedDisagrees", [](Json& f) { f["added_tokens"][0]["content"] = "ab"; },
                "but the vocabulary gives"},
        Refusal{"AddedSingleWord", [](Json& f) { f["added_tokens"][0]["single_word"] = true; },
                "single_word"},
        Refusal{"AddedStrips", [](Json& f) { f["added_tokens"][0]["lstrip"] = true; }, "lstrip"},
        Refusal{"AddedFlag", [](Json& f) { f["added_tokens"][0]["special"] = "yes"; },
                "special: expected true or false"}),
    [](const auto& info) { return info.param.name; });

TEST(TokenizerJson, CutShort) {
  const std::string text = SmallTokenizer({"a b"}).dump();
  for (size_t length = 0; length < text.size(); length += 97) {
    EXPECT_EQ(LoadText(text.substr(0, length)).status().code(), absl::StatusCode::kInvalidArgument) << length;
  }
}

TEST(TokenizerJson, DeepNestingAndOtherRoots) {
  EXPECT_FALSE(LoadText(std::string(200'000, '[')).ok());
  EXPECT_FALSE(LoadText("[]").ok());
  EXPECT_FALSE(LoadText("null").ok());
  EXPECT_FALSE(LoadText("{}").ok());
}

// Overwriting any bytes gives a tokenizer or an error, but no crash.
TEST(TokenizerJson, RandomDamage) {
  Json description = SmallTokenizer({"a b", "ab c"});
  AddToken(&description, "<s>", /*special=*/true);
  const std::string text = description.dump();
  std::mt19937 random(11);
  for (int round = 0; round < 1000; ++round) {
    std::string damaged = text;
    for (int i = 0; i < 3; ++i) damaged[random() % damaged.size()] = static_cast<char>(random());
    if (auto tokenizer = LoadText(damaged); tokenizer.ok()) {
      EXPECT_TRUE((*tokenizer)->Encode("abc <s> \u4e2d", true).ok());
    }
  }
}

}  // namespace
}  // namespace deeprack::coordinator
