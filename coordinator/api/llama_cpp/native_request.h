// Reads the body of llama.cpp's /completion. Strict: see JsonFields.
#pragma once

#include <string_view>
#include <variant>

#include "coordinator/api/completion_request.h"

namespace deeprack::coordinator::llama_cpp {

struct NativeRequest {
  CompletionRequest completion;
  int64_t n_predict = -1;  // as asked for; -1: no limit
  bool return_tokens = false;
  bool cut_to_room = false;  // the context has less room than n_predict, or n_predict is -1
};

std::variant<NativeRequest, ApiError> ParseNativeRequest(std::string_view body, const ServedModel& model);

}  // namespace deeprack::coordinator::llama_cpp
