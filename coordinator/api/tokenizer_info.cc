// GET /tokenizer_info: the tokenizer's configuration, as in vLLM.
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void TokenizerInfo(ApiContext& context, const ApiRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  exchange->Respond({.body = context.model().tokenizer_config});
}

}  // namespace deeprack::coordinator
