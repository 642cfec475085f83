// Latency and bandwidth of the data plane: plain TCP between two hosts, as collectives use it.
//
// A connection begins with the listener's secret and one byte. The other host has got the secret over TLS
// (proto/preflight.proto). After the byte kEcho the listener sends back what it gets. After kCount the
// listener counts bytes until the stream ends, and answers with their number and the nanoseconds that they
// took.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "base/rpc/address.h"
#include "cli/preflight/tcp.h"

namespace deeprack::cli {

struct DataFigures {
  double round_trip_seconds = 0;  // median
  double bytes_per_second = 0;    // from this host to the other
};

// Answers one connection after the other on a thread of its own.
class DataListener {
 public:
  // Listens on any free port of `host`. Errors: those of Listen.
  static absl::StatusOr<std::unique_ptr<DataListener>> Start(const std::string& host);
  ~DataListener();

  int port() const { return PortOf(socket_); }
  const std::string& secret() const { return secret_; }

 private:
  DataListener(Socket socket, std::string secret);
  void Run();

  const Socket socket_;
  const std::string secret_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// Takes about a second. Unavailable: `address` does not answer, or the connection broke.
absl::StatusOr<DataFigures> MeasureData(const HostPort& address, const std::string& secret);

}  // namespace deeprack::cli
