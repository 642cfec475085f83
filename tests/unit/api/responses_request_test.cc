#include "coordinator/api/responses/responses_request.h"

#include "absl/strings/str_cat.h"
#include "coordinator/api/responses/conversation_chat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/byte_model.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ResponsesRequestTest : public testing::Test {
 protected:
  std::variant<ResponsesRequest, ApiError> Parse(const std::string& body, const std::string& owner = "") {
    const ResponsesContext context = {
        .model = *model_, .store = store_, .owner = owner, .make_id = [this](const std::string& prefix) {
          return absl::StrCat(prefix, ++ids_);
        }};
    std::variant<ResponsesRequest, ApiError> parsed = ReadResponsesRequest(body, context);
    if (auto* request = std::get_if<ResponsesRequest>(&parsed)) {
      if (std::optional<ApiError> error = MakePrompt(*model_, *request)) return *std::move(error);
    }
    return parsed;
  }

  ResponsesRequest Read(const std::string& body, const std::string& owner = "") {
    std::variant<ResponsesRequest, ApiError> parsed = Parse(body, owner);
    if (const ApiError* error = std::get_if<ApiError>(&parsed)) {
      ADD_FAILURE() << body << "\n" << error->message;
      return {};
    }
    return std::get<ResponsesRequest>(std::move(parsed));
  }

  ApiError Refuse(const std::string& body, const std::string& owner = "") {
    std::variant<ResponsesRequest, ApiError> parsed = Parse(body, owner);
    EXPECT_TRUE(std::holds_alternative<ApiError>(parsed)) << body;
    if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
    return {};
  }

  std::vector<TokenId> Rendered(const ChatPrompt& prompt) const {
    return model_->chat_template->Render(prompt)->ids;
  }

  // Stores a response with an input and an output of one message each.
  void Store(const std::string& id, const std::string& owner = "") {
    const auto item = [](const std::string& item_id, const char* role, const char* type, const char* text) {
      const Json json = {{"id", item_id},
                         {"type", "message"},
                         {"role", role},
                         {"status", "completed"},
                         {"content", Json::array({{{"type", type}, {"text", text}}})}};
      return std::make_shared<const ConversationItem>(ConversationItem{.id = item_id, .json = json.dump()});
    };
    store_.Add(owner, id,
               {.json = "{}",
                .input = {item(id + "_in", "user", "input_text", "Hi")},
                .output = {item(id + "_out", "assistant", "output_text", "Hello")}});
  }

  std::shared_ptr<ServedModel> model_ = MakeByteModel();
  ManualClock clock_;
  ResponseStore store_{{}, &clock_};
  int ids_ = 0;
};

TEST_F(ResponsesRequestTest, ATextIsAUsersMessage) {
  const ResponsesRequest request = Read(R"({"input": "Hi"})");
  EXPECT_EQ(request.generation.prompts[0],
            Rendered({.messages = {{.role = ChatRole::kUser, .content = "Hi"}}}));
  ASSERT_EQ(request.conversation.size(), 1u);
  EXPECT_EQ(Json::parse(request.conversation[0]->json), Json::parse(R"({"id": "msg_1", "type": "message",
    "role": "user", "status": "completed", "content": [{"type": "input_text", "text": "Hi"}]})"));
  EXPECT_TRUE(request.store);
  EXPECT_FALSE(request.generation.stream);
  EXPECT_EQ(request.generation.n, 1);
}

TEST_F(ResponsesRequestTest, ItemsBecomeMessages) {
  const ResponsesRequest request = Read(R"({"instructions": "Be brief", "input": [
    {"role": "developer", "content": "Use tools"},
    {"role": "user", "content": [{"type": "input_text", "text": "1+"}, {"type": "input_text", "text": "1?"}]},
    {"type": "reasoning", "id": "rs_x", "summary": [], "content": [{"type": "reasoning_text", "text": "Add"}],
     "encrypted_content": null},
    {"type": "message", "id": "msg_x", "role": "assistant", "status": "completed",
     "content": [{"type": "output_text", "text": "I call", "annotations": [], "logprobs": []}]},
    {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{\"a\":1}", "id": null},
    {"type": "function_call", "call_id": "c2", "name": "sub", "arguments": ""},
    {"type": "function_call_output", "call_id": "c2", "output": "0"},
    {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "2"}]},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]},
    {"role": "assistant", "content": "Two"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Short"}]}]})");
  const std::vector<ChatMessage> messages =
      std::get<std::vector<ChatMessage>>(ChatMessagesOf(request.conversation));
  ASSERT_EQ(messages.size(), 8u);
  EXPECT_EQ(messages[0].role, ChatRole::kSystem);
  EXPECT_EQ(messages[1].content, "1+1?");
  EXPECT_EQ(messages[2].role, ChatRole::kAssistant);
  EXPECT_EQ(messages[2].reasoning, "Add");
  EXPECT_EQ(messages[2].content, "I call");
  ASSERT_EQ(messages[2].tool_calls.size(), 2u);
  EXPECT_EQ(messages[2].tool_calls[0].id, "c1");
  EXPECT_EQ(messages[2].tool_calls[0].name, "add");
  EXPECT_EQ(messages[2].tool_calls[0].arguments, "{\"a\":1}");
  EXPECT_EQ(messages[2].tool_calls[1].name, "sub");
  EXPECT_EQ(messages[3].role, ChatRole::kTool);
  EXPECT_EQ(messages[3].tool_call_id, "c2");
  EXPECT_EQ(messages[3].name, "sub");
  EXPECT_EQ(messages[4].content, "2");
  EXPECT_EQ(messages[4].name, "add");
  EXPECT_EQ(messages[5].content, "No");
  EXPECT_EQ(messages[6].content, "Two");
  EXPECT_EQ(messages[7].reasoning, "Short");
  EXPECT_EQ(messages[7].content, "");

  ChatPrompt prompt{.messages = messages};
  prompt.messages.insert(prompt.messages.begin(), {.role = ChatRole::kSystem, .content = "Be brief"});
  EXPECT_EQ(request.generation.prompts[0], Rendered(prompt));
}

TEST_F(ResponsesRequestTest, ToolsAreThoseOfAChat) {
  const std::string tool = R"({"type": "function", "name": "add", "description": "Adds", "strict": true,
    "parameters": {"type": "object", "properties": {}}})";
  const ResponsesRequest request = Read(R"({"input": "Hi", "tools": [)" + tool + "]}");
  EXPECT_THAT(
      request.prompt.tools,
      ElementsAre(R"({"name":"add","description":"Adds","parameters":{"type":"object","properties":{}}})"));
  EXPECT_TRUE(request.generation.text.parse_tool_calls);
  EXPECT_EQ(request.echo["tools"], Json::parse(R"([{"type": "function", "name": "add", "description": "Adds",
    "parameters": {"type": "object", "properties": {}}, "strict": true}])"));
  EXPECT_EQ(request.echo["tool_choice"], "auto");

  const ResponsesRequest none = Read(R"({"input": "Hi", "tool_choice": "none", "tools": [)" + tool + "]}");
  EXPECT_TRUE(none.prompt.tools.empty());
  EXPECT_FALSE(none.generation.text.parse_tool_calls);
  EXPECT_EQ(none.echo["tool_choice"], "none");
  EXPECT_EQ(none.generation.prompts, Read(R"({"input": "Hi"})").generation.prompts);
}

TEST_F(ResponsesRequestTest, AConversationGoesOnWithoutTheEarlierInstructions) {
  Store("resp_1");
  const ResponsesRequest request =
      Read(R"({"input": "More", "previous_response_id": "resp_1", "instructions": "New"})");
  EXPECT_EQ(request.generation.prompts[0],
            Rendered({.messages = {{.role = ChatRole::kSystem, .content = "New"},
                                   {.role = ChatRole::kUser, .content = "Hi"},
                                   {.role = ChatRole::kAssistant, .content = "Hello"},
                                   {.role = ChatRole::kUser, .content = "More"}}}));
  EXPECT_EQ(request.echo["previous_response_id"], "resp_1");
  ASSERT_EQ(request.conversation.size(), 3u);
  EXPECT_EQ(request.conversation[0], store_.FindItem("", "resp_1_in"));  // shared, not copied
}

TEST_F(ResponsesRequestTest, AReferenceStandsForAStoredItem) {
  Store("resp_1");
  for (const char* reference :
       {R"({"type": "item_reference", "id": "resp_1_out"})", R"({"id": "resp_1_out"})"}) {
    const ResponsesRequest request =
        Read(absl::StrCat(R"({"input": [{"role": "user", "content": "Hi"}, )", reference,
                          R"(, {"role": "user", "content": "More"}]})"));
    ASSERT_EQ(request.conversation.size(), 3u);
    EXPECT_EQ(request.conversation[1], store_.FindItem("", "resp_1_out"));
  }
  // The conversation has the item already.
  EXPECT_EQ(
      Read(R"({"previous_response_id": "resp_1", "input": [{"id": "resp_1_out"}]})").conversation.size(), 2u);
}

TEST_F(ResponsesRequestTest, OtherOwnersResponsesAreNotFound) {
  Store("resp_1", "ann");
  const std::string body = R"({"input": "More", "previous_response_id": "resp_1"})";
  EXPECT_EQ(Read(body, "ann").conversation.size(), 3u);
  const ApiError error = Refuse(body, "bob");
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error.code, "previous_response_not_found");
  EXPECT_EQ(error.param, "previous_response_id");
  EXPECT_THAT(error.message, HasSubstr("Previous response with id 'resp_1' not found"));
  const ApiError item = Refuse(R"({"input": [{"type": "item_reference", "id": "resp_1_out"}]})", "bob");
  EXPECT_EQ(item.status, 404);
  EXPECT_EQ(item.param, "input[0].id");
}

TEST_F(ResponsesRequestTest, TheResponseRepeatsTheRequest) {
  const ResponsesRequest request = Read(R"({"input": "Hi", "temperature": 0.25, "metadata": {"a": "b"},
    "user": "u", "safety_identifier": "s", "prompt_cache_key": "k", "service_tier": "flex", "store": false,
    "max_output_tokens": 7, "max_tool_calls": 3, "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"format": {"type": "text"}, "verbosity": "low"}, "truncation": "disabled", "background": false,
    "parallel_tool_calls": false, "include": ["reasoning.encrypted_content"], "instructions": null})");
  EXPECT_EQ(request.echo["temperature"], 0.25);
  EXPECT_EQ(request.echo["top_p"].dump(), "0.95");  // the model's default
  EXPECT_EQ(request.echo["metadata"], Json::parse(R"({"a": "b"})"));
  EXPECT_EQ(request.echo["user"], "u");
  EXPECT_EQ(request.echo["safety_identifier"], "s");
  EXPECT_EQ(request.echo["prompt_cache_key"], "k");
  EXPECT_EQ(request.echo["service_tier"], "default");
  EXPECT_EQ(request.echo["store"], false);
  EXPECT_EQ(request.echo["max_output_tokens"], 7);
  EXPECT_EQ(request.echo["max_tool_calls"], 3);
  EXPECT_EQ(request.echo["reasoning"], Json::parse(R"({"effort": "low", "summary": "auto"})"));
  EXPECT_EQ(request.echo["text"], Json::parse(R"({"format": {"type": "text"}, "verbosity": "low"})"));
  EXPECT_EQ(request.echo["parallel_tool_calls"], false);
  EXPECT_EQ(request.echo["instructions"], nullptr);
  EXPECT_FALSE(request.store);
  EXPECT_EQ(request.generation.request.max_tokens, 7);
  EXPECT_EQ(Json::parse(request.prompt.template_kwargs)["reasoning_effort"], "low");
}

TEST_F(ResponsesRequestTest, LogprobsComeWithTheirInclude) {
  const ResponsesRequest request =
      Read(R"({"input": "Hi", "include": ["message.output_text.logprobs"], "top_logprobs": 2})");
  EXPECT_TRUE(request.logprobs);
  EXPECT_EQ(request.generation.request.sampling.top_logprobs, 2);
  EXPECT_EQ(Read(R"({"input": "Hi", "top_logprobs": 0})").generation.request.sampling.top_logprobs, -1);
}

TEST_F(ResponsesRequestTest, AStoreThatIsOffStoresNothing) {
  ResponseStore off({.responses = 0}, &clock_);
  const ResponsesContext context = {
      .model = *model_, .store = off, .make_id = [](const std::string& prefix) { return prefix; }};
  EXPECT_FALSE(
      std::get<ResponsesRequest>(ReadResponsesRequest(R"({"input": "Hi", "store": true})", context)).store);
  const auto refused = ReadResponsesRequest(R"({"input": "Hi", "previous_response_id": "resp_1"})", context);
  EXPECT_THAT(std::get<ApiError>(refused).message, HasSubstr("--stored-responses"));
}

struct Refused {
  std::string body;
  std::string param, words;
};

TEST_F(ResponsesRequestTest, BadRequestsAreRefusedByName) {
  const std::string tool = R"("tools": [{"type": "function", "name": "f"}])";
  const std::vector<Refused> cases = {
      {"{}", "input", "missing"},
      {R"({"input": 3})", "input", "string or an array of items"},
      {R"({"input": []})", "input", "empty"},
      {R"({"input": ["Hi"]})", "input[0]", "must be an object"},
      {R"({"input": [{}]})", "input[0].type", "a message, a function_call"},
      {R"({"input": [{"type": 3}]})", "input[0].type", "a message, a function_call"},
      {R"({"input": [{"type": "web_search_call", "id": "w"}]})", "input[0].type", "web_search_call"},
      {R"({"input": [{"role": "tool", "content": "x"}]})", "input[0].role", "\"tool\""},
      {R"({"input": [{"role": "user"}]})", "input[0].content", "missing"},
      {R"({"input": [{"role": "user", "content": 3}]})", "input[0].content", "string or an array of parts"},
      {R"({"input": [{"role": "user", "content": [{"type": "input_image", "text": "x"}]}]})",
       "input[0].content[0].type", "input_image"},
      {R"({"input": [{"role": "user", "content": [{"type": "refusal", "refusal": "x"}]}]})",
       "input[0].content[0].type", "refusal"},
      {R"({"input": [{"role": "user", "content": [{"type": "input_text"}]}]})", "input[0].content[0].text",
       "missing"},
      {R"({"input": [{"role": "user", "content": "x", "status": "done"}]})", "input[0].status", "\"done\""},
      {R"({"input": [{"type": "function_call", "name": "f", "arguments": ""}]})", "input[0].call_id",
       "missing"},
      {R"({"input": [{"type": "function_call", "call_id": "c", "name": "", "arguments": ""}]})",
       "input[0].name", "empty"},
      {R"({"input": [{"type": "function_call", "call_id": "c", "name": "f"}]})", "input[0].arguments",
       "missing"},
      {R"({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]})", "input",
       "call_id c"},
      {R"({"input": [{"type": "reasoning", "summary": [], "encrypted_content": "x"}]})",
       "input[0].encrypted_content", "cannot read it"},
      {R"({"input": [{"type": "item_reference", "id": "msg_0"}]})", "input[0].id", "'msg_0' not found"},
      {R"({"input": "x", "tools": [{"type": "web_search"}]})", "tools[0].type", "web_search"},
      {R"({"input": "x", "tools": [{"type": "function"}]})", "tools[0].name", "missing"},
      {R"({"input": "x", "tools": [3]})", "tools[0]", "must be an object"},
      {R"({"input": "x", "tool_choice": "required"})", "tool_choice", "has no tools"},
      {R"({"input": "x", "tool_choice": {"type": "file_search"}})", "tool_choice", "not supported"},
      {R"({"input": "x", "text": {"format": {"type": "json_schema"}}})", "text.format.schema", "missing"},
      {R"({"input": "x", "truncation": "auto"})", "truncation", "not supported"},
      {R"({"input": "x", "background": true})", "background", "not supported"},
      {R"({"input": "x", "conversation": "conv_1"})", "conversation", "previous_response_id"},
      {R"({"input": "x", "prompt": {"id": "p"}})", "prompt", "not supported"},
      {R"({"input": "x", "n": 2})", "n", "one answer"},
      {R"({"input": "x", "max_tokens": 2})", "max_tokens", "max_output_tokens"},
      {R"({"input": "x", "messages": []})", "messages", "unknown"},
      {R"({"input": "x", "include": ["all"]})", "include[0]", "\"all\""},
      {R"({"input": "x", "top_logprobs": 2})", "top_logprobs", "include"},
      {R"({"input": "x", "max_output_tokens": 0})", "max_output_tokens", "at least 1"},
      {R"({"input": "x", "metadata": {"a": 1}})", "metadata", "texts"},
      {R"({"input": "x", "reasoning": {"effort": "huge"}})", "reasoning.effort", "huge"},
      {R"({"input": "x", "reasoning": {"mode": "pro"}})", "reasoning.mode", "not supported"},
      {R"({"input": "x", "previous_response_id": "resp_0"})", "previous_response_id", "resp_0"},
  };
  for (const Refused& c : cases) {
    const ApiError error = Refuse(c.body);
    EXPECT_EQ(error.param, c.param) << c.body << "\n" << error.message;
    EXPECT_THAT(error.message, HasSubstr(c.words)) << c.body;
    EXPECT_TRUE(error.status == 400 || error.status == 404) << c.body;
  }
}

}  // namespace
}  // namespace deeprack::coordinator
