#include "cli/preflight/data_probe.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "cli/preflight/median.h"

namespace deeprack::cli {
namespace {

constexpr size_t kSecretBytes = 16;
constexpr char kEcho = 'e', kCount = 'c';
constexpr size_t kSmall = 64;         // bytes of a round trip
constexpr size_t kPiece = 256 << 10;  // bytes of one send
constexpr int kRoundTrips = 200;
constexpr absl::Duration kRoundTripTime = absl::Milliseconds(500);  // the most for all round trips
constexpr absl::Duration kSendTime = absl::Milliseconds(500);
constexpr absl::Duration kWarmUp = absl::Milliseconds(100);  // bytes of this time are not counted
constexpr absl::Duration kConnectPatience = absl::Seconds(5);
constexpr absl::Duration kPatience = absl::Seconds(5);
constexpr absl::Duration kSecretPatience = absl::Seconds(1);
constexpr absl::Duration kTick = absl::Milliseconds(100);

using Count = std::array<uint64_t, 2>;  // bytes, nanoseconds; of the sender's byte order

absl::StatusOr<std::string> NewSecret() {
  std::string secret(kSecretBytes, '\0');
  if (getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size()))
    return absl::UnavailableError("the system gives no random bytes");
  return secret;
}

// In a time that does not depend on the bytes.
bool IsEqual(const std::string& a, const char* b) {
  unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[i]);
  return difference == 0;
}

void SendBack(const Socket& socket) {
  char piece[kSmall];
  while (true) {
    const auto got = ReceiveSome(socket, piece, sizeof(piece), kPatience);
    if (!got.ok() || *got == 0 || !SendAll(socket, piece, *got, kPatience).ok()) return;
  }
}

void CountBytes(const Socket& socket) {
  std::vector<char> piece(kPiece);
  const absl::Time begin = absl::Now();
  absl::Time first = absl::InfiniteFuture(), last = begin;  // of the bytes that count
  Count count{};
  while (true) {
    const auto got = ReceiveSome(socket, piece.data(), piece.size(), kPatience);
    if (!got.ok()) return;
    if (*got == 0) break;
    const absl::Time now = absl::Now();
    if (first != absl::InfiniteFuture()) {
      count[0] += *got;
      last = now;
    } else if (now - begin >= kWarmUp) {
      first = last = now;
    }
  }
  count[1] =
      first == absl::InfiniteFuture() ? 0 : static_cast<uint64_t>(absl::ToInt64Nanoseconds(last - first));
  (void)SendAll(socket, reinterpret_cast<const char*>(count.data()), sizeof(count), kPatience);
}

absl::StatusOr<Socket> Open(const HostPort& address, const std::string& secret, char task) {
  DR_ASSIGN_OR_RETURN(Socket socket, Connect(address, kConnectPatience));
  const std::string hello = secret + task;
  DR_RETURN_IF_ERROR(SendAll(socket, hello.data(), hello.size(), kPatience));
  return socket;
}

absl::StatusOr<double> RoundTripSeconds(const HostPort& address, const std::string& secret) {
  DR_ASSIGN_OR_RETURN(const Socket socket, Open(address, secret, kEcho));
  char data[kSmall] = {};
  return MedianRoundTrip(kRoundTrips, kRoundTripTime, [&] {
    const absl::Status sent = SendAll(socket, data, sizeof(data), kPatience);
    return sent.ok() ? ReceiveAll(socket, data, sizeof(data), kPatience) : sent;
  });
}

absl::StatusOr<double> BytesPerSecond(const HostPort& address, const std::string& secret) {
  DR_ASSIGN_OR_RETURN(const Socket socket, Open(address, secret, kCount));
  const std::vector<char> piece(kPiece);
  const absl::Time end = absl::Now() + kSendTime;
  while (absl::Now() < end) {
    DR_RETURN_IF_ERROR(SendAll(socket, piece.data(), piece.size(), kPatience));
  }
  EndSending(socket);
  Count count{};
  // Bytes that this host's buffers still hold are sent meanwhile.
  DR_RETURN_IF_ERROR(ReceiveAll(socket, reinterpret_cast<char*>(count.data()), sizeof(count), 2 * kPatience));
  if (count[1] == 0) return absl::UnavailableError("the link is too slow to be measured");
  return static_cast<double>(count[0]) / (static_cast<double>(count[1]) * 1e-9);
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataListener>> DataListener::Start(const std::string& host) {
  DR_ASSIGN_OR_RETURN(std::string secret, NewSecret());
  DR_ASSIGN_OR_RETURN(Socket socket, Listen({.host = host, .port = 0}));
  return std::unique_ptr<DataListener>(new DataListener(std::move(socket), std::move(secret)));
}

DataListener::DataListener(Socket socket, std::string secret)
    : socket_(std::move(socket)), secret_(std::move(secret)), thread_([this] { Run(); }) {}

DataListener::~DataListener() {
  stop_ = true;
  thread_.join();
}

void DataListener::Run() {
  while (!stop_) {
    const auto peer = Accept(socket_, kTick);
    char hello[kSecretBytes + 1];
    if (!peer.ok() || !ReceiveAll(*peer, hello, sizeof(hello), kSecretPatience).ok()) continue;
    if (!IsEqual(secret_, hello)) continue;
    if (hello[kSecretBytes] == kEcho) SendBack(*peer);
    if (hello[kSecretBytes] == kCount) CountBytes(*peer);
  }
}

absl::StatusOr<DataFigures> MeasureData(const HostPort& address, const std::string& secret) {
  if (secret.size() != kSecretBytes)
    return absl::InvalidArgumentError("the data port's secret has the wrong length");
  DataFigures figures;
  DR_ASSIGN_OR_RETURN(figures.round_trip_seconds, RoundTripSeconds(address, secret));
  DR_ASSIGN_OR_RETURN(figures.bytes_per_second, BytesPerSecond(address, secret));
  return figures;
}

}  // namespace deeprack::cli
