// Fuzzes the body of /v1/responses from an untrusted client. The body gives an error of the client's, or a
// request within the bounds that the server promises, whose conversation can be read again as input.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/check.h"
#include "coordinator/api/responses/responses_request.h"
#include "tests/fuzz/request_checks.h"
#include "tests/unit/api/byte_model.h"

namespace {

using namespace deeprack;
using namespace deeprack::coordinator;

// A store with one response, "resp_1", whose items are "msg_1" and "msg_2".
ResponseStore& Store() {
  static ManualClock* const clock = new ManualClock();
  static ResponseStore* const store = [] {
    auto* made = new ResponseStore({}, clock);
    const auto item = [](const char* id, const char* role, const char* text) {
      const Json json = {{"id", id},
                         {"type", "message"},
                         {"role", role},
                         {"content", Json::array({{{"type", "input_text"}, {"text", text}}})}};
      return std::make_shared<const ConversationItem>(ConversationItem{.id = id, .json = json.dump()});
    };
    made->Add("", "resp_1",
              {.json = "{}",
               .input = {item("msg_1", "user", "Hi")},
               .output = {item("msg_2", "assistant", "Hello")}});
    return made;
  }();
  return *store;
}

std::variant<ResponsesRequest, ApiError> Read(std::string_view body) {
  static const std::shared_ptr<ServedModel> model = MakeByteModel();
  static int64_t ids = 0;
  std::variant<ResponsesRequest, ApiError> parsed = ReadResponsesRequest(
      body, {.model = *model, .store = Store(), .make_id = [](const std::string& prefix) {
               return prefix + std::to_string(++ids);
             }});
  if (auto* request = std::get_if<ResponsesRequest>(&parsed)) {
    if (std::optional<ApiError> error = MakePrompt(*model, *request)) return *std::move(error);
  }
  return parsed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto parsed = Read(std::string_view(reinterpret_cast<const char*>(data), size));
  if (const auto* error = std::get_if<ApiError>(&parsed)) {
    CheckError(*error);
    return 0;
  }
  const ResponsesRequest& request = std::get<ResponsesRequest>(parsed);
  DR_CHECK(request.generation.n == 1 && request.generation.prompts.size() == 1);
  DR_CHECK(request.generation.request.max_tokens >= 1);
  DR_CHECK(request.echo.is_object());
  Json body = {{"input", Json::array()}};
  for (const auto& item : request.conversation) body["input"].push_back(Json::parse(item->json));
  if (!request.instructions.empty()) body["instructions"] = request.instructions;
  if (!request.prompt.tools.empty()) return 0;  // the tools are part of the prompt
  if (body["input"].size() > 4096) return 0;    // with the items of resp_1, more than a request may send
  if (request.prompt.template_kwargs != "{}") return 0;
  const auto again = Read(body.dump());
  const auto* same = std::get_if<ResponsesRequest>(&again);
  DR_CHECK(same != nullptr && same->generation.prompts == request.generation.prompts);
  return 0;
}
