// GET /metrics: the Prometheus text format.
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void Metrics(ApiContext& context, const ApiRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  std::optional<ServingStats> stats;
  if (const StepLoop* loop = context.loop()) stats = loop->Stats();
  exchange->Respond(
      {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = context.metrics().Render(stats)});
}

}  // namespace deeprack::coordinator
