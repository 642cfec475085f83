// Bodies of /v1/messages: the prompt that a body makes, and the errors of bodies that the server refuses.
#include "coordinator/api/anthropic/messages_request.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/api/anthropic/message_fields.h"
#include "coordinator/api/anthropic/messages_prompt.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/byte_model.h"

namespace deeprack::coordinator::anthropic {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const ServedModel& Model() {
  static const std::shared_ptr<ServedModel> model = MakeByteModel(/*max_context=*/4096);
  return *model;
}

// The prompt of a body without an error.
ChatPrompt PromptOf(const std::string& body, bool* one_tool_call = nullptr) {
  const Json json = Json::parse(body);
  std::optional<ApiError> error;
  JsonFields fields(json, kMessagesRequest, "", &error);
  GenerationRequest request;
  ChatPrompt prompt = ReadMessagesPrompt(fields, request);
  EXPECT_FALSE(error) << error->message;
  if (one_tool_call != nullptr) *one_tool_call = request.text.one_tool_call;
  return prompt;
}

// Every message as one text: "assistant (thought) content [name(arguments)#id]".
std::vector<std::string> Messages(const std::string& body) {
  static constexpr const char* kRoles[] = {"system", "user", "assistant", "tool"};
  std::vector<std::string> all;
  for (const ChatMessage& message : PromptOf(body).messages) {
    std::string text = kRoles[static_cast<int>(message.role)];
    if (message.role == ChatRole::kTool) {
      absl::StrAppend(&text, " ", message.name.value_or("?"), "#", message.tool_call_id);
    }
    if (message.reasoning) absl::StrAppend(&text, " (", *message.reasoning, ")");
    absl::StrAppend(&text, " ", message.content.value_or("-"));
    for (const ToolCall& call : message.tool_calls) {
      absl::StrAppend(&text, " [", call.name, "(", call.arguments, ")#", call.id, "]");
    }
    if (message.prefix) text += " ...";
    all.push_back(text);
  }
  return all;
}

std::string WithMessages(const std::string& messages, const std::string& more = "") {
  return absl::StrCat("{\"messages\": [", messages, "]", more.empty() ? "" : ", ", more, "}");
}

constexpr char kUser[] = R"({"role": "user", "content": "Hi"})";

TEST(MessagesRequest, TextsAreStringsOrBlocks) {
  EXPECT_THAT(Messages(WithMessages(kUser, R"("system": "Be brief.")")),
              ElementsAre("system Be brief.", "user Hi"));
  EXPECT_THAT(
      Messages(WithMessages(R"({"role": "user", "content": [{"type": "text", "text": "a", "citations": null},
                                {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}]})",
                            R"("system": [{"type": "text", "text": "x-anthropic-billing-header: cch=1;"},
                                          {"type": "text", "text": "One."}, {"type": "text", "text": "Two."}])")),
      ElementsAre("system One.\n\nTwo.", "user a\n\nb"));
}

TEST(MessagesRequest, AnAssistantsBlocks) {
  EXPECT_THAT(Messages(WithMessages(absl::StrCat(kUser, R"(, {"role": "assistant", "content": [
          {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"},
          {"type": "text", "text": "I look"}, {"type": "text", "text": " it up."},
          {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": [2]}, "caller": {"type": "direct"}},
          {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]}, )",
                                                 kUser))),
              ElementsAre("user Hi", R"(assistant (hm) I look it up. [f({"b":1,"a":[2]})#t1] [g({})#t2])",
                          "user Hi"));
}

TEST(MessagesRequest, ToolResultsStandInTheOrderOfTheCallsAndBeforeTheText) {
  const std::string calls = R"(, {"role": "assistant", "content": [
      {"type": "tool_use", "id": "t1", "name": "f", "input": {}},
      {"type": "tool_use", "id": "t2", "name": "g", "input": {}}]})";
  EXPECT_THAT(Messages(WithMessages(absl::StrCat(kUser, calls, R"(, {"role": "user", "content": [
          {"type": "text", "text": "Go on."},
          {"type": "tool_result", "tool_use_id": "t3", "content": "other"},
          {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
           "content": [{"type": "text", "text": "no"}, {"type": "tool_reference", "tool_name": "h"}]},
          {"type": "tool_result", "tool_use_id": "t1"}]})"))),
              ElementsAre("user Hi", "assistant - [f({})#t1] [g({})#t2]", "tool f#t1 ",
                          "tool g#t2 Error: no\n\nh", "tool ?#t3 other", "user Go on."));
  EXPECT_THAT(
      Messages(WithMessages(absl::StrCat(
          kUser, calls,
          R"(, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]})"))),
      ElementsAre("user Hi", "assistant - [f({})#t1] [g({})#t2]", "tool f#t1 1"));
}

TEST(MessagesRequest, MessagesOfOneRoleJoin) {
  EXPECT_THAT(Messages(WithMessages(R"({"role": "user", "content": "a"}, {"role": "user", "content": "b"},
                                       {"role": "assistant", "content": "c"}, {"role": "assistant", "content": "d"},
                                       {"role": "user", "content": "e"})")),
              ElementsAre("user a\n\nb", "assistant c\n\nd", "user e"));
}

// As Claude Code sends them: a longer conversation must begin with the shorter one's messages.
TEST(MessagesRequest, SystemMessagesWithinTheConversationStayInPlace) {
  const std::string system = R"({"role": "system", "content": [{"type": "text", "text": "S"}]})";
  EXPECT_THAT(Messages(WithMessages(absl::StrCat(system, ", ", kUser), R"("system": "Top.")")),
              ElementsAre("system Top.\n\nS", "user Hi"));
  EXPECT_THAT(Messages(WithMessages(absl::StrCat(kUser, ", ", system))), ElementsAre("user Hi\n\nS"));
  EXPECT_THAT(Messages(WithMessages(
                  absl::StrCat(kUser, R"(, {"role": "assistant", "content": "a"}, )", system, ", ", kUser))),
              ElementsAre("user Hi", "assistant a", "user S\n\nHi"));
  EXPECT_THAT(
      Messages(WithMessages(absl::StrCat(
          kUser,
          R"(, {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
                      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "1"}]}, )",
          system))),
      ElementsAre("user Hi", "assistant - [f({})#t]", "tool f#t 1\n\nS"));
}

TEST(MessagesRequest, ALastAssistantMessageIsTheAnswersBeginning) {
  EXPECT_THAT(Messages(WithMessages(absl::StrCat(kUser, R"(, {"role": "assistant", "content": "It is ("})"))),
              ElementsAre("user Hi", "assistant It is ( ..."));
  EXPECT_THAT(Messages(WithMessages(absl::StrCat(
                  kUser, R"(, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}]})"))),
              ElementsAre("user Hi", "assistant (hm)  ..."));
  EXPECT_THAT(Messages(WithMessages(absl::StrCat(kUser, R"(, {"role": "assistant", "content": ""})"))),
              ElementsAre("user Hi"));
}

TEST(MessagesRequest, ToolsBecomeFunctions) {
  const std::string tools =
      R"("tools": [{"name": "f", "description": "adds", "input_schema": {"type": "object"},
      "cache_control": {"type": "ephemeral"}}, {"type": "custom", "name": "g", "strict": true,
      "input_schema": {"type": "object", "properties": {}}}])";
  EXPECT_THAT(PromptOf(WithMessages(kUser, tools)).tools,
              ElementsAre(R"({"name":"f","description":"adds","parameters":{"type":"object"}})",
                          R"({"name":"g","parameters":{"type":"object","properties":{}}})"));
  EXPECT_TRUE(PromptOf(WithMessages(kUser, tools + R"(, "tool_choice": {"type": "none"})")).tools.empty());
  bool one_call = true;
  PromptOf(WithMessages(kUser, tools + R"(, "tool_choice": {"type": "auto"})"), &one_call);
  EXPECT_FALSE(one_call);
  PromptOf(
      WithMessages(kUser, tools + R"(, "tool_choice": {"type": "auto", "disable_parallel_tool_use": true})"),
      &one_call);
  EXPECT_TRUE(one_call);
}

TEST(MessagesRequest, ThinkingAndEffortAreVariablesOfTheTemplate) {
  const auto variables = [](const std::string& more) {
    return PromptOf(WithMessages(kUser, more)).template_kwargs;
  };
  EXPECT_EQ(variables(""), "{}");
  EXPECT_EQ(variables(R"("thinking": {"type": "disabled"})"),
            R"({"thinking":false,"enable_thinking":false})");
  for (const char* type : {"enabled", "adaptive", "between_tools"}) {
    EXPECT_EQ(variables(absl::StrCat(R"("thinking": {"type": ")", type, R"(", "budget_tokens": 1024})")),
              R"({"thinking":true,"enable_thinking":true})");
  }
  EXPECT_EQ(variables(R"("output_config": {"effort": "high"})"), R"({"reasoning_effort":"high"})");
}

MessagesRequest Parsed(const std::string& body) {
  auto parsed = ParseMessagesRequest(body, Model());
  if (const auto* error = std::get_if<ApiError>(&parsed)) ADD_FAILURE() << error->message;
  return std::holds_alternative<MessagesRequest>(parsed) ? std::get<MessagesRequest>(parsed)
                                                         : MessagesRequest();
}

TEST(MessagesRequest, SamplingStopsAndLimits) {
  MessagesRequest request = Parsed(WithMessages(
      kUser,
      R"("max_tokens": 7, "temperature": 0.5, "top_k": 3, "stop_sequences": ["a", "b"], "stream": true)"));
  const Request& sequence = request.generation.request;
  EXPECT_FLOAT_EQ(sequence.sampling.temperature, 0.5f);
  EXPECT_FLOAT_EQ(sequence.sampling.top_p, 0.95f);  // the model's default
  EXPECT_EQ(sequence.sampling.top_k, 3);
  EXPECT_EQ(sequence.max_tokens, 7);
  EXPECT_THAT(sequence.stop_token_ids, ElementsAre(ByteTokenizer::kEos));
  EXPECT_THAT(request.generation.text.stop, ElementsAre("a", "b"));
  EXPECT_TRUE(request.generation.stream);
  EXPECT_FALSE(request.cut_to_room);
  request = Parsed(WithMessages(kUser, R"("max_tokens": 100000, "top_p": 0)"));
  EXPECT_EQ(request.generation.request.sampling.temperature, 0.0f);
  EXPECT_LT(request.generation.request.max_tokens, 4096);
  EXPECT_TRUE(request.cut_to_room);
}

// The fields that Claude Code sends, with short texts.
constexpr char kClaudeCode[] = R"({"model": "bytes", "max_tokens": 32000, "stream": true, "temperature": 1,
  "system": [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=0a1b2;"},
             {"type": "text", "text": "You are a coding agent.", "cache_control": {"type": "ephemeral"}},
             {"type": "text", "text": "\nTone: brief.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
  "messages": [
    {"role": "user", "content": [{"type": "text", "text": "<system-reminder>today</system-reminder>"},
                                 {"type": "text", "text": "List files.", "cache_control": {"type": "ephemeral"}}]},
    {"role": "system", "content": "Agents: none."},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "ls", "signature": ""},
      {"type": "text", "text": "Sure."},
      {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}]},
    {"role": "user", "content": [{"tool_use_id": "toolu_1", "type": "tool_result", "content": "a.c", "is_error": false,
                                  "cache_control": {"type": "ephemeral"}}]}],
  "tools": [{"name": "Bash", "description": "Runs a command.", "eager_input_streaming": true, "input_schema": {
     "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
     "properties": {"command": {"type": "string"}}, "required": ["command"]}}],
  "tool_choice": {"type": "auto"}, "metadata": {"user_id": "user_1_session_2"},
  "thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": "medium"},
  "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}})";

TEST(MessagesRequest, ClaudeCodesBodyIsTaken) {
  EXPECT_THAT(
      Messages(kClaudeCode),
      ElementsAre("system You are a coding agent.\n\n\nTone: brief.",
                  "user <system-reminder>today</system-reminder>\n\nList files.\n\nAgents: none.",
                  R"(assistant (ls) Sure. [Bash({"command":"ls"})#toolu_1])", "tool Bash#toolu_1 a.c"));
  const MessagesRequest request = Parsed(kClaudeCode);
  EXPECT_TRUE(request.generation.text.parse_tool_calls);
}

TEST(MessagesRequest, CountsThePromptThatItWouldMake) {
  const std::string fields = R"("system": "Be brief.", "tools": [{"name": "f", "input_schema": {}}])";
  const auto counted = ParseCountTokensRequest(WithMessages(kUser, fields), Model());
  ASSERT_TRUE(std::holds_alternative<GenerationRequest>(counted));
  const MessagesRequest request = Parsed(WithMessages(kUser, fields + R"(, "max_tokens": 1)"));
  EXPECT_EQ(std::get<GenerationRequest>(counted).prompts, request.generation.prompts);
  EXPECT_TRUE(std::holds_alternative<ApiError>(
      ParseCountTokensRequest(WithMessages(kUser, R"("stop_sequences": [])"), Model())));
}

struct Refusal {
  std::string body;
  std::string param;
  std::string words;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.body; }

class RefusedMessages : public testing::TestWithParam<Refusal> {};

TEST_P(RefusedMessages, NameTheFieldAndTheReason) {
  const auto parsed = ParseMessagesRequest(GetParam().body, Model());
  ASSERT_TRUE(std::holds_alternative<ApiError>(parsed));
  const ApiError& error = std::get<ApiError>(parsed);
  EXPECT_GE(error.status, 400);
  EXPECT_LT(error.status, 500);
  EXPECT_EQ(error.param, GetParam().param);
  EXPECT_THAT(error.message, HasSubstr(GetParam().words));
}

std::string User(const std::string& content) {
  return WithMessages(absl::StrCat(R"({"role": "user", "content": )", content, "}"), R"("max_tokens": 1)");
}
std::string With(const std::string& more) {
  return WithMessages(kUser, absl::StrCat(R"("max_tokens": 1, )", more));
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedMessages,
    testing::Values(
        Refusal{WithMessages(kUser), "max_tokens", "max_tokens is missing"},
        Refusal{R"({"max_tokens": 1})", "messages", "missing"},
        Refusal{WithMessages(""), "messages", "empty"},
        Refusal{WithMessages("3"), "messages[0]", "must be an object"},
        Refusal{WithMessages(R"({"role": "tool", "content": ""})"), "messages[0].role",
                "must be user, assistant"},
        Refusal{WithMessages(R"({"role": "user"})"), "messages[0].content", "is missing"},
        Refusal{User("3"), "messages[0].content", "must be a string or an array of blocks"},
        Refusal{User("[3]"), "messages[0].content[0]", "must be an object with a string \"type\""},
        Refusal{User(R"([{"type": "text"}])"), "messages[0].content[0].text", "is missing"},
        Refusal{User(R"([{"type": "image", "source": {}}])"), "messages[0].content[0].type", "\"image\""},
        Refusal{User(R"([{"type": "document"}])"), "messages[0].content[0].type", "reads here only text"},
        Refusal{User(R"([{"type": "thinking", "thinking": ""}])"), "messages[0].content[0].type", "thinking"},
        Refusal{User(R"([{"type": "tool_result", "content": "x"}])"), "messages[0].content[0].tool_use_id",
                "missing"},
        Refusal{User(R"([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image"}]}])"),
                "messages[0].content[0].content[0].type", "image"},
        Refusal{WithMessages(
                    R"({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": ""}]})"),
                "messages[0].content[0].name", "is empty"},
        Refusal{
            WithMessages(
                R"({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": 3}]})"),
            "messages[0].content[0].input", "must be an object"},
        Refusal{
            WithMessages(
                R"({"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]})"),
            "messages", "tool_result must follow"},
        Refusal{With(R"("system": [{"type": "image"}])"), "system[0].type", "only text"},
        Refusal{With(R"("tools": [{"type": "web_search_20250305", "name": "web_search"}])"), "tools[0].type",
                "web_search_20250305"},
        Refusal{With(R"("tools": [{"name": "f"}])"), "tools[0]", "input_schema"},
        Refusal{With(R"("tool_choice": {"type": "any"})"), "tool_choice", "has no tools"},
        Refusal{With(R"("tool_choice": {"type": "tool"})"), "tool_choice.name", "missing"},
        Refusal{With(R"("tools": [{"name": "g", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "f"})"),
                "tool_choice", "not among the tools"},
        Refusal{With(R"("thinking": {"type": "x"})"), "thinking.type", "must be enabled"},
        Refusal{With(R"("output_config": {"format": {"type": "json_schema"}})"), "output_config.format.schema",
                "missing"},
        Refusal{With(R"("context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]})"),
                "context_management.edits[0].type", "clear_thinking"},
        Refusal{With(R"("container": "c")"), "container", "runs no code"},
        Refusal{With(R"("mcp_servers": [{}])"), "mcp_servers", "calls no tools"},
        Refusal{With(R"("model": "claude")"), "model", "claude"},
        Refusal{With(R"("n": 2)"), "n", "unknown field"},
        Refusal{With(R"("stop_sequences": "x")"), "stop_sequences", "array"},
        Refusal{With(R"("stop_sequences": [""])"), "stop_sequences[0]", "1 to 256"},
        Refusal{With(R"("temperature": 3)"), "temperature", "from 0 to 2"},
        Refusal{WithMessages(kUser, R"("max_tokens": -1)"), "max_tokens", "-1"}));

}  // namespace
}  // namespace deeprack::coordinator::anthropic
