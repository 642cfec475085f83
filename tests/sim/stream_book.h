// The streams of a simulation, checked event by event against the streams that their requests have alone.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "coordinator/request/request.h"
#include "tests/sim/workload.h"

namespace deeprack::coordinator::sim {

struct Stream {
  Request request;
  ExpectedStream expected;
  std::vector<TokenId> tokens;
  FinishReason finish = FinishReason::kNone;
  int32_t prompt_logprobs = 0;  // delivered
  bool cancelled = false;       // the request was cancelled
  // The reason why the stream may end with kError at any time; empty: there is none.
  std::string may_fail;
  int broken_steps = 0;  // broken steps since the last decode
};

class StreamBook {
 public:
  void Open(SequenceId id, const Request& request, const SchedulerLimits& limits) {
    streams_.emplace(id, Stream{.request = request, .expected = ExpectedStream(limits, request)});
    ++live_;
  }

  // Internal, naming the sequence: the event is not the next one of this stream.
  absl::Status Take(const TokenEvent& event);

  // The caches or the context are smaller from now on.
  void Shrink(int64_t positions);
  // Every stream may now end with kError.
  void MayFail(const std::string& why);
  // No stream gets an event any more: the coordinator has died.
  void CutAll();

  // Internal: some stream has no last event.
  absl::Status CheckAllEnded() const;

  Stream& at(SequenceId id) { return streams_.at(id); }
  int64_t live() const { return live_; }
  int64_t opened() const { return std::ssize(streams_); }
  const std::map<SequenceId, Stream>& streams() const { return streams_; }

 private:
  absl::Status CheckToken(Stream& stream, const TokenEvent& event);
  absl::Status CheckPromptLogprobs(Stream& stream, const TokenEvent& event) const;
  absl::Status CheckFinish(const Stream& stream, const TokenEvent& event) const;

  std::map<SequenceId, Stream> streams_;
  int64_t live_ = 0;
};

}  // namespace deeprack::coordinator::sim
