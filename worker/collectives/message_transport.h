// Messages between the processes of one world, from point to point. MessageCommunicator makes all of a
// communicator's calls of them. mpi/ and gloo/ implement this.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace deeprack::worker {

// One thread at a time starts and finishes messages. Break may be called from any thread at any time.
class MessageTransport {
 public:
  virtual ~MessageTransport() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Start a message of bytes > 0 with rank `to` or `from` of the world. Messages between two ranks with the
  // same tag arrive in the order of their sends. The buffer must live until Finish. Errors break the
  // transport and are returned as Aborted.
  virtual absl::Status StartSend(const void* data, int64_t bytes, int to, int tag) = 0;
  virtual absl::Status StartReceive(void* data, int64_t bytes, int from, int tag) = 0;

  // Waits until all messages are done that were started since the last Finish. When `timeout` has passed
  // since `start`, breaks the transport and returns DeadlineExceeded with a rank that it waited for. After
  // any error no message touches its buffer any more. Must follow the Start calls, also after an error of one
  // of them.
  virtual absl::Status Finish(std::chrono::steady_clock::time_point start, absl::Duration timeout,
                              const char* what) = 0;

  // Ends every message under way, and every later one at once, with Aborted. Tells the other ranks, so that
  // their calls end at once and not at their deadline.
  virtual void Break(const std::string& why) = 0;
  // OK, or Aborted with the reason.
  virtual absl::Status CheckIntact() = 0;

  // Tag 0 is the transport's own. The group of all ranks has the next kTagsPerGroup tags. A new group takes
  // kTagsPerGroup tags that are free on all its members: they begin at the highest of the members'
  // proposed_tag().
  static constexpr int kFirstTag = 1;
  static constexpr int kTagsPerGroup = 2;
  static constexpr int kLargestTag = 32767;  // every transport has the tags up to this one
  int proposed_tag() const { return next_tag_; }
  void TakeTags(int first) { next_tag_ = first + kTagsPerGroup; }

 private:
  int next_tag_ = kFirstTag + kTagsPerGroup;
};

}  // namespace deeprack::worker
