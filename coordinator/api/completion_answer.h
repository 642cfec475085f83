// The two forms of a /v1/completions answer, as listeners of a generation.
#pragma once

#include <memory>

#include "coordinator/api/completion_request.h"
#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

// One text_completion object at the end.
std::unique_ptr<GenerationListener> MakeWholeCompletion(ApiContext* context, const CompletionRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange);

// text_completion events as the text becomes certain.
std::unique_ptr<GenerationListener> MakeStreamedCompletion(ApiContext* context,
                                                           const CompletionRequest& request,
                                                           std::shared_ptr<HttpExchange> exchange);

}  // namespace deeprack::coordinator
