#include "coordinator/api/responses/response_output.h"

#include <utility>

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
  if (!sink_) return;
  Json event = Place();
  event["content_index"] = 0;
  event["delta"] = text;
  sink_("reasoning_text.delta", std::move(event));
}

void ResponseOutput::AddContent(const std::string& text, Json logprobs) {
  if (kind_ != Kind::kMessage) Open(Kind::kMessage);
  text_ += text;
  for (const Json& entry : logprobs) logprobs_.push_back(entry);
  if (!sink_) return;
  Json event = Place();
  event["content_index"] = 0;
  event["delta"] = text;
  event["logprobs"] = std::move(logprobs);
  sink_("output_text.delta", std::move(event));
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
  if (!sink_) return;
  Json event = Place();
  event["delta"] = call.arguments;
  sink_("function_call_arguments.delta", std::move(event));
}

void ResponseOutput::Open(Kind kind) {
  Close("completed");
  kind_ = kind;
  id_ = make_id_(kind == Kind::kReasoning ? "rs_" : kind == Kind::kMessage ? "msg_" : "fc_");
  if (!sink_) return;
  Json item = Item("in_progress");
  if (kind != Kind::kCall) item["content"] = Json::array();
  sink_("output_item.added", {{"output_index", items_.size()}, {"item", std::move(item)}});
  if (kind == Kind::kCall) return;
  Json event = Place();
  event["content_index"] = 0;
  event["part"] = Part();
  sink_("content_part.added", std::move(event));
}

void ResponseOutput::Close(const char* status) {
  if (kind_ == Kind::kNone) return;
  Json item = Item(status);
  if (sink_) {
    Json done = Place();
    if (kind_ == Kind::kCall) {
      done["name"] = name_;
      done["arguments"] = text_;
      sink_("function_call_arguments.done", std::move(done));
    } else {
      done["content_index"] = 0;
      Json part = done;
      part["part"] = Part();
      done["text"] = text_;
      if (kind_ == Kind::kMessage) done["logprobs"] = logprobs_;
      sink_(kind_ == Kind::kReasoning ? "reasoning_text.done" : "output_text.done", std::move(done));
      sink_("content_part.done", std::move(part));
    }
    sink_("output_item.done", {{"output_index", items_.size()}, {"item", item}});
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

}  // namespace deeprack::coordinator
