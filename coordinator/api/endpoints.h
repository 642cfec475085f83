// The HTTP endpoints, one function and one file each, and the table that finds them.
#pragma once

#include <memory>

#include "coordinator/api/api_context.h"
#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

using Endpoint = void (*)(ApiContext& context, const HttpRequest& request,
                          const std::shared_ptr<HttpExchange>& exchange);

void ChatCompletions(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Completions(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Tokenize(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Detokenize(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Models(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Health(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Ready(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Version(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);
void Metrics(ApiContext&, const HttpRequest&, const std::shared_ptr<HttpExchange>&);

// Routes by path and method: 404 and 405 (with Allow) are OpenAI error objects too. `context` outlives the
// handler.
HttpHandler MakeRouter(ApiContext* context);

// The body of an error that the HTTP core answers by itself.
std::string HttpErrorBody(int status, const std::string& message);

}  // namespace deeprack::coordinator
