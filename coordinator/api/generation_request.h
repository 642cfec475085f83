// A request of a generation endpoint, parsed, tokenized and checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/access/caller.h"
#include "coordinator/api/sequence_text.h"
#include "coordinator/request/request.h"
#include "model/step/constraint_spec.h"

namespace deeprack::coordinator {

// What a request asks of the form of its answer.
struct AnswerForm {
  std::optional<model::ConstraintSpec> content;  // of the answer's content
  std::string content_field;                     // the field that asks for it
  std::vector<std::string> strict_tools;         // functions whose arguments keep to their schemas in any case
  bool calls_required = false;                   // the answer is one call of a tool, or more
  std::string call_name;                         // not empty: of this function
};

struct GenerationRequest {
  std::vector<std::vector<TokenId>> prompts;  // one, or several for /v1/completions
  int32_t n = 1;                              // answers to each prompt; choice = prompt * n + answer
  Request request;                            // common to all sequences; Generation fills in prompt and seed
  std::optional<int64_t> seed;  // answer i draws with seed + i; absent: each answer draws with a random seed
  Caller caller;                // set by the endpoint, from ApiRequest
  std::string model;            // the name that the model was asked for with; empty: with none
  TextOptions text;
  bool stream = false;
  bool include_usage = false;
  bool continuous_usage = false;   // streams: each chunk has the usage so far
  bool timings_per_token = false;  // answers and chunks have llama.cpp's `timings`
  bool return_token_ids = false;
  bool include_reasoning = true;  // false: the reasoning is made, and is no part of the answer
  std::string echo;               // text before the answer's content
  int32_t prompt_logprobs = -1;   // likely tokens at each token of the prompt that the answer has; -1: none
  int64_t ignored_fields = 0;     // unknown fields that the server was told to ignore
  AnswerForm form;                // SettleForm makes request.constraint of it
  std::string constraint_field;   // with request.constraint: the field that asks for the answer's form
  bool tokens_as_ids = false;     // log-probabilities name tokens as "token_id:7"

  int32_t choices() const { return static_cast<int32_t>(prompts.size()) * n; }
};

}  // namespace deeprack::coordinator
