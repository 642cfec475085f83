// `deeprack load`.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cli/load/load_options.h"
#include "cli/serve/with_server.h"

namespace deeprack::cli {

// Before a server is started for the test: reads the trace into `test`, and tries the files to write. Errors:
// those of ReadTraceFile; FailedPrecondition when a file cannot be written.
absl::Status ReadLoadFiles(const LoadOptions& options, LoadTest& test);

// Runs every level, prints its figures as soon as the level has ended, and writes the files. `test` is
// CheckLoadOptions', after ReadLoadFiles. Returns the exit code: 0, or the first error's when no request of a
// level succeeded.
int Load(const LoadOptions& options, const LoadTest& test, const Url& url, const Cancelled& cancelled);

// The error that a kind of failure (RequestRecord::error_kind) stands for. The exit code follows from this
// error.
absl::Status StatusOfFailure(absl::string_view kind, absl::string_view message);

}  // namespace deeprack::cli
