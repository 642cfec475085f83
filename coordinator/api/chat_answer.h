// The two forms of a chat answer, as listeners of a generation.
#pragma once

#include <memory>

#include "coordinator/api/generation.h"

namespace deeprack::coordinator {

// One chat.completion object at the end.
std::unique_ptr<GenerationListener> MakeWholeChatAnswer(ApiContext* context, const GenerationRequest& request,
                                                        std::shared_ptr<HttpExchange> exchange);

// chat.completion.chunk events as the text becomes certain. The stream's headers go out with its first
// event's cause: the caller starts it once the sequences are submitted.
std::unique_ptr<GenerationListener> MakeStreamedChatAnswer(ApiContext* context,
                                                           const GenerationRequest& request,
                                                           std::shared_ptr<HttpExchange> exchange);

}  // namespace deeprack::coordinator
