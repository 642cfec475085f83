// GET /get_model_info and /model_info: the model's folder, as in SGLang.
#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"

namespace deeprack::coordinator {

void ModelInfo(ApiContext& context, const ApiRequest&, const std::shared_ptr<HttpExchange>& exchange) {
  const ServedModel& model = context.model();
  const std::string& path = model.path.empty() ? model.name : model.path;
  RespondJson(*exchange, {{"model_path", path},
                          {"tokenizer_path", path},
                          {"is_generation", true},
                          {"preferred_sampling_params", nullptr},
                          {"weight_version", "default"},
                          {"has_image_understanding", false},
                          {"has_audio_understanding", false}});
}

}  // namespace deeprack::coordinator
