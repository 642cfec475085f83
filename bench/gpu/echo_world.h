// A world in which all other ranks are copies of this one: its engine runs as it would in a rack, its
// exchanges are copies of as many bytes on its own device (echo_kernels.h).
#pragma once

#include <cstdint>
#include <memory>

#include "bench/gpu/echo_kernels.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "worker/collectives/communicator.h"
#include "worker/decoder/travelling_rows.h"
#include "worker/device/device.h"

namespace deeprack::bench {

// What all parts of such a world know.
struct EchoShape {
  int64_t ranks = 0;
  int64_t dispatch_row_bytes = 0;
  int64_t sum_row_bytes = 0;  // of what comes back
  EchoRouting routing;
};
// The layout's ranks are one stage of whole experts, tp 1.
EchoShape EchoShapeOf(const model::ModelConfig& config, const model::Layout& layout,
                      const worker::TravellingRows& rows);

// Rank 0 of shape.ranks. Gathering brings this rank's values for each; once `exchanging` says that steps run,
// what is gathered are counts of rows (EchoCounts), and exchanges alternate between dispatch and combine, as
// the decoder's all_to_all experts make them. Everything else that ranks do together is Unimplemented. The
// device and `exchanging` outlive it.
std::unique_ptr<worker::Communicator> MakeEchoWorld(const EchoShape& shape, worker::Device* device,
                                                    const bool* exchanging);

// kernels' peer_exchange among such ranks, the others as they are. One shape at a time in a program, since
// operations are plain functions.
kernels::KernelSet WithEchoedPeers(const kernels::KernelSet& kernels, const EchoShape& shape);

}  // namespace deeprack::bench
