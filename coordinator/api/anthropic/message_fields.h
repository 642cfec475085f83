// The fields that a body of Anthropic's Messages API may have. docs/API.md has a table of the same fields
// under each heading; tests/unit/api/api_page_test.cc compares.
#pragma once

#include "coordinator/api/request_fields.h"

namespace deeprack::coordinator::anthropic {

extern const RequestObject kMessagesRequest, kCountTokensRequest;
extern const RequestObject kMessage;
extern const RequestObject kTextBlock, kThinkingBlock, kRedactedThinkingBlock, kToolUseBlock,
    kToolResultBlock;
extern const RequestObject kToolReferenceBlock;
extern const RequestObject kTool, kToolChoice, kThinking, kOutputConfig, kOutputFormat, kContextManagement;

// Every table of the Messages API, once.
std::span<const FieldTable* const> MessageFieldTables();

}  // namespace deeprack::coordinator::anthropic
