// Fuzzes the body of a Messages request from an untrusted client. The body gives an error of the client's, or
// a request within the bounds that the server promises. The first byte chooses the endpoint.
#include <cstdint>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "coordinator/api/anthropic/messages_request.h"
#include "tests/fuzz/request_checks.h"

namespace {

using namespace deeprack;
using namespace deeprack::coordinator;

void CheckGeneration(const GenerationRequest& request) {
  DR_CHECK(request.n == 1 && request.prompts.size() == 1);
  const auto& prompt = request.prompts.front();
  const int64_t max_tokens = request.request.max_tokens;
  DR_CHECK(max_tokens >= 0 && static_cast<int64_t>(prompt.size()) + max_tokens <= Model().max_context);
  for (const TokenId id : prompt) DR_CHECK(id >= 0 && id < Model().vocab_size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    const auto parsed = anthropic::ParseMessagesRequest(body, Model());
    if (const auto* error = std::get_if<ApiError>(&parsed)) CheckError(*error);
    if (const auto* request = std::get_if<anthropic::MessagesRequest>(&parsed))
      CheckGeneration(request->generation);
  } else {
    const auto counted = anthropic::ParseCountTokensRequest(body, Model());
    if (const auto* error = std::get_if<ApiError>(&counted)) CheckError(*error);
    if (const auto* request = std::get_if<GenerationRequest>(&counted))
      DR_CHECK(request->prompts.size() == 1);
  }
  return 0;
}
