// Sends the sessions of one level, in an open or a closed loop, and gathers the records.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "cli/http/http_client.h"
#include "cli/load/request_body.h"
#include "cli/load/request_record.h"
#include "cli/load/session_plan.h"
#include "cli/load/stream_client.h"

namespace deeprack::cli {

struct LoadRun {
  std::vector<RequestRecord> records;  // of the requests that were sent, by their end
  int64_t not_sent = 0;                // later turns of sessions in which a turn failed
  bool cancelled = false;              // the run was cut short, and `records` is not complete
};

// `streams` 0: an open loop. Every session begins at its start, whether earlier ones have ended or not.
// Otherwise a closed loop: `streams` sessions are under way at once, and the next one begins when one has
// ended. In both, a later turn of a session waits for the earlier answer and then for its think time. A turn
// that fails ends its session. `on_progress` gets the number of ended requests, several times a second.
LoadRun RunSessions(const std::vector<SessionPlan>& sessions, int64_t streams, const BodyMaker& bodies,
                    StreamClient& client, const Cancelled& cancelled,
                    const std::function<void(int64_t)>& on_progress);

}  // namespace deeprack::cli
