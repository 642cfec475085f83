// The fields of the requests of Anthropic's Messages API, as request_fields.h has those of OpenAI's.
#pragma once

#include "coordinator/api/request_fields.h"

namespace deeprack::coordinator::anthropic {

extern const RequestObject kMessagesRequest, kCountTokensRequest;
extern const RequestObject kMessage;
extern const RequestObject kTextBlock, kThinkingBlock, kRedactedThinkingBlock, kToolUseBlock,
    kToolResultBlock;
extern const RequestObject kToolReferenceBlock;
extern const RequestObject kTool, kToolChoice, kThinking, kOutputConfig, kContextManagement;

// Every table once.
std::span<const FieldTable* const> MessageFieldTables();

}  // namespace deeprack::coordinator::anthropic
