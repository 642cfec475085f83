// Reads a large request away from the threads that serve connections. The HTTP core's pool bounds the number
// and the bytes of requests that wait.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

#include "coordinator/api/api_context.h"
#include "coordinator/api/api_error.h"
#include "coordinator/api/http_server.h"

namespace deeprack::coordinator {

// Runs `read` on the pool, and then on the connection's executor the function that `read` returns, which
// answers. Neither runs once the client has gone. Answers 500 if `read` throws, and 429 if the pool is full;
// `what` names the waiting things in that message ("large request bodies"). `bytes` is the size of what is
// read. Call on the connection's executor. `context` outlives the exchange.
void ReadAside(ApiContext& context, const std::shared_ptr<HttpExchange>& exchange, ErrorShape errors,
               size_t bytes, const char* what, std::function<std::function<void()>()> read);

}  // namespace deeprack::coordinator
