// GET /v1/models, and /v1/models/NAME
#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {
namespace {

Json Card(const ServedModel& model, const std::string& name) {
  Json card = {{"id", name},
               {"object", "model"},
               {"created", model.created},
               {"owned_by", "deeprack"},
               {"root", model.path.empty() ? model.name : model.path},
               {"parent", nullptr},
               {"max_model_len", model.max_context.load()}};
  if (model.dummy_weights) card["load_format"] = "dummy";  // answers are noise
  return card;
}

}  // namespace

void Models(ApiContext& context, const ApiRequest& request, const std::shared_ptr<HttpExchange>& exchange) {
  const ServedModel& model = context.model();
  if (request.id.empty()) {
    Json cards = Json::array({Card(model, model.name)});
    for (const std::string& name : model.further_names) cards.push_back(Card(model, name));
    return RespondJson(*exchange, {{"object", "list"}, {"data", std::move(cards)}});
  }
  if (const std::string* name = model.FindName(request.id)) return RespondJson(*exchange, Card(model, *name));
  RespondError(*exchange, {.status = 404,
                           .type = "not_found_error",
                           .code = "model_not_found",
                           .message = absl::StrCat("the model \"", request.id, "\" is not served here; \"",
                                                   model.name, "\" is"),
                           .param = "model"});
}

}  // namespace deeprack::coordinator
