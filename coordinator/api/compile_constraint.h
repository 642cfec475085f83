// Compiles the constraint of a request before the request is submitted.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "coordinator/api/api_context.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/generation_request.h"
#include "coordinator/api/http_exchange.h"

namespace deeprack::coordinator {

// Calls `next` once, on the exchange's executor, on which this function is called, too: at once if the
// request has no constraint. The error: 400 for a constraint that is not supported, takes too long to compile
// or cannot follow the prompt's end; 503 if too many constraints wait. `request` must live until the call.
void CompileConstraint(ApiContext& context, const GenerationRequest& request,
                       const std::shared_ptr<HttpExchange>& exchange,
                       std::function<void(std::optional<ApiError>)> next);

}  // namespace deeprack::coordinator
