// Fuzzes a chat template, from a model's files, with a conversation, from a client. The template is refused,
// or it renders within its limits, and each byte of its text has an origin. The template ends at the first
// zero byte; the variables' JSON follows.
#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "base/check.h"
#include "coordinator/chat/jinja/print.h"
#include "coordinator/chat/jinja/template.h"
#include "coordinator/tokenizer/utf8.h"

namespace {

using namespace deeprack::coordinator;

constexpr std::string_view kVariables = R"({"messages": [
  {"role": "system", "content": "s"}, {"role": "user", "content": " <b>é\n"},
  {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5]}}}]},
  {"role": "tool", "content": "x"}], "tools": [{"function": {"name": "f"}}], "bos_token": "<s>", "n": 3})";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t zero = input.find('\0');
  const auto parsed = jinja::Template::Parse(input.substr(0, zero));
  if (!parsed.ok()) {
    DR_CHECK(!parsed.status().message().empty());
    return 0;
  }
  auto variables = jinja::FromJson(zero == input.npos ? kVariables : input.substr(zero + 1));
  if (!variables.ok() || !variables->is(jinja::Kind::kDict)) variables = jinja::FromJson(kVariables);
  const auto text = parsed->Render(variables->dict(), absl::FromUnixSeconds(1'750'000'000),
                                   {.steps = 20'000, .output_bytes = 1 << 16});
  if (!text.ok()) {
    DR_CHECK(absl::IsInvalidArgument(text.status()) || absl::IsResourceExhausted(text.status()));
    return 0;
  }
  DR_CHECK(text->size() <= 1 << 16 && !FirstInvalidUtf8(text->bytes()).has_value());
  DR_CHECK((text->runs().empty() ? 0 : text->runs().back().end) == text->size());
  return 0;
}
