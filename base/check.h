// DR_CHECK asserts what only a bug can make false. It stays on in release builds: it prints file, line and
// condition to standard error and aborts the process. Errors of operation are returned as absl::Status.
#pragma once

#include <cstdio>
#include <cstdlib>

#define DR_CHECK(condition)                                                              \
  do {                                                                                   \
    if (!(condition)) [[unlikely]] {                                                     \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)
