// Reads, converts and writes every tensor of a plan, on several threads.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/gguf_writer.h"
#include "cli/quantize/quantize_progress.h"
#include "cli/quantize/tensor_plan.h"
#include "cli/quantize/weight_source.h"

namespace deeprack::cli {

// `progress` counts bytes of tensors that are written. A thread takes some tens of megabytes. The file's
// bytes do not depend on `threads`. The first error ends the work. DataLoss: a damaged weight.
// FailedPrecondition: a weight that F16 cannot hold. Unavailable: the disk.
absl::Status QuantizeTensors(const std::vector<PlannedTensor>& plan, const WeightSource& source, int threads,
                             checkpoint::TensorFileWriter& writer, QuantizeProgress& progress);

}  // namespace deeprack::cli
