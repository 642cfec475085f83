// A world in which all other ranks are copies of this rank. The engine runs as in a rack; exchanges copy the
// same number of bytes on the rank's own device (echo_kernels.h).
#pragma once

#include <cstdint>
#include <memory>

#include "bench/gpu/echo_kernels.h"
#include "model/config/model_config.h"
#include "model/layout/layout.h"
#include "worker/collectives/communicator.h"
#include "worker/decoder/dispatch_row_form.h"
#include "worker/device/device.h"

namespace deeprack::bench {

// The sizes that all parts of the world share.
struct EchoShape {
  int64_t ranks = 0;
  int64_t dispatch_row_bytes = 0;
  int64_t sum_row_bytes = 0;  // of a row that comes back
  EchoRouting routing;
};
// The layout's ranks are one stage of whole experts, tp 1.
EchoShape EchoShapeOf(const model::ModelConfig& config, const model::Layout& layout,
                      const worker::DispatchRowForm& rows);

// The communicator of rank 0 of shape.ranks. A gather returns this rank's values for every rank. Once
// *exchanging is true, steps run: gathers are of row counts (EchoCounts), and exchanges alternate
// between dispatch and combine, as all_to_all experts do. All other calls are Unimplemented. The device and
// `exchanging` outlive the communicator.
std::unique_ptr<worker::Communicator> MakeEchoWorld(const EchoShape& shape, worker::Device* device,
                                                    const bool* exchanging);

// `kernels` with a peer_exchange among such ranks. A program has one shape at a time, since operations are
// plain functions.
kernels::KernelSet WithEchoedPeers(const kernels::KernelSet& kernels, const EchoShape& shape);

}  // namespace deeprack::bench
