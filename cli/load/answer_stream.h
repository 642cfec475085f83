// Turns the bytes of a streamed answer into the record of its request. Pure: the caller gives the time.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "cli/http/sse_reader.h"
#include "cli/load/request_record.h"

namespace deeprack::cli {

class AnswerStream {
 public:
  // Writes into `record`, which outlives this object.
  AnswerStream(RequestRecord& record, bool keep_text) : record_(record), keep_text_(keep_text) {}

  // Bytes of the body that arrived at `now`, in pieces of any size.
  void Feed(absl::string_view bytes, double now);
  // The connection has ended at `now`, with the reason as text.
  void End(absl::string_view reason, double now);

  bool done() const { return done_; }  // [DONE] has arrived or the request has failed

 private:
  void TakeEvent(const std::string& data, double now);
  void Fail(std::string kind, std::string message, double now);

  RequestRecord& record_;
  const bool keep_text_;
  SseReader reader_;
  bool usage_seen_ = false;  // an event has stated the output tokens so far
  bool done_ = false;
};

}  // namespace deeprack::cli
