#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/config/model_config.h"

namespace deeprack::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(GenerationConfigTest, ReadsR1) {
  const auto defaults =
      ParseGenerationConfig(R"({"_from_model_config": true, "bos_token_id": 0, "eos_token_id": 1,
      "do_sample": true, "temperature": 0.6, "top_p": 0.95, "transformers_version": "4.39.3"})");
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_FLOAT_EQ(defaults->temperature, 0.6f);
  EXPECT_FLOAT_EQ(defaults->top_p, 0.95f);
  EXPECT_EQ(defaults->top_k, 0);
  EXPECT_THAT(defaults->eos_token_id, ElementsAre(1));
}

TEST(GenerationConfigTest, AbsentFieldsKeepTheDefaults) {
  const auto defaults = ParseGenerationConfig(R"({"top_k": null, "eos_token_id": [1, 2]})");
  ASSERT_TRUE(defaults.ok()) << defaults.status();
  EXPECT_FLOAT_EQ(defaults->temperature, 1.0f);
  EXPECT_FLOAT_EQ(defaults->top_p, 1.0f);
  EXPECT_THAT(defaults->eos_token_id, ElementsAre(1, 2));
}

TEST(GenerationConfigTest, GreedyIsTemperatureZero) {
  EXPECT_EQ(ParseGenerationConfig(R"({"do_sample": false, "temperature": 0.7})")->temperature, 0.0f);
  EXPECT_EQ(ParseGenerationConfig(R"({"temperature": 0})")->temperature, 0.0f);
}

TEST(GenerationConfigTest, RefusesBadValues) {
  const auto fault = [](const char* text) {
    const auto defaults = ParseGenerationConfig(text);
    return defaults.ok() ? std::string("accepted") : std::string(defaults.status().message());
  };
  EXPECT_THAT(fault(R"({"temperature": -1})"), HasSubstr("temperature"));
  EXPECT_THAT(fault(R"({"temperature": "hot"})"), HasSubstr("temperature"));
  EXPECT_THAT(fault(R"({"top_p": 0})"), HasSubstr("top_p"));
  EXPECT_THAT(fault(R"({"top_p": 1.01})"), HasSubstr("top_p"));
  EXPECT_THAT(fault(R"({"top_k": -1})"), HasSubstr("top_k"));
  EXPECT_THAT(fault(R"({"eos_token_id": 1.5})"), HasSubstr("eos_token_id"));
  EXPECT_THAT(fault(R"({"eos_token_id": -1})"), HasSubstr("eos_token_id"));
  EXPECT_THAT(fault("[]"), HasSubstr("generation_config.json"));
  EXPECT_THAT(fault("{"), HasSubstr("generation_config.json"));
}

}  // namespace
}  // namespace deeprack::model
