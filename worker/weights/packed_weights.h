// Weights that start at once: mapped from a file that an earlier start packed.
#pragma once

#include "absl/status/statusor.h"
#include "worker/device/device.h"
#include "worker/weights/packed_options.h"
#include "worker/weights/weight_loader.h"

namespace deeprack::worker {

// LoadWeights, by way of the rank's file in packed.folder, if one is named: a file that fits is mapped
// (copied where the host does not share the device's memory), with the same bytes; any other is named in the
// log with what is wrong with it, and replaced by what LoadWeights made. Mapped pages are read when they are
// first needed, and are the system's to drop and read again. Errors: LoadWeights', and with full_check those
// of WritePackedFile and PackedFile::Verify for a file that was written now.
absl::StatusOr<LoadedWeights> LoadPackedWeights(const RankWeights& source, const PackedOptions& packed,
                                                Device& device, const LoadProgress& progress);

}  // namespace deeprack::worker
