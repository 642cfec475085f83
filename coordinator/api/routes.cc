#include "coordinator/api/routes.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include "absl/strings/str_join.h"
#include "coordinator/api/request_path.h"

namespace deeprack::coordinator {
namespace {

constexpr ErrorShape kAnthropic = ErrorShape::kAnthropic;

constexpr Route kRoutes[] = {
    {.method = "POST", .path = "/v1/chat/completions", .read = ChatCompletions, .generates = true},
    {.method = "POST", .path = "/v1/completions", .read = Completions, .generates = true},
    {.method = "POST", .path = "/completion", .read = NativeCompletion, .generates = true},
    {.method = "POST", .path = "/v1/messages", .read = Messages, .errors = kAnthropic, .generates = true},
    {.method = "POST", .path = "/v1/messages/count_tokens", .read = CountMessageTokens, .errors = kAnthropic},
    {.method = "POST",
     .path = "/anthropic/v1/messages",
     .read = Messages,
     .errors = kAnthropic,
     .generates = true},
    {.method = "POST",
     .path = "/anthropic/v1/messages/count_tokens",
     .read = CountMessageTokens,
     .errors = kAnthropic},
    {.method = "POST", .path = "/v1/responses", .read = Responses, .generates = true},
    {.method = "POST", .path = "/v1/responses/input_tokens", .read = CountResponseTokens},
    {.method = "GET", .path = "/v1/responses/{id}", .direct = RetrieveResponse},
    {.method = "DELETE", .path = "/v1/responses/{id}", .direct = DeleteResponse},
    {.method = "GET", .path = "/v1/responses/{id}/input_items", .direct = ResponseInputItems},
    {.method = "POST", .path = "/v1/responses/{id}/cancel", .direct = CancelResponse},
    {.method = "GET", .path = "/v1/models", .direct = Models},
    {.method = "GET", .path = "/v1/models/{id*}", .direct = Models},
    {.method = "POST", .path = "/invocations", .read = Invocations, .generates = true},
    {.method = "POST", .path = "/v1/chat/completions/input_tokens", .read = CountChatTokens},
    {.method = "POST", .path = "/v1/chat/completions/render", .read = RenderChatPrompt},
    {.method = "POST", .path = "/v1/completions/render", .read = RenderCompletionPrompts},
    {.method = "POST", .path = "/apply-template", .read = ApplyTemplate},
    {.method = "GET", .path = "/tokenizer_info", .direct = TokenizerInfo},
    {.method = "POST", .path = "/tokenize", .read = Tokenize},
    {.method = "POST", .path = "/detokenize", .read = Detokenize},
    {.method = "GET", .path = "/health", .direct = Health, .key = KeyNeed::kNever},
    {.method = "GET", .path = "/ping", .direct = Health, .key = KeyNeed::kNever},
    {.method = "POST", .path = "/ping", .direct = Health, .key = KeyNeed::kNever},
    {.method = "GET", .path = "/ready", .direct = Ready, .key = KeyNeed::kNever},
    {.method = "GET", .path = "/health_generate", .direct = Ready, .key = KeyNeed::kNever},
    {.method = "GET", .path = "/load", .direct = Load},
    {.method = "GET", .path = "/model_info", .direct = ModelInfo},
    {.method = "GET", .path = "/get_model_info", .direct = ModelInfo},
    {.method = "GET", .path = "/version", .direct = Version, .key = KeyNeed::kNever},
    {.method = "GET", .path = "/metrics", .direct = Metrics, .key = KeyNeed::kBySetting},
};

// The first segments, after /v1 or /v2, of paths that OpenAI's and vLLM's APIs have and deeprack does not.
constexpr absl::string_view kElsewhere[] = {
    "assistants", "audio", "batches", "classify",    "containers",    "conversations", "embeddings",
    "evals",      "files", "images",  "fine_tuning", "moderations",   "pooling",       "realtime",
    "rerank",     "score", "threads", "uploads",     "vector_stores", "videos",
};

bool IsKnownElsewhere(const std::vector<std::string>& segments) {
  const size_t first = !segments.empty() && (segments[0] == "v1" || segments[0] == "v2") ? 1 : 0;
  return segments.size() > first &&
         std::find(std::begin(kElsewhere), std::end(kElsewhere), segments[first]) != std::end(kElsewhere);
}

bool Answers(const Route& route, absl::string_view method) {
  return route.method == method || (route.method == "GET" && method == "HEAD");
}

}  // namespace

RouteMatch FindRoute(absl::string_view method, const std::vector<std::string>& segments) {
  RouteMatch match;
  if (!segments.empty() && segments[0] == "anthropic") match.errors = ErrorShape::kAnthropic;
  for (const Route& route : kRoutes) {
    std::optional<std::string> id = MatchPath(route.path, segments);
    if (!id) continue;
    match.errors = route.errors;
    match.methods.push_back(route.method);
    if (!Answers(route, method)) continue;
    match.route = &route;
    match.id = *std::move(id);
    return match;
  }
  match.known_elsewhere = match.methods.empty() && IsKnownElsewhere(segments);
  return match;
}

std::string ServedPaths() {
  std::vector<absl::string_view> paths;
  for (const Route& route : kRoutes) {
    if (std::find(paths.begin(), paths.end(), route.path) == paths.end()) paths.push_back(route.path);
  }
  return absl::StrJoin(paths, ", ");
}

}  // namespace deeprack::coordinator
