// Who sends a request. The value travels with the request; quotas and accounting will read it.
#pragma once

#include <string>

namespace deeprack::coordinator {

struct Caller {
  std::string key;  // the name of the API key that the request came with; empty: the server asks for no key
};

}  // namespace deeprack::coordinator
