#include "cli/preflight/agent_service.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "base/rpc/status.h"
#include "cli/preflight/control_probe.h"
#include "cli/preflight/host_facts.h"
#include "cli/preflight/model_digest.h"
#include "cli/preflight/run_program.h"
#include "cli/serve/programs.h"

namespace deeprack::cli {
namespace {

constexpr absl::Duration kPortPatience = absl::Seconds(5);
constexpr absl::Duration kControlPatience = absl::Seconds(10);
constexpr absl::Duration kVersionPatience = absl::Seconds(10);

// What deeprack-worker in the folder of this program says of itself; "": it does not run.
std::string WorkerVersion() {
  const auto program = FindProgram("deeprack-worker");
  if (!program.ok()) return "";
  const auto end = RunProgram({*program, "--version"}, kVersionPatience);
  if (!end.ok() || end->exit_code != 0) return "";
  std::string version = end->output;
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

}  // namespace

class AgentService::Call {
 public:
  explicit Call(AgentService* service) : service_(service) { ++service_->calls_; }
  ~Call() {
    service_->last_call_ = absl::ToUnixMillis(absl::Now());
    --service_->calls_;
  }

 private:
  AgentService* const service_;
};

AgentService::AgentService(const DataListener* data, std::string version, std::optional<ClusterTls> tls)
    : data_(data),
      version_(std::move(version)),
      tls_(std::move(tls)),
      last_call_(absl::ToUnixMillis(absl::Now())) {}

absl::Duration AgentService::idle() const {
  if (calls_ > 0) return absl::ZeroDuration();
  return absl::Now() - absl::FromUnixMillis(last_call_);
}

grpc::Status AgentService::ReadClock(grpc::ServerContext*, const preflight::ClockRequest*,
                                     preflight::ClockReply* reply) {
  const Call call(this);
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  reply->set_seconds(std::chrono::duration<double>(since_1970).count());
  return grpc::Status::OK;
}

grpc::Status AgentService::Describe(grpc::ServerContext*, const preflight::DescribeRequest* request,
                                    preflight::HostReport* reply) {
  const Call call(this);
  DescribeHost(*request, *reply);
  reply->set_version(version_);
  reply->set_worker_version(WorkerVersion());
  reply->set_data_port(static_cast<uint32_t>(data_->port()));
  reply->set_data_secret(data_->secret());
  return grpc::Status::OK;
}

grpc::Status AgentService::ListFiles(grpc::ServerContext*, const preflight::ListFilesRequest* request,
                                     preflight::ListFilesReply* reply) {
  const Call call(this);
  const auto files = ListModelFiles(request->model());
  if (!files.ok()) return ToGrpc(files.status());
  for (const FileSize& file : *files) {
    preflight::ModelFile& one = *reply->add_files();
    one.set_name(file.name);
    one.set_bytes(file.bytes);
  }
  return grpc::Status::OK;
}

grpc::Status AgentService::DigestFile(grpc::ServerContext*, const preflight::DigestRequest* request,
                                      preflight::DigestReply* reply) {
  const Call call(this);
  const auto digest = DigestModelFile(request->model(), request->name(), request->full());
  if (!digest.ok()) return ToGrpc(digest.status());
  reply->set_digest(*digest);
  return grpc::Status::OK;
}

grpc::Status AgentService::MeasureLink(grpc::ServerContext*, const preflight::MeasureLinkRequest* request,
                                       preflight::LinkFigures* reply) {
  const Call call(this);
  const auto address = ParseHostPort(request->address());
  if (!address.ok()) return ToGrpc(address.status());
  const auto figures = MeasureData(*address, request->secret());
  if (!figures.ok()) return ToGrpc(figures.status());
  reply->set_round_trip_seconds(figures->round_trip_seconds);
  reply->set_bytes_per_second(figures->bytes_per_second);
  return grpc::Status::OK;
}

grpc::Status AgentService::MeasureControl(grpc::ServerContext*,
                                          const preflight::MeasureControlRequest* request,
                                          preflight::ControlFigures* reply) {
  const Call call(this);
  const auto figures = cli::MeasureControl(request->address(), tls_, kControlPatience);
  if (!figures.ok()) return ToGrpc(figures.status());
  *reply = *figures;
  return grpc::Status::OK;
}

grpc::Status AgentService::TryPort(grpc::ServerContext*, const preflight::TryPortRequest* request,
                                   preflight::TryPortReply*) {
  const Call call(this);
  const auto address = ParseHostPort(request->address());
  if (!address.ok()) return ToGrpc(address.status());
  return ToGrpc(Connect(*address, kPortPatience).status());
}

}  // namespace deeprack::cli
