// `deeprack pack`.
#pragma once

#include "cli/serve/serve_options.h"

namespace deeprack::cli {

// Brings the cluster up as `serve` would with --packed options.packed and the full check, so that every rank
// leaves behind a packed file that was read whole and found right, or ends with the reason; then stops it.
// Files that are right already stay. Returns the exit code.
int Pack(ServeOptions options);

}  // namespace deeprack::cli
