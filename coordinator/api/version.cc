// GET /version
#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void Version(ApiContext&, const ApiRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  RespondJson(*exchange, {{"version", DEEPRACK_VERSION}});
}

}  // namespace deeprack::coordinator
