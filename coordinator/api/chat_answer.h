// The answers to a chat: whole, and as a stream. Each listens to a generation.
#pragma once

#include <memory>

#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

// Answers with one chat.completion object when the generation has finished.
std::unique_ptr<GenerationListener> MakeWholeChatAnswer(ApiContext* context, const GenerationRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange);

// Sends chat.completion.chunk events. The caller starts the stream after the sequences are submitted.
std::unique_ptr<GenerationListener> MakeStreamedChatAnswer(ApiContext* context,
                                                           const GenerationRequest& request,
                                                           std::shared_ptr<HttpExchange> exchange);

}  // namespace deeprack::coordinator
