#include "worker/decoder/dispatch_row_form.h"

#include "base/rounded_rows.h"
#include "sizing/step_buffers.h"

namespace deeprack::worker {

DispatchRowForm DispatchRowFormOf(const kernels::PackedWeight& gate_up, int64_t experts,
                                const model::ModelConfig& config, DType compute,
                                const kernels::KernelSet& kernels) {
  const bool rounded = kernels.dispatches_rounded != nullptr && kernels.dispatches_rounded(gate_up, experts);
  const int64_t hidden = config.hidden_size, element = static_cast<int64_t>(SizeOf(compute));
  DispatchRowForm rows = {.type = rounded ? DType::kF8E4M3 : compute,
                         .activation_bytes = rounded ? RoundedRowLayoutOf(hidden).bytes : hidden * element};
  rows.bytes = sizing::DispatchRowBytes(config, rows.activation_bytes);
  return rows;
}

}  // namespace deeprack::worker
