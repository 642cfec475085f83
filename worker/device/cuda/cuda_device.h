// A CUDA card as a device. In a build without CUDA everything here answers that it is one.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/api/card_kernels.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// How many cards there are, at least 1. FailedPrecondition says why there is none: a build without CUDA, no
// driver or one that is too old, no card.
absl::StatusOr<int> CountCards();

// FailedPrecondition: as above, or no card of that index, or one that is too old.
absl::StatusOr<kernels::CardProperties> PropertiesOfCard(int index);

// Names a card among those of all machines: the machine's identity and the card's bus address.
absl::StatusOr<std::string> NameOfCard(int index);

// Opens a card for the calling thread, which is the one that uses it; `threads` of the host pack weights. Its
// execution()'s stream is a cudaStream_t. `choice` is of the kernels that suit this card; by default all are
// plain.
absl::StatusOr<std::unique_ptr<Device>> OpenCudaDevice(int index, int threads,
                                                       const kernels::KernelChoice& choice = {});

}  // namespace deeprack::worker
