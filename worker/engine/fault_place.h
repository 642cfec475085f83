// Follows a row of logits that is not finite back through the layers of the rank that draws. Steps whose
// numbers are finite never call this, so it costs them nothing.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/api/matrix.h"
#include "model/step/non_finite_row.h"
#include "sizing/rank_spec.h"
#include "worker/device/device.h"
#include "worker/kv_cache/kv_cache.h"

namespace deeprack::worker {

// Sets row.place and row.layer. A layer's KV entry is a function of the hidden state that enters the layer,
// so the first entry that is not finite names the layer that received the fault or made it. `hidden`: the row
// of the hidden state after the last layer, [1, H]. `slot`: the KV cache's slot of the row's position. All
// work of the step has ended. Waits for the device. Errors: the device's.
absl::Status FindFaultPlace(Device& device, const sizing::RankSpec& spec, const KvCache& cache,
                            const kernels::Matrix& hidden, int64_t slot, model::NonFiniteRow& row);

}  // namespace deeprack::worker
