// The work itself: every tensor of a plan read, converted and written, on several threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "checkpoint/gguf_writer.h"
#include "cli/quantize/tensor_plan.h"
#include "cli/quantize/weight_source.h"

namespace deeprack::cli {

// `report` is told how many bytes of tensors are written, from one thread at a time. Takes some tens of
// megabytes a thread. The file's bytes do not depend on `threads`. The first error ends all: DataLoss (a
// damaged weight), FailedPrecondition (a weight that F16 cannot hold), Unavailable (the disk).
absl::Status QuantizeTensors(const std::vector<PlannedTensor>& plan, const WeightSource& source, int threads,
                             checkpoint::TensorFileWriter& writer,
                             const std::function<void(int64_t written)>& report);

}  // namespace deeprack::cli
