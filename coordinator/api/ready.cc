// GET /ready: 200 when requests are served, 503 with the loading progress or the reason when not.
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void Ready(ApiContext& context, const HttpRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  const Readiness::Snapshot now = context.readiness().snapshot();
  exchange->Respond({.status = now.state == Readiness::State::kReady ? 200 : 503, .body = ToJson(now)});
}

}  // namespace deeprack::coordinator
