// `deeprack demo`, what `make demo` runs: the demo model on two ranks, its questions asked over HTTP, its
// answers checked.
#pragma once

namespace deeprack::cli {

// Prints each question, the streamed reasoning and answer, and as the last line "demo: 3 of 3 answers right".
// Returns 0 only when all are.
int Demo();

}  // namespace deeprack::cli
