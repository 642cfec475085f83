// The answers to /v1/completions: whole, and as a stream. Each listens to a generation.
#pragma once

#include <memory>

#include "coordinator/api/completion_request.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

// Answers with one text_completion object when the generation has finished.
std::unique_ptr<GenerationListener> MakeWholeCompletion(ApiContext* context, const CompletionRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange);

// Sends text_completion events. The caller starts the stream after the sequences are submitted.
std::unique_ptr<GenerationListener> MakeStreamedCompletion(ApiContext* context,
                                                           const CompletionRequest& request,
                                                           std::shared_ptr<HttpExchange> exchange);

}  // namespace deeprack::coordinator
