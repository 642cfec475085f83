// A CUDA card as a device. In a build without CUDA every function returns FailedPrecondition.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kernels/api/card_kernels.h"
#include "worker/device/device.h"

namespace deeprack::worker {

// The number of cards, at least 1. FailedPrecondition, with the reason: a build without CUDA, no driver, a
// driver that is too old, or no card.
absl::StatusOr<int> CountCards();

// FailedPrecondition: as CountCards, or there is no card `index`, or the card is too old.
absl::StatusOr<kernels::CardProperties> PropertiesOfCard(int index);

// A name that identifies the card among all machines: the machine's identity, a slash, and the card's PCI
// address.
absl::StatusOr<std::string> NameOfCard(int index);

// Opens card `index`. Only the calling thread may use the device. `threads` threads of the host pack weights.
// The stream in execution() is a cudaStream_t. `choice` says which kernels this card runs; by default all are
// plain kernels.
absl::StatusOr<std::unique_ptr<Device>> OpenCudaDevice(int index, int threads,
                                                       const kernels::KernelChoice& choice = {});

}  // namespace deeprack::worker
