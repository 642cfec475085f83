// An asynchronous HTTP client for streamed answers: thousands of requests at once from a few threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/http/url.h"
#include "cli/load/client_strain.h"
#include "cli/load/request_record.h"

namespace deeprack::cli {

struct StreamClientOptions {
  Url url;
  std::string path;              // "/v1/chat/completions"
  int32_t threads = 1;           // network threads; each has its own share of the requests
  double request_seconds = 600;  // a request that takes longer fails with the kind "time-out"
};

// A request runs on one network thread from its beginning to its end. Connections are kept and used again. A
// connection that the server has closed in the meantime is replaced once, without a failure.
//
// error_kind of a record that failed:
//   "refused"              nothing listens at the address
//   "no connection"        another reason for which no connection was made
//   "client limit"         this machine gave no socket or port
//   "http STATUS CODE"     an answer that is not 200; CODE is error.code or error.type of its body
//   "error event CODE"     the server reported an error within the stream
//   "bad event"            an event that is no JSON object
//   "broken stream"        the connection ended before [DONE]
//   "no token"             [DONE] without a token before it
//   "time-out"
class StreamClient {
 public:
  using Done = std::function<void(RequestRecord)>;

  // Unavailable: the host's name has no address. Internal: a thread cannot be started.
  static absl::StatusOr<std::unique_ptr<StreamClient>> Start(const StreamClientOptions& options);
  // Ends all requests; `done` of a request that has not ended is not called.
  ~StreamClient();

  // Seconds since Start, by the monotonic clock.
  double Now() const;

  // Sends a request at the time `planned`, or at once when that has passed. `done` is called once, on a
  // network thread, and must return soon. `keep_text`: the record gets the answer's text.
  void Send(std::string body, double planned, bool keep_text, Done done);

  // Between the two calls the client measures itself. The second one's answer is without send_delay_p99.
  void BeginMeasuring();
  ClientStrain EndMeasuring();

 private:
  class Impl;
  explicit StreamClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace deeprack::cli
