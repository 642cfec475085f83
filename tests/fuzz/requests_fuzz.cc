// Fuzzes the body of a request from an untrusted client. The body gives an error of the client's, or a
// request within the bounds that the server promises. The first byte chooses the endpoint.
#include <cstdint>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "coordinator/api/chat_request.h"
#include "coordinator/api/completion_request.h"
#include "model/step/sampling_check.h"
#include "tests/fuzz/request_checks.h"

namespace {

using namespace deeprack;
using namespace deeprack::coordinator;

void CheckGeneration(const GenerationRequest& request) {
  DR_CHECK(request.n >= 1 && request.n <= 128 && !request.prompts.empty());
  for (const auto& prompt : request.prompts) {
    for (const TokenId id : prompt) DR_CHECK(id >= 0 && id < Model().vocab_size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data + 1), size - 1);
  if (data[0] % 2 == 0) {
    const auto parsed = ParseChatRequest(body, Model());
    if (const auto* error = std::get_if<ApiError>(&parsed)) CheckError(*error);
    if (const auto* request = std::get_if<GenerationRequest>(&parsed)) CheckGeneration(*request);
  } else {
    const auto parsed = ParseCompletionRequest(body, Model());
    if (const auto* error = std::get_if<ApiError>(&parsed)) CheckError(*error);
    if (const auto* request = std::get_if<CompletionRequest>(&parsed)) CheckGeneration(request->generation);
  }
  return 0;
}
