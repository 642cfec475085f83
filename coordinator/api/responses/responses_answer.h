// The answers to a request of /v1/responses: whole, and as a stream. Each listens to a generation, and
// stores the response if the request asks for that.
#pragma once

#include <memory>
#include <string>

#include "coordinator/api/generation.h"
#include "coordinator/api/responses/responses_request.h"

namespace deeprack::coordinator {

// Answers with one response object when the generation has finished.
std::unique_ptr<GenerationListener> MakeWholeResponse(ApiContext* context, ResponsesRequest request,
                                                      std::shared_ptr<HttpExchange> exchange);

struct ResponseStream {
  std::unique_ptr<GenerationListener> answer;
  std::string opening;  // the stream's first events
};

// Sends the events of a response. The caller starts the stream after the sequence is submitted, and sends
// the opening then.
ResponseStream MakeResponseStream(ApiContext* context, ResponsesRequest request,
                                  std::shared_ptr<HttpExchange> exchange);

}  // namespace deeprack::coordinator
