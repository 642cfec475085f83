// The events of streams are written as text. These tests compare them, byte for byte, with the text of Json
// values.
#include <array>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/anthropic/messages_answer.h"
#include "coordinator/api/chat_answer.h"
#include "coordinator/api/completion_answer.h"
#include "coordinator/api/event_text.h"
#include "coordinator/api/responses/response_store.h"
#include "gtest/gtest.h"
#include "tests/unit/api/byte_model.h"

namespace deeprack::coordinator {
namespace {

// Keeps the bytes of a stream.
class Recorder final : public HttpExchange {
 public:
  absl::string_view request_id() const override { return "request"; }
  void Respond(HttpResponse) override {}
  void StartStream() override {}
  void Send(std::string bytes) override { sent += bytes; }
  void EndStream() override {}
  void OnDisconnect(std::function<void(Disconnect)>) override {}
  bool gone() const override { return false; }
  void Post(std::function<void()>) override {}
  bool RunAside(size_t, std::function<void()>) override { return false; }
  void OnWake(std::function<void()>) override {}
  void Wake() override {}

  std::string sent;
};

constexpr std::array<TokenId, 6> kTokens = {97, 0, 255, 12, 3, 98};

class StreamEvents : public testing::Test {
 protected:
  bool Coin() { return random_() % 2 == 0; }

  // Letters, every control character, quotes, characters of one to four bytes, and bytes that are no UTF-8.
  std::string Text() {
    static const std::vector<std::string> kPieces = {
        "a",          "word ",  "\"",     "\\",   "/",    "\x7f",         "\u00e9",           "\u4e16",
        "\U0001f600", "\u2028", "\uFFFD", "\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xb8",
        "\xc0\xaf"};
    std::string text;
    for (size_t i = random_() % 5; i > 0; --i) {
      if (random_() % 4 == 0) {
        text += static_cast<char>(random_() % 0x20);
      } else {
        text += kPieces[random_() % kPieces.size()];
      }
    }
    return text;
  }

  ChoiceUpdate Update(int32_t choice, bool logprobs, bool calls) {
    ChoiceUpdate update{.choice = choice};
    if (Coin()) update.text.content = Text();
    if (Coin()) update.text.reasoning = Text();
    if (calls && random_() % 4 == 0) {
      update.text.tool_calls.push_back({.call = calls_++, .name = "f" + Text(), .arguments = Text()});
      update.text.tool_calls.push_back({.call = calls_ - 1, .name = {}, .arguments = Text()});
    }
    if (logprobs) {
      for (const TokenPlace place :
           {TokenPlace::kReasoning, TokenPlace::kContent, TokenPlace::kToolCall, TokenPlace::kNoText}) {
        if (Coin()) continue;
        update.text.tokens.push_back(
            {place, Text(), {.chosen = {3, -0.1f}, .top = {{3, -0.1f}, {200, -1e30f}}}});
      }
    }
    update.tokens = std::span(kTokens).subspan(random_() % 4, random_() % 3);
    update.timings = {.prompt_tokens = 9,
                      .cached_tokens = 3,
                      .generated_tokens = static_cast<int64_t>(random_() % 4),
                      .prompt = absl::Microseconds(random_() % 5000),
                      .generation = absl::Microseconds(random_() % 5000)};
    if (Coin()) {
      const auto count = [&] { return static_cast<int64_t>(random_() % 100000); };
      update.usage = Usage{count(), count(), count(), count()};
    }
    return update;
  }

  void End(ChoiceUpdate& update) {
    update.finish_reason = Coin() ? "stop" : "length";
    if (Coin()) update.stop_string = "stop" + Text();
    if (Coin()) update.stop_token = 7;
  }

  // A request with random options about the form of the answer.
  GenerationRequest Request(int32_t n, bool logprobs) {
    GenerationRequest request{.prompts = {{1, 2, 3}}, .n = n};
    request.request.sampling.top_logprobs = logprobs ? 2 : -1;
    request.include_usage = Coin();
    request.timings_per_token = Coin();
    request.return_token_ids = Coin();
    request.include_reasoning = Coin();
    if (Coin()) request.echo = Text();
    return request;
  }

  ApiContext* Context(ReasoningField field) {
    context_ = std::make_unique<ApiContext>(MakeByteModel(512, false, field),
                                            std::make_shared<ResponseStore>(ResponseStoreLimits{}, &clock_),
                                            &clock_);
    return context_.get();
  }

  std::mt19937 random_{20261130};
  SystemClock clock_;
  std::unique_ptr<ApiContext> context_;
  int32_t calls_ = 0;
};

// The events of a stream, without "data: " and the empty line.
std::vector<std::string> EventsOf(const std::string& sent) {
  std::vector<std::string> events = absl::StrSplit(sent, "\n\n", absl::SkipEmpty());
  for (std::string& event : events) {
    EXPECT_TRUE(event.starts_with("data: ")) << event;
    event.erase(0, 6);
  }
  return events;
}

// The chunks of a chat, made of Json values. Ids are random: they come from the events.
class ChatOracle {
 public:
  ChatOracle(const ServedModel& model, const GenerationRequest& request,
             const std::vector<std::string>& events)
      : model_(model), request_(request), events_(events), started_(request.n) {}

  void Add(const ChoiceUpdate& update) {
    const bool first = !started_[update.choice];
    if (first) {
      Json& chunk = Chunk(update, {{"role", "assistant"}, {"content", ""}}, nullptr, /*timings=*/false);
      if (request_.return_token_ids) chunk["prompt_token_ids"] = request_.prompts.front();
      started_[update.choice] = true;
      if (!request_.echo.empty()) Chunk(update, {{"content", request_.echo}}, nullptr, true);
    }
    Json delta = Json::object();
    if (!update.text.reasoning.empty() && request_.include_reasoning) {
      if (model_.reasoning_field != ReasoningField::kReasoning)
        delta["reasoning_content"] = update.text.reasoning;
      if (model_.reasoning_field != ReasoningField::kReasoningContent)
        delta["reasoning"] = update.text.reasoning;
    }
    if (!update.text.content.empty()) delta["content"] = update.text.content;
    for (const ToolCallDelta& call : update.text.tool_calls) {
      Json json = {{"index", call.call}};
      if (!call.name.empty()) {
        json["id"] = Event()["choices"][0]["delta"]["tool_calls"][delta["tool_calls"].size()]["id"];
        json["type"] = "function";
        json["function"] = {{"name", call.name}, {"arguments", call.arguments}};
      } else {
        json["function"] = {{"arguments", call.arguments}};
      }
      delta["tool_calls"].push_back(std::move(json));
    }
    ChatLogprobs logprobs({model_.tokenizer.get()}, request_.include_reasoning);
    logprobs.Add(update.text.tokens);
    const bool ids = !update.tokens.empty() && request_.return_token_ids;
    if (!delta.empty() || !logprobs.empty() || ids) {
      Json& chunk = Chunk(update, std::move(delta), nullptr, true);
      if (!logprobs.empty()) chunk["choices"][0]["logprobs"] = logprobs.Take();
      if (ids)
        chunk["choices"][0]["token_ids"] =
            Json(std::vector<TokenId>(update.tokens.begin(), update.tokens.end()));
    }
    if (update.finish_reason.empty()) return;
    Chunk(update, Json::object(), update.finish_reason, true)["choices"][0]["stop_reason"] =
        StopReasonJson(update);
  }

  const std::vector<Json>& chunks() const { return chunks_; }

 private:
  // The event that the next chunk is compared with.
  Json Event() const {
    return chunks_.size() < events_.size() ? Json::parse(events_[chunks_.size()]) : Json();
  }

  Json& Chunk(const ChoiceUpdate& update, Json delta, const Json& finish_reason, bool timings) {
    const Json event = Event();
    Json chunk = {{"id", event.value("id", "")},
                  {"object", "chat.completion.chunk"},
                  {"created", event.value("created", int64_t{0})},
                  {"model", model_.name},
                  {"system_fingerprint", model_.fingerprint}};
    chunk["choices"] = Json::array({{{"index", update.choice},
                                     {"delta", std::move(delta)},
                                     {"logprobs", nullptr},
                                     {"finish_reason", finish_reason}}});
    if (request_.include_usage) chunk["usage"] = UsageSoFar(update);
    if (request_.timings_per_token && timings) chunk["timings"] = TimingsJson(update.timings);
    return chunks_.emplace_back(std::move(chunk));
  }

  const ServedModel& model_;
  const GenerationRequest& request_;
  const std::vector<std::string>& events_;
  std::vector<bool> started_;
  std::vector<Json> chunks_;
};

TEST_F(StreamEvents, StringsAreThoseOfJsonValues) {
  for (int round = 0; round < 5000; ++round) {
    const std::string text = Text();
    std::string written;
    AppendJsonString(text, written);
    EXPECT_EQ(written, Dump(Json(text)));
  }
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    std::string written;
    AppendJsonString(text, written);
    EXPECT_EQ(written, Dump(Json(text)));
  }
}

TEST_F(StreamEvents, UsageIsThatOfAJsonValue) {
  Usage usage{.prompt_tokens = 12, .completion_tokens = 345, .cached_tokens = 6, .reasoning_tokens = 78};
  std::string written;
  AppendUsage(usage, written);
  EXPECT_EQ(written, Dump(UsageJson(usage)));
  usage.accepted_drafts = 90;
  usage.rejected_drafts = 0;
  written.clear();
  AppendUsage(usage, written);
  EXPECT_EQ(written, Dump(UsageJson(usage)));
  EXPECT_EQ(UsageJson(usage)["completion_tokens_details"]["accepted_prediction_tokens"], 90);
}

TEST_F(StreamEvents, ChatsAreThoseOfJsonValues) {
  for (int round = 0; round < 300; ++round) {
    ApiContext* context = Context(static_cast<ReasoningField>(round % 3));
    const bool logprobs = round % 2 == 0;
    const GenerationRequest request = Request(/*n=*/2, logprobs);
    const auto exchange = std::make_shared<Recorder>();
    const auto answer = MakeStreamedChatAnswer(context, request, exchange);
    std::vector<ChoiceUpdate> updates;
    for (int i = 0; i < 12; ++i) updates.push_back(Update(i % 2, logprobs, /*calls=*/true));
    End(updates[10]);
    End(updates[11]);
    for (const ChoiceUpdate& update : updates) answer->OnUpdate(update);
    const std::vector<std::string> events = EventsOf(exchange->sent);
    ChatOracle oracle(context->model(), request, events);
    for (const ChoiceUpdate& update : updates) oracle.Add(update);
    ASSERT_EQ(events.size(), oracle.chunks().size());
    for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i], Dump(oracle.chunks()[i]));
  }
}

TEST_F(StreamEvents, CompletionsAreThoseOfJsonValues) {
  for (int round = 0; round < 300; ++round) {
    ApiContext* context = Context(ReasoningField::kReasoningContent);
    const bool logprobs = round % 2 == 0;
    CompletionRequest request{.generation = Request(/*n=*/1, logprobs)};
    request.echo = Coin();
    request.prompt_texts = {"prompt" + Text()};
    request.given_as_text = {false};
    if (Coin()) request.generation.prompt_logprobs = 2;
    const auto exchange = std::make_shared<Recorder>();
    const auto answer = MakeStreamedCompletion(context, request, exchange);
    const GenerationRequest& form = request.generation;
    std::vector<Json> expected;
    CompletionLogprobs tokens({context->model().tokenizer.get()});
    for (int i = 0; i < 8; ++i) {
      ChoiceUpdate update = Update(0, logprobs && !request.echo, /*calls=*/false);
      if (i == 7) End(update);
      const size_t before = exchange->sent.size();
      answer->OnUpdate(update);
      tokens.Add(update.text.tokens);
      const std::string text = (i == 0 && request.echo ? request.prompt_texts[0] : "") + update.text.content;
      if (exchange->sent.size() == before) {
        EXPECT_EQ(text, "");
        continue;
      }
      const std::string event = EventsOf(exchange->sent.substr(before)).front();
      const Json sent = Json::parse(event);
      Json choice = {{"index", 0}, {"text", text}, {"logprobs", tokens.Take()}, {"finish_reason", nullptr}};
      if (request.echo && logprobs) choice["logprobs"] = sent["choices"][0]["logprobs"];
      if (!update.finish_reason.empty()) {
        choice["finish_reason"] = update.finish_reason;
        choice["stop_reason"] = StopReasonJson(update);
      }
      if (form.prompt_logprobs >= 0) choice["prompt_logprobs"] = sent["choices"][0]["prompt_logprobs"];
      if (form.return_token_ids) {
        if (i == 0) choice["prompt_token_ids"] = form.prompts[0];
        choice["token_ids"] = Json(std::vector<TokenId>(update.tokens.begin(), update.tokens.end()));
      }
      Json chunk = {
          {"id", sent["id"]}, {"object", "text_completion"},      {"created", sent["created"]},
          {"model", "bytes"}, {"system_fingerprint", "deeprack"}, {"choices", Json::array({choice})}};
      if (form.include_usage) chunk["usage"] = UsageSoFar(update);
      if (form.timings_per_token) chunk["timings"] = TimingsJson(update.timings);
      EXPECT_EQ(event, Dump(chunk));
    }
  }
}

TEST_F(StreamEvents, MessagesHaveTheTextOfJsonValues) {
  ApiContext* context = Context(ReasoningField::kReasoningContent);
  anthropic::MessagesRequest request{.generation = Request(/*n=*/1, /*logprobs=*/false)};
  const auto exchange = std::make_shared<Recorder>();
  const auto answer = anthropic::MakeStreamedMessage(context, request, exchange);
  std::string content, read;
  for (int i = 0; i < 1000; ++i) {
    ChoiceUpdate update = Update(0, /*logprobs=*/false, /*calls=*/i % 10 == 0);
    const auto add = [&](const std::string& text) {
      content += Json::parse(Dump(Json(text))).get<std::string>();
    };
    add(update.text.reasoning);
    add(update.text.content);
    for (const ToolCallDelta& call : update.text.tool_calls) add(call.arguments);
    answer->OnUpdate(update);
  }
  const std::vector<std::string> events = absl::StrSplit(exchange->sent, "\n\n", absl::SkipEmpty());
  for (const std::string& event : events) {
    const std::string data = event.substr(event.find("\ndata: ") + 7);
    const Json json = Json::parse(data);
    EXPECT_EQ(data, Dump(json));
    EXPECT_EQ(event.substr(7, event.find('\n') - 7), json["type"].get<std::string>());
    if (json["type"] != "content_block_delta") continue;
    for (const char* field : {"text", "thinking", "partial_json"}) {
      if (json["delta"].contains(field)) read += json["delta"][field].get<std::string>();
    }
  }
  EXPECT_FALSE(read.empty());
  EXPECT_EQ(read, content);
}

}  // namespace
}  // namespace deeprack::coordinator
