// Assertions for bugs: they stay on in release builds, print where and why, and end the process.
// What can go wrong in operation is an absl::Status instead.
#pragma once

#include <cstdio>
#include <cstdlib>

#define DR_CHECK(condition)                                                                    \
  do {                                                                                         \
    if (!(condition)) [[unlikely]] {                                                           \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);       \
      std::abort();                                                                            \
    }                                                                                          \
  } while (false)
