// The HTTP endpoints, one function and one file each, and the router that finds them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "coordinator/api/api_context.h"
#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

// A POST endpoint has two halves. The function reads the body: it parses JSON and tokenizes text, which takes
// long for a large body, and may run on any thread. The function that it returns answers; it must run on the
// exchange's executor.
using PostEndpoint = std::function<void()> (*)(ApiContext& context, const std::string& body,
                                               const std::shared_ptr<HttpExchange>& exchange);

std::function<void()> ChatCompletions(ApiContext&, const std::string&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Completions(ApiContext&, const std::string&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Tokenize(ApiContext&, const std::string&, const std::shared_ptr<HttpExchange>&);
std::function<void()> Detokenize(ApiContext&, const std::string&, const std::shared_ptr<HttpExchange>&);

// A GET endpoint answers at once, on the exchange's executor.
using GetEndpoint = void (*)(ApiContext& context, const HttpRequest& request,
                             const std::shared_ptr<HttpExchange>& exchange);

void Models(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Health(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Ready(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Version(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Metrics(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);

// Bodies up to this size are read on the thread that serves their connection. Larger ones are read by
// HttpExchange::RunAside.
inline constexpr size_t kMaxInlineBodyBytes = 64 << 10;

// Routes by path and method. The bodies of 404 and 405 (with Allow) are OpenAI error objects. 429: too many
// large bodies wait to be read. `context` outlives the handler.
HttpHandler MakeRouter(ApiContext* context);

// The body of an answer to a request that does not reach the handler.
std::string HttpErrorBody(int status, const std::string& message);

}  // namespace deeprack::coordinator
