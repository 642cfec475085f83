// GET /v1/models, and /v1/models/NAME
#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void Models(ApiContext& context, const ApiRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
  const ServedModel& model = context.model();
  Json card = {{"id", model.name},
               {"object", "model"},
               {"created", model.created},
               {"owned_by", "deeprack"},
               {"max_model_len", model.max_context.load()}};
  if (model.dummy_weights) card["load_format"] = "dummy";  // answers are noise
  const std::string& name = request.id;
  if (name.empty()) {
    return RespondJson(*exchange, {{"object", "list"}, {"data", Json::array({card})}});
  }
  if (name == model.name) return RespondJson(*exchange, card);
  RespondError(*exchange, {.status = 404,
                           .type = "not_found_error",
                           .code = "model_not_found",
                           .message = absl::StrCat("the model \"", name, "\" is not served here; \"",
                                                   model.name, "\" is"),
                           .param = "model"});
}

}  // namespace deeprack::coordinator
