// The gRPC service Agent.
#pragma once

#include <atomic>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "base/rpc/cluster_tls.h"
#include "cli/preflight/data_probe.h"
#include "proto/preflight.grpc.pb.h"

namespace deeprack::cli {

class AgentService final : public preflight::Agent::Service {
 public:
  // `data` outlives the service.
  AgentService(const DataListener* data, std::string version, std::optional<ClusterTls> tls);

  // The time since the last call ended; zero while a call is under way.
  absl::Duration idle() const;

  grpc::Status ReadClock(grpc::ServerContext*, const preflight::ClockRequest*,
                         preflight::ClockReply*) override;
  grpc::Status Describe(grpc::ServerContext*, const preflight::DescribeRequest*,
                        preflight::HostReport*) override;
  grpc::Status ListFiles(grpc::ServerContext*, const preflight::ListFilesRequest*,
                         preflight::ListFilesReply*) override;
  grpc::Status DigestFile(grpc::ServerContext*, const preflight::DigestRequest*,
                          preflight::DigestReply*) override;
  grpc::Status MeasureLink(grpc::ServerContext*, const preflight::MeasureLinkRequest*,
                           preflight::LinkFigures*) override;
  grpc::Status MeasureControl(grpc::ServerContext*, const preflight::MeasureControlRequest*,
                              preflight::ControlFigures*) override;
  grpc::Status TryPort(grpc::ServerContext*, const preflight::TryPortRequest*,
                       preflight::TryPortReply*) override;

 private:
  class Call;  // counts a call as long as it lives

  const DataListener* const data_;
  const std::string version_;
  const std::optional<ClusterTls> tls_;
  std::atomic<int> calls_ = 0;
  std::atomic<int64_t> last_call_;  // absl::ToUnixMillis
};

}  // namespace deeprack::cli
