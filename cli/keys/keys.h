// `deeprack keys`: makes, lists and removes the API keys of a file.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace deeprack::cli {

// Reads the end of a key's life: "30d", "12h" or "90m" from `now` on, or a UTC day "2027-01-31", at whose
// beginning the key ends. "never": InfiniteFuture. InvalidArgument: any other text, or a time that has
// passed.
absl::StatusOr<absl::Time> ParseExpiry(absl::string_view text, absl::Time now);

// Makes a key with this name, enters its hash into the file, and prints the key on standard output: it is
// stored nowhere. Makes the file if it does not exist. FailedPrecondition: the file has a key of this name.
absl::Status AddKey(const std::string& file, const std::string& name, absl::Time expires, absl::Time now);

// Prints name, beginning and end of every key.
absl::Status ListKeys(const std::string& file, absl::Time now);

// NotFound: the file has no key of this name.
absl::Status RemoveKey(const std::string& file, const std::string& name);

}  // namespace deeprack::cli
