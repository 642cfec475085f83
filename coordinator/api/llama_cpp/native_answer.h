// The answers to llama.cpp's /completion: whole, and as a stream. Each listens to a generation.
#pragma once

#include <memory>

#include "coordinator/api/generation.h"
#include "coordinator/api/llama_cpp/native_request.h"

namespace deeprack::coordinator::llama_cpp {

// Answers with one object when the generation has finished, or with an array if there are several choices.
std::unique_ptr<GenerationListener> MakeWholeAnswer(ApiContext* context, const NativeRequest& request,
                                                    std::shared_ptr<HttpExchange> exchange);

// Sends an event for each piece of text, and a last event for each choice. The caller starts the stream after
// the sequences are submitted.
std::unique_ptr<GenerationListener> MakeStreamedAnswer(ApiContext* context, const NativeRequest& request,
                                                       std::shared_ptr<HttpExchange> exchange);

}  // namespace deeprack::coordinator::llama_cpp
