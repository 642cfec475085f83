// A chat template in the Jinja language, parsed once and rendered for each request. The language is that of
// jinja2 as transformers sets it up: trim_blocks, lstrip_blocks, {% break %}, {% continue %}, {% generation
// %}, an immutable sandbox, and tojson by json.dumps without escapes for characters beyond ASCII.
//
// A template reaches nothing outside: no files, no environment, no code. Three things differ from jinja2: an
// integer has 64 bits, methods of HTML text do not escape their arguments, and strings remember where they
// come from (text.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/chat/jinja/ast.h"
#include "coordinator/chat/jinja/text.h"
#include "coordinator/chat/jinja/value.h"

namespace deeprack::coordinator::jinja {

struct RenderLimits {
  int64_t steps = 20'000'000;  // evaluations of an expression or statement; long texts count for several
  size_t output_bytes = size_t{64} << 20;
  int depth = 1000;  // expressions, statements and macros that are under way at one time
};

class Template {
 public:
  // Errors: InvalidArgument with the line and the reason; ResourceExhausted for a template that is too large.
  static absl::StatusOr<Template> Parse(std::string_view source);

  // Renders with the variables. `now` is what strftime_now shows, in local time. Errors: InvalidArgument,
  // with the line and the reason, if the template cannot render these variables or calls raise_exception;
  // ResourceExhausted, with the line, beyond a limit. Thread-safe.
  absl::StatusOr<Text> Render(const Dict& variables, absl::Time now, const RenderLimits& limits = {}) const;

 private:
  explicit Template(Block statements) : statements_(std::make_shared<const Block>(std::move(statements))) {}

  std::shared_ptr<const Block> statements_;
};

}  // namespace deeprack::coordinator::jinja
