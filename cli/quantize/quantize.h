// `deeprack quantize IN OUT --type T`: a model as one GGUF file, with weights of fewer bits.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/quantize/quant_type.h"
#include "cli/quantize/tensor_plan.h"

namespace deeprack::cli {

struct QuantizeOptions {
  std::string in;   // a Hugging Face folder or a GGUF
  std::string out;  // a name that ends in .gguf
  std::string type = "Q4_K_M";
  int threads = 0;  // 0: as many as the machine has
};

// Bits per weight and bytes of each kind of tensor and of the whole, as a table.
std::string QuantizationSummary(const std::vector<PlannedTensor>& plan);

// The whole command but its exit code: what it has to say at the end. InvalidArgument (the options),
// FailedPrecondition (a model that cannot be written), DataLoss (damaged or incomplete weights), Unavailable
// (the disk).
absl::StatusOr<std::string> RunQuantize(const QuantizeOptions& options);

int Quantize(const QuantizeOptions& options);

}  // namespace deeprack::cli
