// GET /ready: 200 while requests are served, else 503; the body has the progress and the reason.
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void Ready(ApiContext& context, const ApiRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  const Readiness::Snapshot now = context.readiness().snapshot();
  const bool ready = now.state == Readiness::State::kReady && !now.draining;
  exchange->Respond({.status = ready ? 200 : 503, .body = ToJson(now)});
}

}  // namespace deeprack::coordinator
