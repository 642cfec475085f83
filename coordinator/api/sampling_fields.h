// The fields that /v1/chat/completions and /v1/completions share: sampling, stopping, streaming, bounds.
#pragma once

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"

namespace deeprack::coordinator {

// The request's `model` must be the one served: 404 otherwise. Absent is fine.
void ReadModelField(JsonFields& fields, const ServedModel& model);

// Reads everything but prompt, max_tokens, logprobs and what only one endpoint has.
void ReadSharedFields(JsonFields& fields, const ServedModel& model, GenerationRequest& request);

// Checks the prompts against the context, and settles max_tokens: `asked` or, when absent, what is left of
// the context (`absent`: at most this many, when not negative).
void SettleMaxTokens(JsonFields& fields, const ServedModel& model, std::optional<int64_t> asked,
                     const std::string& field, int64_t absent, GenerationRequest& request);

}  // namespace deeprack::coordinator
