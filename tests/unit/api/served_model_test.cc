// What a model is served with: its chat template and its end tokens.
#include "coordinator/api/served_model.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/config/model_config.h"
#include "tests/source_tree.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;

class ServedModelTest : public testing::Test {
 protected:
  // The demo model's folder, without its tokenizer_config.json.
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/served_XXXXXX";
    folder_ = mkdtemp(pattern.data());
    for (const char* name : {"config.json", "tokenizer.json"}) {
      std::filesystem::create_symlink(InSourceTree(std::string("demo/model/") + name), folder_ / name);
    }
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void Write(const char* name, const std::string& text) const { std::ofstream(folder_ / name) << text; }

  absl::StatusOr<std::shared_ptr<ServedModel>> Load(const std::string& chat_template = "") const {
    const auto config = model::ParseModelConfig(*ReadTextFile((folder_ / "config.json").string()));
    return LoadServedModel({.path = folder_.string(), .chat_template = chat_template}, *config);
  }

  static std::string TextOf(const ServedModel& model) {
    return *model.chat_template->RenderText({.messages = {{.role = ChatRole::kUser, .content = "Hi"}}});
  }

  std::filesystem::path folder_;
};

TEST_F(ServedModelTest, WithoutATemplateR1sTokensHaveTheBuiltInOne) {
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->chat_template->origin(), "built-in");
  EXPECT_EQ(TextOf(**model), "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜><think>\n");
}

TEST_F(ServedModelTest, ChatTemplateJinjaComesFirstAndTheUsersFileBeforeIt) {
  Write("tokenizer_config.json", R"({"chat_template": "config: {{ bos_token }}", "bos_token": "<b>"})");
  EXPECT_EQ(TextOf(**Load()), "config: <b>");
  Write("chat_template.jinja", "file: {{ bos_token }}");
  EXPECT_EQ(TextOf(**Load()), "file: <b>");
  Write("mine.jinja", "mine: {{ messages[0].content }}");
  EXPECT_EQ(TextOf(**Load((folder_ / "mine.jinja").string())), "mine: Hi");
}

TEST_F(ServedModelTest, ATemplateThatIsNoneIsAnErrorWithFileAndLine) {
  Write("mine.jinja", "a\n{% for %}");
  const std::string path = (folder_ / "mine.jinja").string();
  EXPECT_THAT(std::string(Load(path).status().message()), HasSubstr(path + ": line 2: "));
  EXPECT_EQ(Load((folder_ / "missing.jinja").string()).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ServedModelTest, AnEndTokenBeyondTheVocabularyIsLeftOut) {
  Write("generation_config.json", R"({"eos_token_id": [1000000, 1]})");
  EXPECT_THAT((*Load())->eos_token_ids, ::testing::ElementsAre(1));
}

}  // namespace
}  // namespace deeprack::coordinator
