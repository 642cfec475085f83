// The id of a request, by which a client and the server's log name the same request.
#pragma once

#include <cstdint>
#include <mutex>
#include <random>
#include <string>

#include "absl/strings/string_view.h"

namespace deeprack::coordinator {

// True for 1 to 128 letters, digits and "-_.:/+=": an id that a client may choose.
bool IsRequestId(absl::string_view text);

// Makes ids that differ: 32 hexadecimal digits. Thread-safe.
class RequestIds {
 public:
  RequestIds() : random_(std::random_device{}()) {}
  std::string Make();

 private:
  std::mutex mutex_;
  std::mt19937_64 random_;
};

}  // namespace deeprack::coordinator
