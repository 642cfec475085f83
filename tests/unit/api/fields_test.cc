// What each kind of field does: fields that change the answer, labels, and refused fields.
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/completion_request.h"
#include "coordinator/api/request_fields.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/api/api_server.h"
#include "tests/unit/api/endpoint_requests.h"

namespace deeprack::coordinator {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string PromptBody(const std::string& more) {
  return absl::StrCat(R"({"prompt": "a")", more.empty() ? "" : ", ", more, "}");
}

Json Ask(const std::string& path, const std::string& body) {
  const HttpReply reply = Server().Post(path, body);
  EXPECT_EQ(reply.status, 200) << body << "\n" << reply.body;
  return Json::parse(reply.body);
}

Json Choice(const std::string& path, const std::string& body) { return Ask(path, body)["choices"][0]; }

// The data of each event but the last one, which is [DONE].
std::vector<Json> Events(const std::string& path, const std::string& body) {
  std::vector<Json> events;
  const HttpReply reply = Server().Post(path, body);
  for (absl::string_view line : absl::StrSplit(reply.body, '\n')) {
    if (absl::ConsumePrefix(&line, "data: ") && line != "[DONE]") events.push_back(Json::parse(line));
  }
  return events;
}

const ServedModel& Model() {
  static const std::shared_ptr<ServedModel> model = MakeByteModel();
  return *model;
}

std::optional<ApiError> ParseChat(const std::string& more) {
  const auto parsed = ParseChatRequest(ChatBody(more), Model());
  const ApiError* error = std::get_if<ApiError>(&parsed);
  return error == nullptr ? std::nullopt : std::optional(*error);
}

std::optional<ApiError> ParseCompletion(const std::string& more) {
  const auto parsed = ParseCompletionRequest(PromptBody(more), Model());
  const ApiError* error = std::get_if<ApiError>(&parsed);
  return error == nullptr ? std::nullopt : std::optional(*error);
}

// The error that /tokenize answers with.
std::optional<ApiError> Tokenize(const std::string& body) {
  const HttpReply reply = Server().Post("/tokenize", body);
  if (reply.status == 200) return std::nullopt;
  const Json error = Json::parse(reply.body)["error"];
  return ApiError{.status = reply.status,
                  .code = error["code"].get<std::string>(),
                  .message = error["message"].get<std::string>(),
                  .param = error["param"].get<std::string>()};
}

struct Endpoint {
  const RequestObject* kind;
  std::function<std::optional<ApiError>(const std::string& more)> parse;
};

// Calls `check` with each field of each endpoint, and with a function that gives a request's error for a
// value of the field.
template <class Check>
void ForEachField(Check check) {
  const Endpoint endpoints[] = {
      {&kChatRequest, ParseChat},
      {&kCompletionRequest, ParseCompletion},
      {&kTokenizeChat, [](const std::string& more) { return Tokenize(ChatBody(more)); }},
      {&kTokenizeText, [](const std::string& more) { return Tokenize(PromptBody(more)); }},
      {&kTokenizeContent,
       [](const std::string& more) { return Tokenize(absl::StrCat(R"({"content": "a", )", more, "}")); }},
  };
  for (const Endpoint& endpoint : endpoints) {
    for (const FieldTable* table : {endpoint.kind->own, endpoint.kind->shared}) {
      SCOPED_TRACE(std::string(table->heading));
      for (const RequestField& field : table->fields) {
        SCOPED_TRACE(std::string(field.name));
        check(field, [&](const std::string& value) {
          return endpoint.parse(absl::StrCat("\"", std::string(field.name), "\": ", value));
        });
      }
    }
  }
}

TEST(Fields, LabelsTakeAnyValue) {
  ForEachField([](const RequestField& field, const auto& error_for) {
    if (field.use != FieldUse::kAccepted) return;
    EXPECT_FALSE(error_for("1").has_value());
    EXPECT_FALSE(error_for(R"({"x": [1]})").has_value());
  });
}

TEST(Fields, RefusedFieldsTakeTheValuesThatAskForNothingAndNoOther) {
  ForEachField([](const RequestField& field, const auto& error_for) {
    if (field.use != FieldUse::kRefused) return;
    for (const Json& value : Json::parse(absl::StrCat("[", std::string(field.allowed), "]"))) {
      EXPECT_FALSE(error_for(value.dump()).has_value()) << value;
    }
    const std::optional<ApiError> error = error_for(R"({"x": 1})");
    ASSERT_TRUE(error.has_value());
    EXPECT_EQ(error->status, 400);
    EXPECT_EQ(error->code, "unsupported_value");
    EXPECT_EQ(error->param, field.name);
    EXPECT_THAT(error->message, HasSubstr(std::string(field.why)));
  });
}

TEST(Fields, NullIsAbsentEverywhere) {
  ForEachField([&](const RequestField& field, const auto& error_for) {
    if (field.name == "messages" || field.name == "prompt" || field.name == "content") return;
    EXPECT_FALSE(error_for("null").has_value());
  });
  EXPECT_FALSE(ParseChat(R"("no_such_field": null)").has_value());
}

TEST(Fields, WholeNumbersMayHaveAFraction) {
  EXPECT_EQ(Ask(kCompletions, PromptBody(R"("max_tokens": 3.0)"))["usage"]["completion_tokens"], 3);
}

TEST(Fields, UnknownOnesAreIgnoredAndCountedOnRequest) {
  ApiServer server({.ignore_unknown_fields = true});
  server.BecomeReady();
  EXPECT_EQ(
      server.Post(kChat, ChatBody(R"("mystery": 1, "stream": true, "stream_options": {"x": 1})")).status,
      200);
  EXPECT_EQ(server.Post(kCompletions, PromptBody(R"("mystery": 1)")).status, 200);
  EXPECT_EQ(server.Post("/tokenize", PromptBody(R"("mystery": 1)")).status, 200);
  EXPECT_EQ(server.Post("/detokenize", R"({"tokens": [65], "mystery": 1})").status, 200);
  EXPECT_EQ(server.Post("/v1/chat/completions/render", ChatBody(R"("mystery": 1)")).status, 200);
  EXPECT_EQ(server.Post("/v1/completions/render", PromptBody(R"("mystery": 1)")).status, 200);
  EXPECT_EQ(server.Post("/v1/messages/count_tokens", ChatBody(R"("mystery": 1)")).status, 200);
  EXPECT_EQ(server.Post(kCompletions, PromptBody(R"("mystery": 1, "suffix": "x")")).status, 400);
  EXPECT_THAT(server.Get("/metrics").body,
              HasSubstr("deeprack:ignored_fields_total{model_name=\"bytes\"} 8"));
}

TEST(Sampling, ATopPOfZeroTakesTheLikeliestToken) {
  ApiServer server;
  server.BecomeReady();
  for (const char* value : {"0", "1e-300"}) {
    EXPECT_EQ(server.Post(kChat, ChatBody(absl::StrCat("\"temperature\": 1, \"top_p\": ", value))).status,
              200);
    const model::SamplingParams sampling = server.executor().last_sampling();
    EXPECT_EQ(sampling.temperature, 0);
    EXPECT_EQ(sampling.top_p, 1);
  }
}

TEST(MaxTokens, IsCutToTheRoomOfTheContext) {
  for (const char* more : {R"("max_tokens": 4000000000)", R"("max_tokens": -1)", R"("n_predict": -1)"}) {
    const Json body = Ask(kCompletions, PromptBody(absl::StrCat(R"("ignore_eos": true, )", more)));
    EXPECT_EQ(body["usage"]["completion_tokens"], 512 - 2);  // the prompt: bos and a
    EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  }
  const Json chat =
      Ask(kChat, ChatBody(R"("ignore_eos": true, "max_tokens": 7, "max_completion_tokens": 5)"));
  EXPECT_EQ(chat["usage"]["completion_tokens"], 5);
}

TEST(MinTokens, NoEndTokenComesBefore) {
  // The script has 12 tokens. The next three are end tokens, which are forbidden.
  const Json body = Ask(kChat, ChatBody(R"("min_tokens": 15)"));
  EXPECT_EQ(body["choices"][0]["message"]["content"], "4xxx");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(body["usage"]["completion_tokens"], 16);
  EXPECT_EQ(Choice(kCompletions, PromptBody(R"("stop_token_ids": [97], "min_tokens": 2)"))["text"], "2 ");
  EXPECT_EQ(Choice(kCompletions, PromptBody(R"("stop_token_ids": [97], "min_tokens": 3)"))["text"],
            "2 xnd 2\n\n\n4");
}

TEST(MinTokens, NoStopStringComesBefore) {
  const auto reasoning = [](const char* more) {
    return Choice(kChat, ChatBody(absl::StrCat(R"("stop": "nd", "stop_in_reasoning": true, )",
                                               more)))["message"]["reasoning_content"];
  };
  EXPECT_EQ(reasoning(R"("min_tokens": 3)"), "2 a");
  EXPECT_EQ(reasoning(R"("min_tokens": 5)"), "2 and 2");
}

TEST(Stop, TheStopTokensTextStaysOnRequest) {
  for (const char* field : {"include_stop_str_in_output", "no_stop_trim"}) {
    const std::string more = absl::StrCat(R"("stop_token_ids": [97], ")", field, R"(": )");
    EXPECT_EQ(Choice(kCompletions, PromptBody(more + "true"))["text"], "2 a");
    EXPECT_EQ(Choice(kCompletions, PromptBody(more + "false"))["text"], "2 ");
  }
  EXPECT_EQ(Choice(kCompletions, PromptBody(R"("stop": "", "max_tokens": 3)"))["text"], "2 a");
}

TEST(Logprobs, BothFormsAreTakenAtBothEndpoints) {
  const auto tops = [](const Json& choice) {
    return choice["logprobs"]["reasoning_content"][0]["top_logprobs"].size();
  };
  EXPECT_EQ(tops(Choice(kChat, ChatBody(R"("logprobs": true, "max_tokens": 1)"))), 0u);
  EXPECT_EQ(tops(Choice(kChat, ChatBody(R"("logprobs": 3, "max_tokens": 1)"))), 3u);
  EXPECT_TRUE(Choice(kChat, ChatBody(R"("logprobs": false, "top_logprobs": 0)"))["logprobs"].is_null());
  const Json choice = Choice(kCompletions, PromptBody(R"("logprobs": true, "max_tokens": 1)"));
  EXPECT_EQ(choice["logprobs"]["tokens"], Json::array({"2"}));
  EXPECT_TRUE(Choice(kCompletions, PromptBody(R"("logprobs": false)"))["logprobs"].is_null());
}

TEST(StreamOptions, EachEventHasTheUsageSoFar) {
  const std::string options =
      R"("stream": true, "stream_options": {"include_usage": true, "include_obfuscation": true,
                                 "continuous_usage_stats": true})";
  for (const auto& [path, body] :
       {std::pair{kChat, ChatBody(options)}, {kCompletions, PromptBody(options)}}) {
    const std::vector<Json> events = Events(path, body);
    ASSERT_GT(events.size(), 5u);
    int64_t before = 0;
    for (const Json& event : events) {
      const int64_t tokens = event["usage"]["completion_tokens"];
      EXPECT_GE(tokens, before);
      EXPECT_EQ(event["usage"]["total_tokens"], event["usage"]["prompt_tokens"].get<int64_t>() + tokens);
      before = tokens;
    }
    EXPECT_EQ(before, 13);
  }
}

TEST(Tools, OnlyTheFirstCallIsGivenOnRequest) {
  const auto call = [](const std::string& name) {
    return absl::StrCat("<｜tool▁call▁begin｜>function<｜tool▁sep｜>", name,
                        "\n```json\n{}\n```<｜tool▁call▁end｜>");
  };
  const std::string script =
      absl::StrCat("</think><｜tool▁calls▁begin｜>", call("one"), "\n", call("two"), "<｜tool▁calls▁end｜>");
  ApiServer server({.script = script});
  server.BecomeReady();
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "one"}}])";
  for (const auto& [more, calls] : {std::pair{"", 2u}, {R"(, "parallel_tool_calls": false)", 1u}}) {
    const Json body = Json::parse(server.Post(kChat, ChatBody(tools + more)).body);
    const Json& message = body["choices"][0]["message"];
    ASSERT_EQ(message["tool_calls"].size(), calls) << body;
    EXPECT_EQ(message["tool_calls"][0]["function"]["name"], "one");
    EXPECT_EQ(body["choices"][0]["finish_reason"], "tool_calls");
    // The answer has ended with its first call: of what follows, no token was made.
    const size_t tokens =
        ByteTokenizer().Ids(calls == 1 ? script.substr(0, script.find("\n<")) : script).size();
    EXPECT_EQ(body["usage"]["completion_tokens"], tokens + (calls == 1 ? 0 : 1));
  }
  EXPECT_TRUE(server.BecomesIdle());
}

TEST(IncludeReasoning, LeavesTheReasoningOutOfTheAnswer) {
  const std::string fields = R"("include_reasoning": false, "logprobs": true, "return_token_ids": true)";
  const Json body = Ask(kChat, ChatBody(fields));
  const Json& choice = body["choices"][0];
  EXPECT_FALSE(choice["message"].contains("reasoning_content"));
  EXPECT_EQ(choice["message"]["content"], "4");
  EXPECT_FALSE(choice["logprobs"].contains("reasoning_content"));
  EXPECT_EQ(choice["logprobs"]["content"].size(), 1u);
  EXPECT_EQ(body["usage"]["completion_tokens_details"]["reasoning_tokens"], 7);
  EXPECT_EQ(choice["token_ids"].size(), body["usage"]["completion_tokens"]);
  EXPECT_EQ(Choice(kChat, ChatBody(R"("include_reasoning": true)"))["message"]["reasoning_content"],
            "2 and 2");

  std::string content;
  for (const Json& event : Events(kChat, ChatBody(R"("include_reasoning": false, "stream": true)"))) {
    const Json& delta = event["choices"][0]["delta"];
    EXPECT_FALSE(delta.contains("reasoning_content")) << event;
    EXPECT_TRUE(!delta.empty() || !event["choices"][0]["finish_reason"].is_null()) << event;
    content += delta.value("content", "");
  }
  EXPECT_EQ(content, "4");
}

TEST(LogitBias, TakesPairs) {
  // The answer's first token is '2'. A token that is forbidden becomes 'x' in the script.
  for (const char* bias : {R"("logit_bias": [[50, false]])", R"("logit_bias": {"50": false})",
                           R"("logit_bias": [[7, 1.5], [50, false]])"}) {
    EXPECT_EQ(Choice(kCompletions, PromptBody(absl::StrCat(bias, R"(, "max_tokens": 2)")))["text"], "x ")
        << bias;
  }
  EXPECT_EQ(Choice(kCompletions, PromptBody(R"("logit_bias": [[50, -100]], "max_tokens": 2)"))["text"], "2 ");
  EXPECT_EQ(Choice(kCompletions, PromptBody(R"("logit_bias": [], "max_tokens": 1)"))["text"], "2");
}

TEST(BestOf, AsksForNothingIfItIsN) {
  for (const char* fields :
       {R"("best_of": 2, "n": 2)", R"("best_of": 1, "n": 2)", R"("best_of": null, "n": 2)"}) {
    EXPECT_EQ(Ask(kCompletions, PromptBody(fields))["choices"].size(), 2u) << fields;
  }
}

TEST(Messages, OfTheAssistantMayFollowOneAnother) {
  const char* const bodies[] = {
      R"({"messages": [{"role": "assistant", "content": "a"}]})",
      R"({"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "content": "a"},
                       {"role": "assistant", "content": "b"}]})",
      R"({"messages": [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"},
                       {"role": "user", "content": "c"}]})",
      R"({"messages": [{"role": "user", "content": "c"}, {"role": "assistant", "name": "x", "content": "a"},
                       {"role": "assistant", "name": "y", "content": "b"}]})"};
  for (const char* body : bodies) Ask(kChat, body);
}

ChatPrompt Read(const std::string& body) {
  const Json object = Json::parse(body);
  std::optional<ApiError> error;
  JsonFields fields(object, kTokenizeChat, "", &error);
  AnswerForm form;
  ChatPrompt prompt = ReadChatPrompt(fields, form);
  fields.RefuseOthers();
  EXPECT_FALSE(error.has_value()) << error->message;
  return prompt;
}

TEST(Messages, KeepNamesReasoningAndIds) {
  const ChatPrompt prompt = Read(R"({"messages": [
      {"role": "user", "content": "a", "name": "Ann", "mood": {"x": 1}, "cache_control": {"type": "ephemeral"}},
      {"role": "assistant", "content": null, "name": "bot", "reasoning": "r", "refusal": null, "annotations": [],
       "audio": null, "function_call": null, "tool_calls": [
         {"id": "c1", "type": "function", "index": 0, "extra_content": 1,
          "function": {"name": "f", "arguments": {"x": 1}, "strict": true}}]},
      {"role": "tool", "tool_call_id": "c1", "name": "f", "content": [{"type": "text", "text": "o"}]},
      {"role": "assistant", "function_call": {"name": "g", "arguments": "{}"}},
      {"role": "function", "name": "g", "content": "p"}]})");
  ASSERT_EQ(prompt.messages.size(), 5u);
  EXPECT_EQ(prompt.messages[0].name, "Ann");
  const ChatMessage& call = prompt.messages[1];
  EXPECT_EQ(call.reasoning, "r");
  EXPECT_FALSE(call.content);
  ASSERT_EQ(call.tool_calls.size(), 1u);
  EXPECT_EQ(call.tool_calls[0].id, "c1");
  EXPECT_EQ(call.tool_calls[0].arguments, R"({"x":1})");
  EXPECT_EQ(prompt.messages[2].tool_call_id, "c1");
  EXPECT_EQ(prompt.messages[2].content, "o");
  ASSERT_EQ(prompt.messages[3].tool_calls.size(), 1u);
  EXPECT_EQ(prompt.messages[3].tool_calls[0].name, "g");
  EXPECT_EQ(prompt.messages[4].role, ChatRole::kTool);
}

TEST(Messages, PartsJoinAndThoughtsAreReasoning) {
  const ChatPrompt prompt = Read(R"({"messages": [
      {"role": "user", "content": ["a", {"type": "input_text", "text": "b", "cache_control": {}}]},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"},
                                        {"type": "output_text", "text": "c", "annotations": []},
                                        {"type": "refusal", "refusal": "no"}]},
      {"role": "assistant", "content": null, "reasoning_content": "cut"},
      {"role": "assistant", "refusal": "never"},
      {"role": "user", "content": "d"}]})");
  EXPECT_EQ(prompt.messages[0].content, "ab");
  EXPECT_EQ(prompt.messages[1].content, "cno");
  EXPECT_EQ(prompt.messages[1].reasoning, "t");
  EXPECT_EQ(prompt.messages[2].content, "");
  EXPECT_EQ(prompt.messages[3].content, "never");
}

TEST(TemplateVariables, ComeFromTheFieldsOfEachApi) {
  const auto variables = [](const std::string& more) {
    return Json::parse(Read(ChatBody(more)).template_kwargs);
  };
  EXPECT_EQ(variables(""), Json::object());
  EXPECT_EQ(variables(R"("thinking": {"type": "enabled", "budget_tokens": 9})"),
            Json::parse(R"({"thinking": true, "enable_thinking": true})"));
  EXPECT_EQ(variables(R"("thinking": {"type": "auto"})"), Json::object());
  EXPECT_EQ(variables(R"("enable_thinking": false, "thinking": true)"),
            Json::parse(R"({"thinking": false, "enable_thinking": false})"));
  EXPECT_EQ(variables(R"("reasoning_effort": "high")"), Json::parse(R"({"reasoning_effort": "high"})"));
  EXPECT_EQ(variables(R"("reasoning_effort": "none")")["thinking"], false);
  EXPECT_EQ(
      variables(R"("thinking": {"type": "disabled"}, "chat_template_kwargs": {"thinking": true, "k": [1]})"),
      Json::parse(R"({"thinking": true, "enable_thinking": false, "k": [1]})"));
}

TEST(PromptEnd, TheLastMessageGoesOn) {
  const auto ids = [](const std::string& more) {
    return Ask("/tokenize",
               absl::StrCat(R"({"messages": [{"role": "user", "content": "a"}, )", more))["tokens"];
  };
  const Json by_prefix = ids(R"({"role": "assistant", "content": "b", "prefix": true}]})");
  EXPECT_EQ(ids(R"({"role": "assistant", "content": "b"}], "continue_final_message": true})"), by_prefix);
  EXPECT_EQ(ids(R"({"role": "assistant", "content": "b"}], "continue_final_message": true,
                   "add_generation_prompt": false})"),
            by_prefix);
  EXPECT_EQ(by_prefix.back(), 'b');
}

struct ClientBody {
  const char* client;
  const char* path;
  std::string body;
};

// Bodies in the shape in which clients write them when nothing is configured. tests/clients runs the clients
// themselves.
TEST(Clients, EachBodyIsTaken) {
  const ClientBody bodies[] = {
      {"guidellm 0.8 text", kCompletions,
       R"({"model": "bytes", "stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true},
           "max_tokens": 8, "stop": null, "ignore_eos": true, "prompt": "a"})"},
      {"guidellm 0.8 chat", kChat,
       R"({"model": "bytes", "stream": true, "stream_options": {"include_usage": true, "continuous_usage_stats": true},
           "max_completion_tokens": 8, "stop": null, "ignore_eos": true,
           "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]})"},
      {"autogen-ext 0.7", kChat,
       R"({"model": "bytes", "stream": false, "messages": [{"role": "system", "content": "s"},
           {"role": "user", "name": "user", "content": "a"}, {"role": "assistant", "name": "agent", "content": "b"},
           {"role": "user", "name": "user", "content": "c"}]})"},
      {"vllm bench serve", kCompletions,
       R"({"model": "bytes", "prompt": "a", "repetition_penalty": 1.0, "max_tokens": 8, "logprobs": null,
           "stream": true, "stream_options": {"include_usage": true}, "ignore_eos": true, "temperature": 0.0})"},
      {"vllm bench serve, chat", kChat,
       R"({"model": "bytes", "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
           "max_completion_tokens": 8, "stream": true, "stream_options": {"include_usage": true}})"},
      {"sglang bench_serving", kCompletions,
       R"({"model": "bytes", "prompt": "a", "best_of": 1, "max_tokens": 8, "stream": true, "temperature": 0.0,
           "ignore_eos": true})"},
      {"lm-eval loglikelihood", kCompletions,
       R"({"model": "bytes", "prompt": [[65, 66, 67]], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234,
           "echo": true})"},
      {"lm-eval generate_until", kCompletions,
       R"({"model": "bytes", "prompt": ["a"], "max_tokens": 256, "temperature": 0, "stop": ["\n\n", "</s>"],
           "seed": 1234})"},
      {"evalscope perf", kChat,
       R"({"model": "bytes", "messages": [{"role": "user", "content": "a"}], "max_tokens": 8, "min_tokens": 8,
           "seed": 0, "stream": true, "stream_options": {"include_usage": true}, "temperature": 0.0})"},
      {"aiperf", kChat,
       R"({"model": "bytes", "messages": [{"role": "user", "name": "", "content": [{"type": "text", "text": "a"}]}],
           "stream": true, "max_completion_tokens": 8, "stream_options": {"include_usage": true}})"},
      {"litellm", kChat,
       R"({"model": "bytes", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b",
           "tool_calls": null, "function_call": null, "provider_specific_fields": {"refusal": null}},
           {"role": "user", "content": "c"}], "extra_body": null})"},
      {"langchain-openai", kChat,
       R"({"model": "bytes", "messages": [{"role": "user", "content": "a"}], "stream": true, "n": 1,
           "stream_options": {"include_usage": true}, "parallel_tool_calls": true,
           "tools": [{"type": "function", "function": {"name": "f", "description": "d", "strict": true,
                      "parameters": {"type": "object", "properties": {}}}}], "tool_choice": "auto"})"},
      {"llama-index", kChat,
       R"({"model": "bytes", "messages": [{"role": "user", "content": "a"}], "stream": false, "temperature": 0.1,
           "max_tokens": null})"},
      {"smolagents", kChat,
       R"({"model": "bytes", "messages": [{"role": "system", "content": [{"type": "text", "text": "s"}]},
           {"role": "user", "content": [{"type": "text", "text": "a"}]}], "stop": ["Observation:", "Calling tools:"]})"},
      {"pydantic-ai", kChat,
       R"({"model": "bytes", "messages": [{"role": "user", "content": "a"}], "stream": false, "tool_choice": "auto",
           "tools": [{"type": "function", "function": {"name": "f", "description": "", "parameters":
                     {"additionalProperties": false, "properties": {}, "type": "object"}}}]})"},
      {"openai-agents", kChat,
       R"({"model": "bytes", "messages": [{"content": "s", "role": "system"}, {"role": "user", "content": "a"}],
           "stream": false, "store": true, "reasoning_effort": "low", "verbosity": "low", "metadata": {"k": "v"},
           "prompt_cache_key": "k", "safety_identifier": "u", "service_tier": "default"})"},
  };
  for (const ClientBody& client : bodies) {
    const HttpReply reply = Server().Post(client.path, client.body);
    EXPECT_EQ(reply.status, 200) << client.client << "\n" << reply.body;
    EXPECT_THAT(reply.body, HasSubstr("finish_reason")) << client.client;
  }
}

}  // namespace
}  // namespace deeprack::coordinator
