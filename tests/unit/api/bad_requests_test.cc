// Requests that must be refused, with the status, the field, and a message that helps.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/api/api_server.h"

namespace deeprack::coordinator {
namespace {

using ::testing::HasSubstr;

struct BadRequestCase {
  std::string body;
  int status;
  std::string param;  // empty: the error's param is null
  std::string words;
};

void PrintTo(const BadRequestCase& c, std::ostream* out) { *out << c.body.substr(0, 200); }

void ExpectRefused(const HttpReply& reply, const BadRequestCase& c) {
  EXPECT_EQ(reply.status, c.status) << c.body.substr(0, 200) << "\n" << reply.body;
  const auto body = nlohmann::json::parse(reply.body, nullptr, false);
  ASSERT_TRUE(body.contains("error")) << reply.body;
  const auto& error = body["error"];
  EXPECT_TRUE(error["type"].is_string() && error["code"].is_string()) << reply.body;
  EXPECT_EQ(error["param"].is_null() ? "" : std::string(error["param"]), c.param) << c.body.substr(0, 200);
  EXPECT_THAT(std::string(error["message"]), HasSubstr(c.words)) << c.body.substr(0, 200);
}

std::string WithMessages(const std::string& more) {
  return R"({"messages": [{"role": "user", "content": "Hi"}], )" + more + "}";
}
std::string WithPrompt(const std::string& more) { return R"({"prompt": "Hi", )" + more + "}"; }

class BadChat : public testing::TestWithParam<BadRequestCase> {};
TEST_P(BadChat, IsRefused) {
  ExpectRefused(Server().Post("/v1/chat/completions", GetParam().body), GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    , BadChat,
    testing::Values(
        BadRequestCase{"", 400, "", "not valid JSON"},                                    //
        BadRequestCase{"{\"messages\": [}", 400, "", "at byte 15"},                       //
        BadRequestCase{"[1]", 400, "", "must be a JSON object, not array"},               //
        BadRequestCase{"{\"messages\": \"\xff\"}", 400, "", "at byte 15"},                //
        BadRequestCase{R"({"messages": "\ud800"})", 400, "", "not valid JSON"},           //
        BadRequestCase{std::string(100000, '['), 400, "", "nests deeper than 64"},        //
        BadRequestCase{"{}", 400, "messages", "missing"},                                 //
        BadRequestCase{R"({"messages": []})", 400, "messages", "empty"},                  //
        BadRequestCase{R"({"messages": "Hi"})", 400, "messages", "must be an array"},     //
        BadRequestCase{R"({"messages": [1]})", 400, "messages[0]", "must be an object"},  //
        BadRequestCase{R"({"messages": [{"role": "robot", "content": ""}]})", 400, "messages[0].role",
                       "robot"},
        BadRequestCase{R"({"messages": [{"role": "user"}]})", 400, "messages",
                       "messages[0].content is missing"},
        BadRequestCase{R"({"messages": [{"role": "user", "content": 5}]})", 400, "messages[0].content",
                       "string"},
        BadRequestCase{R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})", 400,
                       "messages[0].content[0].type", "image_url"},
        BadRequestCase{WithMessages(R"("temprature": 1)"), 400, "temprature", "unknown field"},
        BadRequestCase{WithMessages(R"("model": "gpt-4")"), 404, "model", "\"bytes\" is"},
        BadRequestCase{WithMessages(R"("temperature": 2.5)"), 400, "temperature", "from 0 to 2"},
        BadRequestCase{WithMessages(R"("temperature": "hot")"), 400, "temperature", "must be a number"},
        BadRequestCase{WithMessages(R"("temperature": 1e999)"), 400, "", "cannot be read"},
        BadRequestCase{WithMessages(R"("top_p": -0.1)"), 400, "top_p", "from 0 to 1"},
        BadRequestCase{WithMessages(R"("repetition_penalty": 1e-42)"), 400, "repetition_penalty", "0.01"},
        BadRequestCase{WithMessages(R"("top_k": -5)"), 400, "top_k", "from -1"},
        BadRequestCase{WithMessages(R"("max_tokens": -2)"), 400, "max_tokens", "from -1"},
        BadRequestCase{WithMessages(R"("max_tokens": 0)"), 400, "max_tokens", "at least 1"},
        BadRequestCase{WithMessages(R"("min_tokens": 5, "max_tokens": 4)"), 400, "min_tokens",
                       "max_tokens only 4"},
        BadRequestCase{WithMessages(R"("max_tokens": 1.5)"), 400, "max_tokens", "must be an integer"},
        BadRequestCase{WithMessages(R"("max_tokens": 100000000000000000000)"), 400, "max_tokens",
                       "must be an integer"},
        BadRequestCase{WithMessages(R"("max_tokens": 18446744073709551615)"), 400, "max_tokens", "from -1"},
        BadRequestCase{WithMessages(R"("n": 1000)"), 400, "n", "from 1 to"},
        BadRequestCase{WithMessages(R"("stop": [""])"), 400, "stop[0]", "1 to 256"},
        BadRequestCase{WithMessages(R"("stop": 7)"), 400, "stop", "must be a string"},
        BadRequestCase{WithMessages(R"("logit_bias": {"9999": 1})"), 400, "logit_bias.9999", "from 0 to 270"},
        BadRequestCase{WithMessages(R"("logit_bias": {"5": 101})"), 400, "logit_bias.5", "-100 to 100"},
        BadRequestCase{WithMessages(R"("logit_bias": {"5": true})"), 400, "logit_bias.5", "or false"},
        BadRequestCase{WithMessages(R"("logit_bias": {"05": 1, "5": 1})"), 400, "logit_bias", "5 twice"},
        BadRequestCase{WithMessages(R"("logit_bias": [[" a", 1]])"), 400, "logit_bias[0][1]", "token \" a\""},
        BadRequestCase{WithMessages(R"("logit_bias": [[5, 1], [-1, 1]])"), 400, "logit_bias[1][1]",
                       "token -1"},
        BadRequestCase{WithMessages(R"("logit_bias": [[18446744073709551615, 1]])"), 400, "logit_bias[0][1]",
                       "from 0 to 270"},
        BadRequestCase{WithMessages(R"("logit_bias": [[5, 1], [5, 2]])"), 400, "logit_bias", "5 twice"},
        BadRequestCase{WithMessages(R"("logit_bias": [[5]])"), 400, "logit_bias[0]", "a pair"},
        BadRequestCase{WithMessages(R"("logit_bias": [5, 1])"), 400, "logit_bias[0]", "a pair"},
        BadRequestCase{WithMessages(R"("logit_bias": "5")"), 400, "logit_bias", "an object"},
        BadRequestCase{WithMessages(R"("prompt_logprobs": 21)"), 400, "prompt_logprobs", "from 0 to 20"},
        BadRequestCase{WithMessages(R"("prompt_logprobs": 0, "stream": true)"), 400, "prompt_logprobs",
                       "stream: false"},
        BadRequestCase{WithMessages(R"("priority": -1)"), 400, "priority", "--scheduling-policy priority"},
        BadRequestCase{WithMessages(R"("priority": 0.5)"), 400, "priority", "must be an integer"},
        BadRequestCase{WithMessages(R"("priority": 9223372036854775808)"), 400, "priority", "from -9223372"},
        BadRequestCase{WithMessages(R"("logprob_token_ids": [1])"), 400, "logprob_token_ids",
                       "not supported"},
        BadRequestCase{WithMessages(R"("separate_reasoning": false)"), 400, "separate_reasoning",
                       "not supported"},
        BadRequestCase{WithMessages(R"("return_progress": true)"), 400, "return_progress", "not supported"},
        BadRequestCase{R"({"messages": null})", 400, "messages", "missing"},
        BadRequestCase{R"({"messages": [{}]})", 400, "messages[0].role", "it must be system"},
        BadRequestCase{R"({"messages": [{"role": 123}]})", 400, "messages[0].role", "a string"},
        BadRequestCase{R"({"messages": [{"role": "system", "content": "test"}, {}]})", 400,
                       "messages[1].role", "it must be system"},
        BadRequestCase{WithMessages(R"("top_logprobs": 3)"), 400, "top_logprobs", "logprobs: true"},
        BadRequestCase{WithMessages(R"("logprobs": true, "top_logprobs": 21)"), 400, "top_logprobs",
                       "from 0 to 20"},
        BadRequestCase{WithMessages(R"("stream_options": {"include_usage": true})"), 400, "stream_options",
                       "stream"},
        BadRequestCase{WithMessages(R"("stream": true, "stream_options": {"x": 1})"), 400, "stream_options.x",
                       "unknown"},
        BadRequestCase{WithMessages(R"("response_format": {"type": "xml"})"), 400, "response_format.type",
                       "xml"},
        BadRequestCase{WithMessages(R"("response_format": {"type": "json_schema"})"), 400,
                       "response_format.json_schema", "missing"},
        BadRequestCase{
            WithMessages(R"("response_format": {"type": "json_schema", "json_schema": {"schema": 1}})"), 400,
            "response_format.json_schema.schema", "must be a JSON schema"},
        BadRequestCase{
            WithMessages(
                R"("response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"})"),
            400, "response_format", "both ask"},
        BadRequestCase{WithMessages(R"("structured_outputs": {})"), 400, "structured_outputs",
                       "must have one of"},
        BadRequestCase{WithMessages(R"("structured_outputs": {"regex": "a", "choice": ["a"]})"), 400,
                       "structured_outputs.choice", "both ask"},
        BadRequestCase{WithMessages(R"("structured_outputs": {"regex": "a"}, "min_tokens": 3)"), 400,
                       "min_tokens", "structured_outputs.regex"},
        BadRequestCase{WithMessages(R"("guided_regex": "a")"), 400, "guided_regex", "use structured_outputs"},
        BadRequestCase{WithMessages(R"("tool_choice": "required")"), 400, "tool_choice", "has no tools"},
        BadRequestCase{WithMessages(R"("tool_choice": "always")"), 400, "tool_choice", "required"},
        BadRequestCase{WithMessages(R"("tools": [{"type": "function", "function": {"name": "f"}}],
                                       "tool_choice": {"type": "function", "function": {"name": "g"}})"),
                       400, "tool_choice", "not among the tools"},
        BadRequestCase{WithMessages(R"("tools": [{"type": "function", "function": {"name": "f"}}],
                                       "tool_choice": "required", "response_format": {"type": "json_object"})"),
                       400, "response_format", "demands a call"},
        BadRequestCase{
            WithMessages(R"("tools": [{"type": "function", "function": {"name": "f", "strict": true,
                                       "parameters": {"type": "object", "not": {}}}}])"),
            400, "tools[0].function.parameters", "\"not\" is not supported"},
        BadRequestCase{WithMessages(R"("tools": [{"type": "search"}])"), 400, "tools[0]", "function"},
        BadRequestCase{WithMessages(R"("reasoning_effort": "enormous")"), 400, "reasoning_effort",
                       "enormous"},
        BadRequestCase{WithMessages(R"("thinking": {"type": "perhaps"})"), 400, "thinking.type", "perhaps"},
        BadRequestCase{WithMessages(R"("thinking": "enabled")"), 400, "thinking", "an object"},
        BadRequestCase{WithMessages(R"("chat_template_kwargs": [1])"), 400, "chat_template_kwargs",
                       "an object"},
        BadRequestCase{WithMessages(R"("chat_template_kwargs": {"a": ")" + std::string(20000, 'x') + "\"}"),
                       400, "chat_template_kwargs", "16384 bytes"},
        BadRequestCase{WithMessages(R"("continue_final_message": true)"), 400, "continue_final_message",
                       "last message of the assistant"},
        BadRequestCase{WithMessages(R"("continue_final_message": true, "add_generation_prompt": true)"), 400,
                       "continue_final_message", "contradict"},
        BadRequestCase{R"({"messages": [{"role": "assistant", "audio": {"id": "a"}, "content": "b"}]})", 400,
                       "messages[0].audio", "only text"}));

class BadCompletion : public testing::TestWithParam<BadRequestCase> {};
TEST_P(BadCompletion, IsRefused) {
  ExpectRefused(Server().Post("/v1/completions", GetParam().body), GetParam());
}

INSTANTIATE_TEST_SUITE_P(
    , BadCompletion,
    testing::Values(
        BadRequestCase{"{}", 400, "prompt", "missing"},                                                 //
        BadRequestCase{R"({"prompt": []})", 400, "prompt", "none may be empty"},                        //
        BadRequestCase{R"({"prompt": {}})", 400, "prompt", "must be a string"},                         //
        BadRequestCase{R"({"prompt": ["a", 5]})", 400, "prompt[1]", "must be a string or an array"},    //
        BadRequestCase{R"({"prompt": [1, -2]})", 400, "prompt[1]", "is -2; token ids"},                 //
        BadRequestCase{R"({"prompt": [1, 271]})", 400, "prompt[1]", "from 0 to 270"},                   //
        BadRequestCase{R"({"prompt": [1, 18446744073709551615]})", 400, "prompt[1]", "from 0 to 270"},  //
        BadRequestCase{R"({"prompt": [[1], [2.5]]})", 400, "prompt[1][0]", "is 2.5"},                   //
        BadRequestCase{R"({"prompt": ")" + std::string(600, 'x') + "\"}", 400, "", "has 601 tokens"},   //
        BadRequestCase{WithPrompt(R"("max_tokens": -2)"), 400, "max_tokens", "from -1"},                //
        BadRequestCase{WithPrompt(R"("logprobs": 21)"), 400, "logprobs", "from 0 to 20"},               //
        BadRequestCase{WithPrompt(R"("logprobs": "all")"), 400, "logprobs", "must be an integer"},      //
        BadRequestCase{WithPrompt(R"("suffix": "x")"), 400, "suffix", "not supported"},                 //
        BadRequestCase{WithPrompt(R"("best_of": 2)"), 400, "best_of", "not supported"},                 //
        BadRequestCase{WithPrompt(R"("best_of": 3, "n": 2)"), 400, "best_of", "with n = 2"},            //
        BadRequestCase{WithPrompt(R"("min_tokens": 17)"), 400, "min_tokens", "only 16, as the request"},
        BadRequestCase{WithPrompt(R"("messages": [])"), 400, "messages", "unknown field"}));

TEST(BadTokenize, IsRefused) {
  ExpectRefused(Server().Post("/tokenize", "{}"), {"{}", 400, "prompt", "either prompt or messages"});
  ExpectRefused(Server().Post("/tokenize", R"({"content": 5})"), {"", 400, "content", "must be a string"});
  ExpectRefused(Server().Post("/tokenize", R"({"content": "a", "prompt": "a"})"),
                {"", 400, "prompt", "unknown field"});
  ExpectRefused(Server().Post("/tokenize", R"({"prompt": "a", "with_pieces": true})"),
                {"", 400, "with_pieces", "unknown field"});
  ExpectRefused(Server().Post("/detokenize", "{}"), {"{}", 400, "tokens", "missing"});
  ExpectRefused(Server().Post("/detokenize", R"({"tokens": [999]})"),
                {"", 400, "tokens[0]", "from 0 to 270"});
}

}  // namespace
}  // namespace deeprack::coordinator
