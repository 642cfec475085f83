// Renders a template in a test.
#pragma once

#include <string>
#include <string_view>

#include "coordinator/chat/jinja/print.h"
#include "coordinator/chat/jinja/template.h"

namespace deeprack::coordinator::jinja {

// `variables` is a JSON object.
inline absl::StatusOr<Text> Render(std::string_view source, std::string_view variables = "{}",
                                   const RenderLimits& limits = {}) {
  const absl::StatusOr<Template> parsed = Template::Parse(source);
  if (!parsed.ok()) return parsed.status();
  const absl::StatusOr<Value> values = FromJson(variables);
  if (!values.ok()) return values.status();
  return parsed->Render(values->dict(), absl::FromUnixSeconds(1'750'000'000), limits);
}

inline std::string ErrorOf(const absl::StatusOr<Text>& text) {
  return text.ok() ? "no error: " + text->bytes() : std::string(text.status().message());
}

}  // namespace deeprack::coordinator::jinja
