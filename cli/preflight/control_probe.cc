#include "cli/preflight/control_probe.h"

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/rpc/address.h"
#include "base/rpc/credentials.h"
#include "base/rpc/status.h"
#include "base/status_macros.h"
#include "cli/preflight/median.h"
#include "cli/preflight/tcp.h"

namespace deeprack::cli {
namespace {

constexpr int kRoundTrips = 100;
constexpr absl::Duration kRoundTripTime = absl::Milliseconds(300);
constexpr absl::Duration kRateTime = absl::Milliseconds(300);

// One connection to an Echo service.
class EchoClient {
 public:
  EchoClient(const std::shared_ptr<grpc::Channel>& channel, absl::Time deadline)
      : stub_(preflight::Echo::NewStub(channel)), deadline_(deadline) {}

  absl::Status Send(const preflight::Payload& request) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline_));
    preflight::Payload reply;
    return FromGrpc(stub_->Send(&context, request, &reply));
  }

  absl::StatusOr<double> RoundTripSeconds() {
    return MedianRoundTrip(kRoundTrips, kRoundTripTime, [this] { return Send({}); });
  }

  // `request` has, or asks for, kLargestReplyBytes. The first message opens TCP's windows and is not counted.
  absl::StatusOr<double> BytesPerSecond(const preflight::Payload& request) {
    DR_RETURN_IF_ERROR(Send(request));
    const absl::Time begin = absl::Now();
    double bytes = 0;
    do {
      DR_RETURN_IF_ERROR(Send(request));
      bytes += kLargestReplyBytes;
    } while (absl::Now() - begin < kRateTime);
    return bytes / absl::ToDoubleSeconds(absl::Now() - begin);
  }

 private:
  const std::unique_ptr<preflight::Echo::Stub> stub_;
  const absl::Time deadline_;
};

absl::Status Refused(const std::string& address, const absl::Status& status) {
  return absl::UnavailableError(
      absl::StrCat(address, ": the port answers, gRPC does not (", status.message(),
                   "): certificates of another authority, or another program listens there"));
}

}  // namespace

grpc::Status EchoService::Send(grpc::ServerContext* context, const preflight::Payload* request,
                               preflight::Payload* response) {
  if (request->reply_bytes() > kLargestReplyBytes)
    return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "reply_bytes is too large");
  response->set_data(std::string(request->reply_bytes(), '\0'));
  return grpc::Status::OK;
}

std::shared_ptr<grpc::Channel> OpenChannel(const std::string& address, const std::optional<ClusterTls>& tls) {
  grpc::ChannelArguments arguments;
  // Each channel has a connection of its own, so that a measurement shares none.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto credentials = ChannelCredentials(tls, arguments);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

absl::StatusOr<preflight::ControlFigures> MeasureControl(const std::string& address,
                                                         const std::optional<ClusterTls>& tls,
                                                         absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  DR_ASSIGN_OR_RETURN(const HostPort at, ParseHostPort(address));
  DR_RETURN_IF_ERROR(Connect(at, std::min(patience, absl::Seconds(5))).status());
  EchoClient client(OpenChannel(address, tls), deadline);
  preflight::ControlFigures figures;
  const absl::Status first = client.Send({});  // opens the connection
  if (absl::IsUnimplemented(first)) return figures;
  if (!first.ok()) return Refused(address, first);
  DR_ASSIGN_OR_RETURN(const double round_trip, client.RoundTripSeconds());
  figures.set_round_trip_seconds(round_trip);
  preflight::Payload up, down;
  up.set_data(std::string(kLargestReplyBytes, '\0'));
  down.set_reply_bytes(kLargestReplyBytes);
  DR_ASSIGN_OR_RETURN(const double up_rate, client.BytesPerSecond(up));
  figures.set_up_bytes_per_second(up_rate);
  DR_ASSIGN_OR_RETURN(const double down_rate, client.BytesPerSecond(down));
  figures.set_down_bytes_per_second(down_rate);
  return figures;
}

}  // namespace deeprack::cli
