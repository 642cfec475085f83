#include "cli/load/server_traits.h"

#include <nlohmann/json.hpp>

#include "base/status_macros.h"
#include "cli/http/chat_stream.h"
#include "cli/http/event_stream.h"

namespace deeprack::cli {
namespace {

using Json = nlohmann::json;

// From what is wished to what every server takes.
constexpr ServerFields kFieldsToTry[] = {
    {.usage_of_each_event = true, .usage_at_end = true, .ignore_eos = true},
    {.usage_of_each_event = true, .usage_at_end = true, .ignore_eos = false},
    {.usage_of_each_event = false, .usage_at_end = true, .ignore_eos = true},
    {.usage_of_each_event = false, .usage_at_end = true, .ignore_eos = false},
    {.usage_of_each_event = false, .usage_at_end = false, .ignore_eos = false}};

constexpr int64_t kFewWords = 16, kManyWords = 112;
constexpr uint64_t kTextId = 0x10ad;

// The prompt tokens of a text of `words` words, as the server counts them; 0 when it does not say.
absl::StatusOr<int64_t> AskPromptTokens(const Url& url, BodyMaker bodies, int64_t words,
                                        const Cancelled& cancelled) {
  bodies.scale = {.tokens_per_word = 1};
  const SessionPlan session = {
      .system = {},
      .turns = {{.parts = {{.id = kTextId, .tokens = words}}, .output_tokens = 2, .think_seconds = 0}}};
  int64_t tokens = 0;
  const auto on_event = [&](const Json& event) {
    const auto usage = event.find("usage");
    if (usage != event.end() && usage->is_object() && usage->contains("prompt_tokens") &&
        (*usage)["prompt_tokens"].is_number_integer()) {
      tokens = (*usage)["prompt_tokens"].get<int64_t>();
    }
    return absl::OkStatus();
  };
  DR_RETURN_IF_ERROR(
      PostForEvents(url, PathOf(bodies.api), bodies.Make(session, 0, {}), on_event, cancelled));
  return tokens;
}

}  // namespace

absl::StatusOr<BodyMaker> AskServer(const Url& url, LoadApi api, const std::string& model,
                                    const Cancelled& cancelled) {
  BodyMaker bodies = {.api = api, .model = model, .fields = {}, .scale = {}};
  if (model.empty()) {
    DR_ASSIGN_OR_RETURN(bodies.model, FirstModel(url));
  }
  absl::StatusOr<int64_t> few;
  for (const ServerFields& fields : kFieldsToTry) {
    bodies.fields = fields;
    few = AskPromptTokens(url, bodies, kFewWords, cancelled);
    if (!absl::IsInvalidArgument(few.status())) break;
  }
  if (!few.ok()) return few.status();
  if (*few <= 0) {  // the server takes stream_options, but reports nothing
    bodies.fields.usage_of_each_event = bodies.fields.usage_at_end = false;
    return bodies;
  }
  DR_ASSIGN_OR_RETURN(const int64_t many, AskPromptTokens(url, bodies, kManyWords, cancelled));
  bodies.scale = MeasureScale(kFewWords, *few, kManyWords, many);
  return bodies;
}

}  // namespace deeprack::cli
