#include "coordinator/chat/jinja/template.h"

#include <utility>

#include "base/status_macros.h"
#include "coordinator/chat/jinja/interpreter.h"
#include "coordinator/chat/jinja/parser.h"

namespace deeprack::coordinator::jinja {

absl::StatusOr<Template> Template::Parse(std::string_view source) {
  DR_ASSIGN_OR_RETURN(Block statements, ParseTemplate(source));
  return Template(std::move(statements));
}

absl::StatusOr<Text> Template::Render(const Dict& variables, absl::Time now,
                                      const RenderLimits& limits) const {
  return Interpreter(variables, now, limits).Run(*statements_);
}

}  // namespace deeprack::coordinator::jinja
