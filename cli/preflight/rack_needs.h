// Which ranks run where, and what they take.
#pragma once

#include "absl/status/statusor.h"
#include "cli/preflight/judges.h"
#include "settings/settings.h"

namespace deeprack::cli {

// Gives the ranks of the layout to rack.hosts in order: as many as --hosts says where --hosts names these
// hosts, else an equal share.
void AssignRanks(const Settings& settings, preflight::Rack& rack);

// What each rank takes, counted as `deeprack plan` does. Backend auto means cards when every host that
// answers has one. Errors: the model's config cannot be read, or does not suit the settings.
absl::StatusOr<RackNeeds> CountNeeds(const Settings& settings, const preflight::Rack& rack);

}  // namespace deeprack::cli
