#include "coordinator/api/responses/responses_answer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/event_text.h"
#include "coordinator/api/responses/response_output.h"

namespace deeprack::coordinator {
namespace {

Json ResponseUsageJson(const Usage& usage) {
  return {{"input_tokens", usage.prompt_tokens},
          {"input_tokens_details",
           {{"cached_tokens", usage.cached_tokens},
            {"cache_write_tokens", usage.prompt_tokens - usage.cached_tokens}}},
          {"output_tokens", usage.completion_tokens},
          {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

// One Server-Sent Event. `type` is also a field of the data. `fields`: the text of an object that has fields.
std::string ResponseEvent(std::string_view type, int64_t sequence_number, std::string_view fields) {
  std::string event = "event: ";
  event.append(type).append("\ndata: {\"type\":\"").append(type).append("\",\"sequence_number\":");
  AppendJsonNumber(sequence_number, event);
  event.append(",").append(fields.substr(1)).append("\n\n");
  return event;
}

// What both answers have: the response object, and the store.
class ResponseAnswer : public GenerationListener {
 public:
  ResponseAnswer(ApiContext* context, ResponsesRequest request, std::shared_ptr<HttpExchange> exchange,
                 ResponseOutput::EventSink sink)
      : context_(context),
        exchange_(std::move(exchange)),
        model_(context->model().NameFor(request.generation)),
        conversation_(std::move(request.conversation)),
        owner_(std::move(request.generation.caller.key)),
        store_(request.store),
        logprobs_(request.logprobs),
        echo_(std::move(request.echo)),
        id_(MakeId("resp_", *context)),
        created_(absl::ToUnixSeconds(context->clock().Now())),
        token_names_{context->model().tokenizer.get()},
        output_([context](const std::string& prefix) { return MakeId(prefix, *context); }, std::move(sink)) {}

  void OnUpdate(const ChoiceUpdate& update) override {
    Json logprobs = Json::array();
    for (const PlacedToken& token : update.text.tokens) {
      if (logprobs_ && token.place == TokenPlace::kContent)
        logprobs.push_back(ChatLogprobJson(token_names_, token));
    }
    output_.Add(update.text, std::move(logprobs));
    if (!update.finish_reason.empty()) cut_ = update.finish_reason == "length";
  }

 protected:
  // The response object. `status` is one of OpenAI's.
  Json Response(const char* status) const {
    Json response = {{"id", id_},        {"object", "response"},      {"created_at", created_},
                     {"status", status}, {"error", nullptr},          {"incomplete_details", nullptr},
                     {"model", model_},  {"output", output_.items()}, {"usage", nullptr}};
    response.update(echo_);
    return response;
  }

  // The response after its last token.
  Json FinishedResponse(const Usage& usage) {
    output_.Finish(!cut_);
    Json response = Response(cut_ ? "incomplete" : "completed");
    if (cut_) response["incomplete_details"] = {{"reason", "max_output_tokens"}};
    response["completed_at"] = cut_ ? Json() : Json(absl::ToUnixSeconds(context_->clock().Now()));
    response["usage"] = ResponseUsageJson(usage);
    return response;
  }

  // The response that an error ended.
  Json FailedResponse(const ApiError& error) {
    output_.Finish(/*complete=*/false);
    Json response = Response("failed");
    response["error"] = {{"code", "server_error"}, {"message", error.message}};
    return response;
  }

  // True if the request asks for Store.
  bool stores() const { return store_; }

  // Stores the response object, `json`. A client may name the response as soon as it has the last event: call
  // this before the event is sent.
  void Store(std::string json) {
    StoredResponse stored{.json = std::move(json), .input = std::move(conversation_)};
    for (const Json& item : output_.items()) {
      stored.output.push_back(std::make_shared<const ConversationItem>(
          ConversationItem{.id = item.at("id").get<std::string>(), .json = Dump(item)}));
    }
    context_->responses().Add(owner_, id_, std::move(stored));
  }

  ApiContext* context_;
  std::shared_ptr<HttpExchange> exchange_;

 private:
  std::string model_;
  Conversation conversation_;
  std::string owner_;
  bool store_, logprobs_;
  Json echo_;
  std::string id_;
  int64_t created_;
  TokenNames token_names_;
  ResponseOutput output_;
  bool cut_ = false;  // the answer ended at max_output_tokens, or with the context
};

class WholeResponse final : public ResponseAnswer {
 public:
  WholeResponse(ApiContext* context, ResponsesRequest request, std::shared_ptr<HttpExchange> exchange)
      : ResponseAnswer(context, std::move(request), std::move(exchange), nullptr) {}

  void OnFinished(const Usage& usage) override {
    HttpResponse response = JsonResponse(FinishedResponse(usage));
    if (stores()) Store(response.body);
    exchange_->Respond(std::move(response));
  }

  void OnFailed(const ApiError& error) override { RespondError(*exchange_, error); }
};

class StreamedResponse final : public ResponseAnswer {
 public:
  StreamedResponse(ApiContext* context, ResponsesRequest request, std::shared_ptr<HttpExchange> exchange)
      : ResponseAnswer(context, std::move(request), std::move(exchange),
                       [this](std::string_view type, const std::string& event) {
                         exchange_->Send(Event("response." + std::string(type), event));
                       }) {}

  std::string Opening() {
    const Json response = Response("in_progress");
    const std::string fields = Dump({{"response", response}});
    std::string events = Event("response.created", fields);
    events += Event("response.in_progress", fields);
    return events;
  }

  void OnFinished(const Usage& usage) override { End(FinishedResponse(usage)); }
  void OnFailed(const ApiError& error) override { End(FailedResponse(error)); }

 private:
  std::string Event(std::string_view type, std::string_view fields) {
    return ResponseEvent(type, sequence_number_++, fields);
  }

  void End(const Json& response) {
    if (stores()) Store(Dump(response));
    exchange_->Send(Event(absl::StrCat("response.", response.at("status").get_ref<const std::string&>()),
                          Dump({{"response", response}})));
    exchange_->EndStream();
  }

  int64_t sequence_number_ = 0;
};

}  // namespace

std::unique_ptr<GenerationListener> MakeWholeResponse(ApiContext* context, ResponsesRequest request,
                                                      std::shared_ptr<HttpExchange> exchange) {
  return std::make_unique<WholeResponse>(context, std::move(request), std::move(exchange));
}

ResponseStream MakeResponseStream(ApiContext* context, ResponsesRequest request,
                                  std::shared_ptr<HttpExchange> exchange) {
  auto answer = std::make_unique<StreamedResponse>(context, std::move(request), std::move(exchange));
  std::string opening = answer->Opening();
  return {.answer = std::move(answer), .opening = std::move(opening)};
}

}  // namespace deeprack::coordinator
