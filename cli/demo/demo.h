// `deeprack demo`, which `make demo` runs: serves the demo model on two ranks, asks the demo's questions over
// HTTP and checks the answers.
#pragma once

namespace deeprack::cli {

// Prints each question, the streamed reasoning and answer, and as the last line "demo: 3 of 3 answers right".
// Returns the exit code: 0 when all answers are right.
int Demo();

}  // namespace deeprack::cli
