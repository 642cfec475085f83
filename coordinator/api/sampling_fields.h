// Reads the fields that /v1/chat/completions and /v1/completions share: sampling, stopping, streaming,
// limits.
#pragma once

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"

namespace deeprack::coordinator {

// Fails with 404 if the request names a model that is not the served one.
void ReadModelField(JsonFields& fields, const ServedModel& model);

// Reads the shared fields except max_tokens and logprobs, which the endpoints read differently.
void ReadSharedFields(JsonFields& fields, const ServedModel& model, GenerationRequest& request);

// Checks that every prompt fits into the context, and sets the request's max_tokens. `asked` is the value of
// the field named `field`. Without `asked`, max_tokens is the room that the longest prompt leaves in the
// context, and at most `absent` if that is not negative.
void SettleMaxTokens(JsonFields& fields, const ServedModel& model, std::optional<int64_t> asked,
                     const std::string& field, int64_t absent, GenerationRequest& request);

}  // namespace deeprack::coordinator
