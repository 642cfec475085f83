#include "cli/preflight/measure.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/rpc/address.h"
#include "base/rpc/status.h"
#include "base/status_macros.h"
#include "cli/preflight/at_once.h"
#include "cli/preflight/control_probe.h"
#include "cli/preflight/judges.h"
#include "cli/preflight/model_digest.h"
#include "cli/preflight/tcp.h"
#include "grpcpp/grpcpp.h"

namespace deeprack::cli {
namespace {

using preflight::Agent;
using preflight::Host;
using preflight::ModelFile;
using preflight::Rack;

constexpr int kClockSamples = 20;
constexpr absl::Duration kConnectPatience = absl::Seconds(5);
constexpr size_t kMostDoubtful = 32;
constexpr double kSlowestDisk = 20e6;  // bytes per second that a digest may count on

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string TextOf(const absl::Status& status, absl::Duration patience) {
  if (absl::IsDeadlineExceeded(status))
    return absl::StrCat("no answer within ", absl::FormatDuration(patience));
  return std::string(status.message());
}

// Calls to one agent.
class AgentCalls {
 public:
  AgentCalls(const std::string& address, const MeasureOptions& options)
      : stub_(Agent::NewStub(OpenChannel(address, options.tls))), patience_(options.patience) {}

  // `method`: of Agent::Stub. DeadlineExceeded: no answer within `patience` (0: that of the options).
  template <class Request, class Reply>
  absl::StatusOr<Reply> Ask(grpc::Status (Agent::Stub::*method)(grpc::ClientContext*, const Request&, Reply*),
                            const Request& request, absl::Duration patience = absl::ZeroDuration()) {
    grpc::ClientContext context;
    const absl::Duration limit = patience == absl::ZeroDuration() ? patience_ : patience;
    context.set_deadline(absl::ToChronoTime(absl::Now() + limit));
    Reply reply;
    const absl::Status status = FromGrpc((stub_.get()->*method)(&context, request, &reply));
    if (!status.ok()) return absl::Status(status.code(), TextOf(status, limit));
    return reply;
  }

 private:
  const std::unique_ptr<Agent::Stub> stub_;
  const absl::Duration patience_;
};

// Of several samples the one with the shortest round trip has the smallest error.
absl::Status ReadClock(AgentCalls& agent, Host& host) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kClockSamples; ++i) {
    const double before = Now();
    DR_ASSIGN_OR_RETURN(const auto reply, agent.Ask(&Agent::Stub::ReadClock, preflight::ClockRequest()));
    const double round_trip = Now() - before;
    if (round_trip >= best) continue;
    best = round_trip;
    host.set_clock_offset(reply.seconds() - (before + round_trip / 2));
    host.set_clock_error(round_trip / 2);
  }
  return absl::OkStatus();
}

bool IsCompared(const std::string& name, const MeasureOptions& options) {
  return options.weights || !(absl::EndsWith(name, ".safetensors") || absl::EndsWith(name, ".index.json"));
}

absl::Status ReadFiles(AgentCalls& agent, const MeasureOptions& options, Host& host) {
  preflight::ListFilesRequest list;
  list.set_model(options.model);
  DR_ASSIGN_OR_RETURN(const auto listed, agent.Ask(&Agent::Stub::ListFiles, list));
  for (const ModelFile& file : listed.files()) {
    if (!IsCompared(file.name(), options)) continue;
    ModelFile& one = *host.add_files();
    one = file;
    preflight::DigestRequest request;
    request.set_model(options.model);
    request.set_name(file.name());
    request.set_full(options.full);
    const double most_bytes = options.full ? static_cast<double>(file.bytes()) : 0;
    const auto reply = agent.Ask(&Agent::Stub::DigestFile, request,
                                 options.patience + absl::Seconds(most_bytes / kSlowestDisk));
    if (reply.ok()) {
      one.set_digest(reply->digest());
    } else {
      one.set_failure(std::string(reply.status().message()));
      if (absl::IsDeadlineExceeded(reply.status())) return reply.status();  // the disk hangs
    }
  }
  return absl::OkStatus();
}

absl::Status AskHost(const MeasureOptions& options, Host& host) {
  DR_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(host.address()));
  DR_RETURN_IF_ERROR(Connect(address, std::min(kConnectPatience, options.patience)).status());
  AgentCalls agent(host.address(), options);
  DR_RETURN_IF_ERROR(ReadClock(agent, host));
  preflight::DescribeRequest describe;
  describe.set_model(options.model);
  describe.set_packed(options.packed);
  DR_ASSIGN_OR_RETURN(*host.mutable_report(), agent.Ask(&Agent::Stub::Describe, describe));
  if (const absl::Status read = ReadFiles(agent, options, host); !read.ok())
    host.set_files_failure(std::string(read.message()));
  return absl::OkStatus();
}

void TryControl(const MeasureOptions& options, Host& host) {
  AgentCalls agent(host.address(), options);
  preflight::MeasureControlRequest request;
  request.set_address(options.control);
  const auto figures = agent.Ask(&Agent::Stub::MeasureControl, request);
  if (figures.ok()) {
    *host.mutable_control() = *figures;
  } else {
    host.set_control_failure(std::string(figures.status().message()));
  }
  if (options.http.empty()) return;
  preflight::TryPortRequest port;
  port.set_address(options.http);
  const auto tried = agent.Ask(&Agent::Stub::TryPort, port);
  if (!tried.ok()) host.set_http_failure(std::string(tried.status().message()));
}

// False: the agent that should measure gave no answer.
bool MeasureLink(const MeasureOptions& options, const Rack& rack, preflight::Link& link) {
  const Host& to = rack.hosts(link.to());
  AgentCalls agent(rack.hosts(link.from()).address(), options);
  preflight::MeasureLinkRequest request;
  HostPort address = *ParseHostPort(to.address());  // AskHost has checked it
  address.port = static_cast<uint16_t>(to.report().data_port());
  request.set_address(ToString(address));
  request.set_secret(to.report().data_secret());
  const auto figures = agent.Ask(&Agent::Stub::MeasureLink, request);
  if (figures.ok()) {
    *link.mutable_figures() = *figures;
  } else {
    link.set_failure(std::string(figures.status().message()));
  }
  return !absl::IsDeadlineExceeded(figures.status());
}

// Below options.least_share of what is usual; at most kMostDoubtful links.
std::vector<preflight::Link*> DoubtfulLinks(const MeasureOptions& options, Rack& rack) {
  const double least = options.least_share * ReferenceOf(rack).rate;
  std::vector<preflight::Link*> doubtful;
  for (preflight::Link& link : *rack.mutable_links()) {
    const bool is_slow = link.failure().empty() && link.figures().bytes_per_second() < least;
    if (is_slow && doubtful.size() < kMostDoubtful) doubtful.push_back(&link);
  }
  return doubtful;
}

void MeasureAgain(const MeasureOptions& options, const Rack& rack, preflight::Link& link) {
  preflight::Link again = link;
  MeasureLink(options, rack, again);
  if (!again.failure().empty()) return;
  preflight::LinkFigures& figures = *link.mutable_figures();
  figures.set_bytes_per_second(std::max(figures.bytes_per_second(), again.figures().bytes_per_second()));
  figures.set_round_trip_seconds(
      std::min(figures.round_trip_seconds(), again.figures().round_trip_seconds()));
}

}  // namespace

void AskHosts(const MeasureOptions& options, Rack& rack) {
  auto& hosts = *rack.mutable_hosts();
  AtOnce(hosts.size(), [&](int i) {
    if (!hosts[i].failure().empty()) return;
    const absl::Status asked = AskHost(options, hosts[i]);
    if (!asked.ok()) hosts[i].set_failure(absl::StrCat("the agent gives no answer: ", asked.message()));
  });
  for (Host& host : hosts) {
    if (host.failure().empty()) TryControl(options, host);
  }
}

void ReadOwnFiles(const MeasureOptions& options, Rack& rack) {
  const auto listed = ListModelFiles(options.model);
  if (!listed.ok()) return;  // the check of the model says so
  for (const FileSize& file : *listed) {
    if (!IsCompared(file.name, options)) continue;
    ModelFile& one = *rack.add_own_files();
    one.set_name(file.name);
    one.set_bytes(file.bytes);
    const auto digest = DigestModelFile(options.model, file.name, options.full);
    if (digest.ok()) one.set_digest(*digest);
    if (!digest.ok()) one.set_failure(std::string(digest.status().message()));
  }
}

void MeasureLinks(const MeasureOptions& options, Rack& rack) {
  std::vector<int> answering;
  for (int i = 0; i < rack.hosts_size(); ++i) {
    if (rack.hosts(i).failure().empty()) answering.push_back(i);
  }
  const int count = static_cast<int>(answering.size());
  std::vector<char> still_answers(answering.size(), true);  // not vector<bool>: threads write elements
  for (int apart = 1; apart < count; ++apart) {
    const int first = rack.links_size();
    for (int i = 0; i < count; ++i) {
      preflight::Link& link = *rack.add_links();
      link.set_from(answering[static_cast<size_t>(i)]);
      link.set_to(answering[static_cast<size_t>((i + apart) % count)]);
    }
    auto& links = *rack.mutable_links();
    AtOnce(count, [&](int i) {
      preflight::Link& link = links[first + i];
      char& answers = still_answers[static_cast<size_t>(i)];
      if (answers) {
        answers = MeasureLink(options, rack, link);
      } else {
        link.set_failure(
            absl::StrCat("not measured: ", rack.hosts(link.from()).name(), " has stopped answering"));
      }
    });
  }
  for (preflight::Link* link : DoubtfulLinks(options, rack)) MeasureAgain(options, rack, *link);
}

}  // namespace deeprack::cli
