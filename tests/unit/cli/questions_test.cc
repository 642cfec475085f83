#include "cli/demo/questions.h"
#include "tests/source_tree.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace deeprack::cli {
namespace {

TEST(Questions, AreReadFromTheDemosOwnFile) {
  std::ifstream file(InSourceTree("demo/questions.json"));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto questions = ParseQuestions(text);
  ASSERT_TRUE(questions.ok()) << questions.status();
  EXPECT_EQ(questions->size(), 3u);
}

TEST(Questions, MustHaveAQuestionAndAnAnswer) {
  for (const char* text :
       {"", "{}", "[]", "[1]", "[{\"question\": \"a\"}]", "[{\"question\": \"a\", \"answer\": \"\"}]",
        "[{\"question\": \"a\", \"answer\": 3}]"}) {
    EXPECT_FALSE(ParseQuestions(text).ok()) << text;
  }
}

TEST(StatesAnswer, FindsTheAnswerInASentence) {
  EXPECT_TRUE(StatesAnswer("57", "57"));
  EXPECT_TRUE(StatesAnswer("There are 57 pens left.", "57"));
  EXPECT_TRUE(StatesAnswer("It is **57**, not 60", "57"));
  EXPECT_TRUE(StatesAnswer("157 - 100 = 57.", "57"));
  EXPECT_TRUE(StatesAnswer("Paris!", "paris"));
  EXPECT_TRUE(StatesAnswer("1, 3, 57", "1, 3, 57"));
}

TEST(StatesAnswer, IsNotFooledByPartsOfOtherNumbers) {
  for (const char* text : {"157", "571", "5.57", "57.5", "1,57", "57,000", "-57", "x57", "58", ""}) {
    EXPECT_FALSE(StatesAnswer(text, "57")) << text;
  }
}

}  // namespace
}  // namespace deeprack::cli
