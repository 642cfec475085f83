// `deeprack quantize IN OUT --type T`: writes a model with fewer bits a weight, as one GGUF file or as a
// folder (quantize_folder.h).
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/dtype.h"
#include "checkpoint/checkpoint_reader.h"
#include "model/config/model_config.h"
#include "model/tensors/tensor_registry.h"

namespace deeprack::cli {

struct QuantizeOptions {
  std::string in;   // a Hugging Face folder or a GGUF
  std::string out;  // a name that ends in .gguf; with --type INT4 and INT8 a folder, empty or not yet there
  std::string type = "Q4_K_M";
  int threads = 0;           // 0: one for each processor
  bool without_mtp = false;  // the MTP layers are left out
};

int ThreadsOf(const QuantizeOptions& options);

struct WrittenTensor {
  model::TensorKind kind;
  DType type = DType::kF32;
  int64_t parameters = 0;
  int64_t bytes = 0;
};

// Bits per weight and bytes of each kind of tensor and of the whole, as a table.
std::string QuantizationSummary(const std::vector<WrittenTensor>& tensors);

// True when the input has fewer bits than the model was trained with. The note is the warning for that case.
bool IsQuantisedAlready(const model::ModelConfig& config, const checkpoint::CheckpointReader& reader);
std::string QuantisedAlreadyNote(const std::string& in);

// Runs the command and returns the text for its end. InvalidArgument: the options. FailedPrecondition: a
// model that cannot be written. DataLoss: damaged or incomplete weights. Unavailable: the disk.
absl::StatusOr<std::string> RunQuantize(const QuantizeOptions& options);

int Quantize(const QuantizeOptions& options);

}  // namespace deeprack::cli
