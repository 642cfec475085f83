// Fuzzes the GGUF reader. A file is refused, or its tensors lie inside the file and do not overlap, and all
// code that uses its config and tokenizer accepts them.
#include <algorithm>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "checkpoint/gguf_tensors.h"
#include "coordinator/tokenizer/gguf_tokenizer.h"
#include "model/gguf/gguf_config.h"
#include "model/gguf/gguf_model.h"
#include "tests/fuzz/temporary_file.h"

namespace {

using namespace deeprack;

// The registry of a model with millions of tensors is valid but large; building it would find no errors.
constexpr int64_t kMostTensors = 1 << 14;

void CheckRefusal(const absl::Status& status) {
  DR_CHECK((absl::IsDataLoss(status) || absl::IsInvalidArgument(status)) && !status.message().empty());
}

void CheckTensors(const model::GgufModel& model, size_t file_bytes) {
  int64_t covered = 0;
  for (const model::GgufTensor& tensor : model.tensors()) {
    DR_CHECK(tensor.begin >= covered && tensor.bytes > 0);
    covered = tensor.begin + tensor.bytes;
    DR_CHECK(covered <= static_cast<int64_t>(file_bytes));
    DR_CHECK(std::all_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t n) { return n > 0; }));
    DR_CHECK(model.BytesOfTensor(tensor).size() == static_cast<size_t>(tensor.bytes));
  }
}

void CheckTokenizer(const model::GgufModel& model) {
  if (const auto adds = coordinator::GgufAddsBos(model); !adds.ok()) CheckRefusal(adds.status());
  const auto spec = coordinator::ReadGgufTokenizer(model);
  if (!spec.ok()) return CheckRefusal(spec.status());
  for (const auto& merge : spec->merges)
    DR_CHECK(std::max({merge.left, merge.right, merge.merged}) <= spec->largest_id);
  for (const auto& token : spec->added_tokens) DR_CHECK(token.id >= 0 && token.id <= spec->largest_id);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const TemporaryFile file(data, size);
  const auto model = model::GgufModel::Open(file.path());
  if (!model.ok()) {
    CheckRefusal(model.status());
    return 0;
  }
  CheckTensors(*model, size);
  CheckTokenizer(*model);
  if (const auto defaults = model::GenerationDefaultsOf(*model); !defaults.ok())
    CheckRefusal(defaults.status());
  const auto config = model::ConfigOf(*model);
  if (!config.ok()) {
    CheckRefusal(config.status());
    return 0;
  }
  DR_CHECK(config->attention_scale() > 0);
  if (config->num_hidden_layers > kMostTensors / (16 + 3 * config->n_routed_experts)) return 0;
  const auto tensors = checkpoint::GgufTensors::Open(file.path());
  if (!tensors.ok()) {
    CheckRefusal(tensors.status());
    return 0;
  }
  int64_t bytes = 0;
  for (const std::string& name : tensors->names()) {
    if (const auto* view = tensors->Find(name)) bytes += static_cast<int64_t>(view->bytes.size());
  }
  DR_CHECK(bytes <= static_cast<int64_t>(size));
  return 0;
}
