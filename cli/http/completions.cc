#include "cli/http/completions.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cli/http/event_stream.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

constexpr absl::Duration kTokenizeSilence = absl::Minutes(5);

// The number of tokens in one event.
int64_t TokensOf(const Json& event) {
  const auto choices = event.find("choices");
  if (choices == event.end() || !choices->is_array() || choices->empty() || !choices->front().is_object()) {
    return 0;
  }
  const auto ids = choices->front().find("token_ids");
  if (ids == choices->front().end() || !ids->is_array()) return 0;
  return static_cast<int64_t>(ids->size());
}

// Takes the counts from an event with usage.
void TakeDrafts(const Json& event, DraftCounts& drafts) {
  const Json* at = &event;
  for (const char* name : {"usage", "completion_tokens_details"}) {
    const auto found = at->find(name);
    if (found == at->end() || !found->is_object()) return;
    at = &*found;
  }
  const auto count = [at](const char* name) {
    const auto found = at->find(name);
    return found != at->end() && found->is_number_integer() ? found->get<int64_t>() : 0;
  };
  drafts = {count("accepted_prediction_tokens"), count("rejected_prediction_tokens")};
}

}  // namespace

absl::StatusOr<DraftCounts> StreamCompletion(const Url& url, const CompletionRequest& request,
                                             const std::function<void(int64_t)>& on_tokens,
                                             const Cancelled& cancelled) {
  Json body = {{"model", request.model},
               {"prompt", request.prompt},
               {"max_tokens", request.max_tokens},
               {"temperature", 0},
               {"ignore_eos", true},
               {"return_token_ids", true},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}}};
  DraftCounts drafts;
  if (!request.cache_salt.empty()) body["cache_salt"] = request.cache_salt;
  const auto on_event = [&](const Json& event) {
    if (const int64_t tokens = TokensOf(event); tokens > 0) on_tokens(tokens);
    TakeDrafts(event, drafts);
    return absl::OkStatus();
  };
  DR_RETURN_IF_ERROR(PostForEvents(url, "/v1/completions", body.dump(), on_event, cancelled));
  return drafts;
}

absl::StatusOr<std::vector<TokenId>> Tokenize(const Url& url, const std::string& model,
                                              absl::string_view text, bool add_special_tokens,
                                              const Cancelled& cancelled) {
  const Json body = {
      {"model", model}, {"prompt", std::string(text)}, {"add_special_tokens", add_special_tokens}};
  DR_ASSIGN_OR_RETURN(const std::string answer,
                      HttpPost(url, "/tokenize", body.dump(-1, ' ', false, Json::error_handler_t::replace),
                               kTokenizeSilence, cancelled));
  const Json json = Json::parse(answer, nullptr, /*allow_exceptions=*/false);
  const auto wrong = [&] {
    return absl::InternalError(absl::StrCat("/tokenize answered: ", answer.substr(0, 200)));
  };
  if (!json.is_object() || !json.contains("tokens") || !json["tokens"].is_array()) return wrong();
  std::vector<TokenId> ids;
  ids.reserve(json["tokens"].size());
  for (const Json& id : json["tokens"]) {
    if (!id.is_number_integer()) return wrong();
    ids.push_back(id.get<TokenId>());
  }
  return ids;
}

}  // namespace deeprack::cli
