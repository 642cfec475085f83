// Loads weights from a file that an earlier start packed.
#pragma once

#include "absl/status/statusor.h"
#include "worker/device/device.h"
#include "worker/weights/packed_options.h"
#include "worker/weights/weight_loader.h"

namespace deeprack::worker {

// Loads the same bytes as LoadWeights. With packed.folder, a file there that matches is mapped (copied, if
// the host does not share the device's memory). Any other file is logged with the reason, and replaced by
// what LoadWeights made. Mapped pages are read when they are first used; the system may drop and read them
// again. Errors: those of LoadWeights; with full_check also those of WritePackedFile and PackedFile::Verify
// for a file written now.
absl::StatusOr<LoadedWeights> LoadPackedWeights(const RankWeights& source, const PackedOptions& packed,
                                                Device& device, const LoadProgress& progress);

}  // namespace deeprack::worker
