// How a request shows its API key, and what the key changes.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "coordinator/access/caller.h"

namespace deeprack::coordinator {

// The key of a request with these headers: the key in "Authorization: Bearer KEY", else x-api-key. Empty:
// none.
absl::string_view KeyOfHeaders(absl::string_view authorization, absl::string_view x_api_key);

// The salt of the prefix cache for a request of `caller` with the client's own salt. Requests of different
// keys have different salts, so that no caller learns from the cache what another caller has sent.
std::string CacheSalt(const Caller& caller, absl::string_view of_client);

}  // namespace deeprack::coordinator
