// `deeprack bench`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/serve/with_server.h"

namespace deeprack::cli {

struct BenchOptions {
  std::string url;  // "": a cluster is started
  std::vector<int32_t> concurrency = {1, 8, 64};
  int32_t prompt_tokens = 512;
  int32_t output_tokens = 128;
  int64_t requests = 0;  // of each level; 0: twice its concurrency, 4 at least
  uint64_t seed = 0;     // of the prompts
};

// Sends every level's requests to the server and prints the table, a line as soon as its level has ended.
// Prompts are random token ids, different for each request, so that none finds another's in the prefix cache.
// Returns the exit code: that of the first error where a level had no success.
int Bench(const BenchOptions& options, const Url& url, const Cancelled& cancelled);

}  // namespace deeprack::cli
