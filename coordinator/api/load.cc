// GET /load: the number of sequences that run or wait, as in vLLM. 0 until the model is loaded.
#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void Load(ApiContext& context, const ApiRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  const StepLoop* loop = context.loop();
  const ServingStats stats = loop == nullptr ? ServingStats() : loop->Stats();
  RespondJson(*exchange, {{"server_load", stats.running + stats.waiting}});
}

}  // namespace deeprack::coordinator
