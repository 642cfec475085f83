// Reads the fields that the generation endpoints share: sampling, stopping, streaming, limits.
#pragma once

#include "coordinator/api/generation_request.h"
#include "coordinator/api/json_fields.h"
#include "coordinator/api/served_model.h"

namespace deeprack::coordinator {

// The served name that the request asks for; empty if the request names none. Fails with 404 for another
// model.
std::string ReadModelField(JsonFields& fields, const ServedModel& model);

// Reads `temperature`, `top_p` and `top_k`.
void ReadTokenChoice(JsonFields& fields, const ServedModel& model, model::SamplingParams& sampling);

// Reads the field `name`, an array of stop strings.
void ReadStopStrings(JsonFields& fields, std::string_view name, std::vector<std::string>& stop);

// Reads the fields that OpenAI's endpoints share, except max_tokens and logprobs, which the endpoints read
// differently.
void ReadSharedFields(JsonFields& fields, const ServedModel& model, GenerationRequest& request);

// Reads prompt_logprobs. Read `stream` before.
void ReadPromptLogprobs(JsonFields& fields, const ServedModel& model, GenerationRequest& request);

// As many tokens as the context has room for.
inline constexpr int64_t kNoLimit = -1;

// Reads `name`, a limit of the answer's tokens: `least` or more, or kNoLimit. nullopt: absent.
std::optional<int64_t> ReadMaxTokens(JsonFields& fields, const char* name, int64_t least);

// Sets the request's max_tokens: the smaller of `asked` and the room that the longest prompt leaves in the
// context. `absent` stands for an absent `asked`. Errors: 400 if a prompt does not fit into the context, or
// if the request's min_tokens is larger than `asked`.
std::optional<ApiError> SettleMaxTokens(const ServedModel& model, std::optional<int64_t> asked,
                                        int64_t absent, GenerationRequest& request);

}  // namespace deeprack::coordinator
