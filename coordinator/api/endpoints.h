// The HTTP endpoints, one function and one file each, and the router that finds them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "coordinator/access/caller.h"
#include "coordinator/access/key_ring.h"
#include "coordinator/api/api_context.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

// A request that the router has found an endpoint for.
struct ApiRequest {
  HttpRequest http;
  std::string id;  // what {id} in the route's path stands for; empty for a path without
  Caller caller;
  ErrorShape errors = ErrorShape::kOpenAi;  // of this path's API

  const std::string& body() const { return http.body; }
};

// An endpoint that reads a body has two halves. The function reads the body: it parses JSON and tokenizes
// text, which takes long for a large body, and may run on any thread. `request` lives until the function
// returns. The function that it returns answers; it must run on the exchange's executor.
using BodyEndpoint = std::function<void()> (*)(ApiContext& context, const ApiRequest& request,
                                               const std::shared_ptr<HttpExchange>& exchange);

std::function<void()> ChatCompletions(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Completions(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> NativeCompletion(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Messages(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> CountMessageTokens(ApiContext&, const ApiRequest&,
                                         const std::shared_ptr<HttpExchange>&);
std::function<void()> RenderChatPrompt(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> RenderCompletionPrompts(ApiContext&, const ApiRequest&,
                                              const std::shared_ptr<HttpExchange>&);
std::function<void()> Responses(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> CountResponseTokens(ApiContext&, const ApiRequest&,
                                          const std::shared_ptr<HttpExchange>&);
std::function<void()> CountChatTokens(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> ApplyTemplate(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Invocations(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Tokenize(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Detokenize(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);

// An endpoint without a body answers at once, on the exchange's executor.
using DirectEndpoint = void (*)(ApiContext& context, const ApiRequest& request,
                                const std::shared_ptr<HttpExchange>& exchange);

void RetrieveResponse(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void DeleteResponse(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void ResponseInputItems(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void CancelResponse(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void Models(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void ModelInfo(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void Load(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void Health(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void Ready(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void Version(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void TokenizerInfo(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);
void Metrics(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>&);

// Bodies up to this size are read on the thread that serves their connection. Larger ones are read by
// HttpExchange::RunAside.
inline constexpr size_t kMaxInlineBodyBytes = 64 << 10;

struct RouterOptions {
  size_t max_body_bytes = 8 << 20;  // of a compressed body, once it is decoded
  const KeyRing* keys = nullptr;    // null: requests need no key; outlives the handler
  bool metrics_need_key = true;
};

// Routes by path and method (routes.cc has the table). Errors have the shape of the path's API: 401 (with
// WWW-Authenticate) without a valid key; 404; 405 (with Allow); 413 and 415 for a body that cannot be
// decoded; 429 while too many large bodies wait to be read; 503 for a request that generates while the server
// drains. `context` outlives the handler.
HttpHandler MakeRouter(ApiContext* context, RouterOptions options = {});

// Refuses a request without a valid key where its path needs one, with the router's 401. `context` outlives
// the gate.
HttpGate MakeKeyGate(ApiContext* context, RouterOptions options);

// The body of an answer to a request that does not reach the handler.
std::string HttpErrorBody(const HttpRefusal& refusal);

}  // namespace deeprack::coordinator
