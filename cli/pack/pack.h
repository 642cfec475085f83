// `deeprack pack`.
#pragma once

#include "settings/settings.h"

namespace deeprack::cli {

// Starts the cluster as `serve` does with --packed options.packed and the full check of packed files, then
// stops the cluster. Every rank writes its packed file and checks all of it, or keeps the file that is
// already right. Returns the exit code.
int Pack(Settings options);

}  // namespace deeprack::cli
