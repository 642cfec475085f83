#include "cli/load/request_body.h"

#include <nlohmann/json.hpp>

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

Json Message(const char* role, std::string content) {
  return {{"role", role}, {"content", std::move(content)}};
}

}  // namespace

std::string PathOf(LoadApi api) { return api == LoadApi::kChat ? "/v1/chat/completions" : "/v1/completions"; }

std::string BodyMaker::Make(const SessionPlan& session, size_t turn,
                            const std::vector<std::string>& answers) const {
  Json body = {{"model", model},
               {"stream", true},
               {"temperature", 0},
               {"max_tokens", session.turns[turn].output_tokens}};
  if (fields.usage_at_end) body["stream_options"] = {{"include_usage", true}};
  if (fields.usage_of_each_event) body["stream_options"]["continuous_usage_stats"] = true;
  if (fields.ignore_eos) body["ignore_eos"] = true;

  // Each message of the user stands for its own share of the template.
  const auto said = [&](size_t i) {
    return TextOf(session.turns[i].parts, scale, i == 0 ? scale.tokens_around : 0);
  };
  const std::string system = TextOf(session.system, scale, 0);
  if (api == LoadApi::kChat) {
    Json& messages = body["messages"] = Json::array();
    if (!system.empty()) messages.push_back(Message("system", system));
    for (size_t i = 0; i <= turn; ++i) {
      messages.push_back(Message("user", said(i)));
      if (i < turn) messages.push_back(Message("assistant", answers[i]));
    }
  } else {
    std::string prompt = system;
    for (size_t i = 0; i <= turn; ++i) {
      if (!prompt.empty()) prompt.push_back(' ');
      prompt += said(i);
      if (i < turn) prompt += answers[i];
    }
    body["prompt"] = std::move(prompt);
  }
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace deeprack::cli
