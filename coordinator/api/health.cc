// GET /health: 200 while the process can serve or is on the way to it, 503 when only a restart helps.
#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void Health(ApiContext& context, const ApiRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  const Readiness::Snapshot now = context.readiness().snapshot();
  const bool healthy = now.state != Readiness::State::kFailed;
  RespondJson(*exchange, {{"status", healthy ? "ok" : "failed"}, {"message", now.message}},
              healthy ? 200 : 503);
}

}  // namespace deeprack::coordinator
