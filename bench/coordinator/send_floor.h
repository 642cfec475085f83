// What the kernel alone takes for the events of many streams: one thread that sends the same bytes to every
// connection in turn, and does nothing else. No coordinator can be cheaper with one write for each event.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/time/time.h"

namespace deeprack::bench {

class SendFloor {
 public:
  // Accepts `streams` connections. Then each of them gets an event of 300 bytes in every `pace`.
  SendFloor(int streams, absl::Duration pace);
  ~SendFloor();
  SendFloor(const SendFloor&) = delete;

  uint16_t port() const { return port_; }
  int64_t sent() const { return sent_; }  // events

 private:
  void Run(int streams, absl::Duration pace);

  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopped_{false};
  std::atomic<int64_t> sent_{0};
  std::vector<int> sockets_;
  std::thread thread_;
};

}  // namespace deeprack::bench
