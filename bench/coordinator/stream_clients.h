// Clients of event streams in a process of their own: one thread, plain sockets, epoll. They read no JSON, so
// that the coordinator and not its clients has the processors.
#pragma once

#include <sys/types.h>
#include <cstdint>

namespace deeprack::bench {

// What the clients do. A value that goes through a pipe.
struct ClientsJob {
  uint16_t port = 0;
  int32_t streams = 1;         // closed loop: connections, each with one request after the other
  double rate = 0;             // > 0: open loop; requests that begin each second, on connections of their own
  double seconds = 0;          // open loop: how long requests begin. Closed loop: until Stop
  double ramp_per_second = 0;  // closed loop: connections that begin each second; 0: all at once
  int32_t output_tokens = 64;
  int32_t prompt_words = 24;
  bool own_prompts = false;    // each request has a prompt that no other one begins like
  double settle_seconds = 0;   // gaps that end earlier than this are not counted
  double goodput_seconds = 0;  // an answer is good if its last event comes within this time; 0: every answer
};

// What the clients saw. Times in milliseconds.
struct ClientsReport {
  int64_t finished = 0;  // streams that ended with [DONE]
  int64_t good = 0;      // of these, within goodput_seconds
  int64_t refused = 0;   // answers 429 and 503 with Retry-After
  int64_t failed = 0;    // all other ends
  int64_t events = 0;
  double first_p50 = 0, first_p99 = 0;      // from sending to the first event
  double gap_p50 = 0, gap_p99 = 0;          // between two reads with events of one stream
  double refusal_p50 = 0, refusal_p99 = 0;  // from sending to the whole refusal
  double refusal_most = 0;
  double processor_seconds = 0;  // of the clients' process
};

class StreamClients {
 public:
  // Forks the process. Call it before any thread is started.
  StreamClients();
  ~StreamClients();
  StreamClients(const StreamClients&) = delete;

  void Start(const ClientsJob& job);
  // Ends a closed loop at once: streams under way are closed and count as nothing.
  void Stop();
  // Waits until the clients have ended.
  ClientsReport Report();

 private:
  int jobs_ = -1, reports_ = -1;  // pipes
  pid_t process_ = -1;
};

}  // namespace deeprack::bench
