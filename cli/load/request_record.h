// What the client saw of one request.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deeprack::cli {

// Times are seconds since the client's start, by its monotonic clock.
struct RequestRecord {
  double planned = 0;  // when the request should have been sent
  double sent = 0;     // the client begins to open a connection, or takes an open one
  double first = 0;    // the first event with a token arrived; 0: none did
  double last = 0;     // the last event with a token arrived
  double ended = 0;    // [DONE] arrived, or the request failed

  int64_t prompt_tokens = -1;  // by the answer's usage; -1: the server did not say
  int64_t cached_tokens = -1;  // prompt tokens found in the prefix cache; -1: the server did not say
  int64_t output_tokens = 0;   // by the answer's usage; without usage the events with a token
  int64_t token_events = 0;    // events that carried a token
  std::vector<float>
      event_gaps;  // seconds between neighbouring events with a token: token_events - 1 of them

  std::string error_kind;     // "": the request succeeded
  std::string error_message;  // one example's details
  std::string answer;         // the text, where a later turn needs it

  bool ok() const { return error_kind.empty(); }
};

}  // namespace deeprack::cli
