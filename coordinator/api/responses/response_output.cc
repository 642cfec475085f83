#include "coordinator/api/responses/response_output.h"

#include <iterator>
#include <utility>

#include "coordinator/api/answer_json.h"
#include "coordinator/api/event_text.h"

namespace deeprack::coordinator {

void ResponseOutput::Add(const TextDelta& text, Json logprobs) {
  if (!text.reasoning.empty()) AddReasoning(text.reasoning);
  if (!text.content.empty() || !logprobs.empty()) AddContent(text.content, std::move(logprobs));
  for (const ToolCallDelta& call : text.tool_calls) AddCall(call);
}

void ResponseOutput::Finish(bool complete) { Close(complete ? "completed" : "incomplete"); }

void ResponseOutput::AddReasoning(const std::string& text) {
  if (kind_ != Kind::kReasoning) Open(Kind::kReasoning);
  text_ += text;
  TellDelta("reasoning_text.delta", text);
}

void ResponseOutput::AddContent(const std::string& text, Json logprobs) {
  if (kind_ != Kind::kMessage) Open(Kind::kMessage);
  text_ += text;
  for (const Json& entry : logprobs) logprobs_.push_back(entry);
  TellDelta("output_text.delta", text, logprobs);
}

void ResponseOutput::AddCall(const ToolCallDelta& call) {
  if (kind_ != Kind::kCall || call_ != call.call) {
    Close("completed");
    call_ = call.call;
    call_id_ = make_id_("call_");
    name_ = call.name;
    Open(Kind::kCall);
  }
  if (call.arguments.empty()) return;
  text_ += call.arguments;
  TellDelta("function_call_arguments.delta", call.arguments);
}

void ResponseOutput::Open(Kind kind) {
  Close("completed");
  kind_ = kind;
  id_ = make_id_(kind == Kind::kReasoning ? "rs_" : kind == Kind::kMessage ? "msg_" : "fc_");
  if (!sink_) return;
  Json item = Item("in_progress");
  if (kind != Kind::kCall) item["content"] = Json::array();
  Tell("output_item.added", {{"output_index", items_.size()}, {"item", std::move(item)}});
  if (kind == Kind::kCall) return;
  Json event = Place();
  event["content_index"] = 0;
  event["part"] = Part();
  Tell("content_part.added", event);
}

void ResponseOutput::Close(const char* status) {
  if (kind_ == Kind::kNone) return;
  Json item = Item(status);
  if (sink_) {
    Json done = Place();
    if (kind_ == Kind::kCall) {
      done["name"] = name_;
      done["arguments"] = text_;
      Tell("function_call_arguments.done", done);
    } else {
      done["content_index"] = 0;
      Json part = done;
      part["part"] = Part();
      done["text"] = text_;
      if (kind_ == Kind::kMessage) done["logprobs"] = logprobs_;
      Tell(kind_ == Kind::kReasoning ? "reasoning_text.done" : "output_text.done", done);
      Tell("content_part.done", part);
    }
    Tell("output_item.done", {{"output_index", items_.size()}, {"item", item}});
  }
  items_.push_back(std::move(item));
  kind_ = Kind::kNone;
  text_.clear();
  logprobs_ = Json::array();
}

Json ResponseOutput::Item(const char* status) const {
  switch (kind_) {
    case Kind::kReasoning:
      return {{"id", id_},
              {"type", "reasoning"},
              {"summary", Json::array()},
              {"content", Json::array({Part()})},
              {"encrypted_content", nullptr},
              {"status", status}};
    case Kind::kMessage:
      return {{"id", id_},
              {"type", "message"},
              {"status", status},
              {"role", "assistant"},
              {"content", Json::array({Part()})}};
    case Kind::kCall:
      return {{"id", id_},           {"type", "function_call"}, {"status", status},
              {"call_id", call_id_}, {"name", name_},           {"arguments", text_}};
    case Kind::kNone:
      break;
  }
  return {};
}

Json ResponseOutput::Part() const {
  if (kind_ == Kind::kReasoning) return {{"type", "reasoning_text"}, {"text", text_}};
  return {{"type", "output_text"}, {"text", text_}, {"annotations", Json::array()}, {"logprobs", logprobs_}};
}

Json ResponseOutput::Place() const { return {{"item_id", id_}, {"output_index", items_.size()}}; }

void ResponseOutput::Tell(std::string_view type, const Json& event) const { sink_(type, Dump(event)); }

void ResponseOutput::TellDelta(std::string_view type, std::string_view text, const Json& logprobs) const {
  if (!sink_) return;
  std::string event = R"({"item_id":)";
  AppendJsonString(id_, event);
  event += R"(,"output_index":)";
  AppendJsonNumber(std::ssize(items_), event);
  if (kind_ != Kind::kCall) event += R"(,"content_index":0)";
  event += R"(,"delta":)";
  AppendJsonString(text, event);
  if (!logprobs.is_null()) {
    event += R"(,"logprobs":)";
    event += Dump(logprobs);
  }
  event += '}';
  sink_(type, event);
}

}  // namespace deeprack::coordinator
