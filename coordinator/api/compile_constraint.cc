#include "coordinator/api/compile_constraint.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "constraint/compiler.h"

namespace deeprack::coordinator {
namespace {

std::optional<ApiError> ErrorOf(const absl::Status& status, const std::string& field) {
  if (status.ok()) return std::nullopt;
  const std::string message = absl::StrCat(field, ": ", std::string(status.message()));
  if (absl::IsInvalidArgument(status) || absl::IsDeadlineExceeded(status)) {
    return BadRequest("unsupported_constraint", field, message);
  }
  return FromStatus(absl::Status(status.code(), message));
}

}  // namespace

void CompileConstraint(ApiContext& context, const GenerationRequest& request,
                       const std::shared_ptr<HttpExchange>& exchange,
                       std::function<void(std::optional<ApiError>)> next) {
  if (!request.request.constraint) return next(std::nullopt);
  constraint::Compiler* compiler = context.constraints();
  const std::string& field = request.constraint_field;
  if (compiler == nullptr) {
    return next(BadRequest(
        "unsupported_constraint", field,
        absl::StrCat(field, ": this model has no end token, so that no answer can be bounded by a form")));
  }
  const model::Constraint& asked = *request.request.constraint;
  compiler->Compile(asked.spec, [exchange, field, prefix = asked.prefix,
                                 next = std::move(next)](const constraint::Compiler::Result& result) {
    absl::Status status = result.status();
    if (status.ok() && !prefix.empty()) status = (*result)->NewMatcher(prefix).status();
    exchange->Post([next, error = ErrorOf(status, field)] { next(error); });
  });
}

}  // namespace deeprack::coordinator
