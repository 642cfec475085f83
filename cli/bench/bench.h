// `deeprack bench`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/serve/with_server.h"

namespace deeprack::cli {

struct BenchOptions {
  std::string url;  // the URL of a running server; "": a cluster is started
  std::vector<int32_t> concurrency = {1, 8, 64};
  int32_t prompt_tokens = 512;
  int32_t output_tokens = 128;
  int64_t requests = 0;  // the requests of each level; 0: twice the level's streams, but at least 4
  uint64_t seed = 0;     // the seed of the prompts
};

// Sends the requests of every level to the server and prints the table, a line as soon as a level has ended.
// Prompts are random token ids, different for each request, so that no request finds the prompt of another
// one in the prefix cache. Returns the exit code: 0, or the first error's when no request of a level
// succeeded.
int Bench(const BenchOptions& options, const Url& url, const Cancelled& cancelled);

}  // namespace deeprack::cli
