#include "coordinator/membership/membership.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/rpc/address.h"
#include "base/rpc/credentials.h"
#include "base/status_macros.h"
#include "coordinator/membership/attach_service.h"
#include "grpcpp/grpcpp.h"

namespace deeprack::coordinator {
namespace {

constexpr auto kShutdownWithin = std::chrono::milliseconds(500);

}  // namespace

class Membership::Port {
 public:
  Port(bool has_tls, AttachHandler* handler) : service_(DEEPRACK_VERSION, has_tls, handler) {}
  ~Port() {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kShutdownWithin);
  }

  absl::Status Open(const std::string& listen, const std::optional<ClusterTls>& tls) {
    DR_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(listen));
    DR_RETURN_IF_ERROR(CheckProtected(address, tls.has_value()));
    grpc::ServerBuilder builder;
    builder.AddListeningPort(listen, ServerCredentials(tls), &number_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    // Workers ask every two seconds whether this end lives. gRPC takes that for abuse unless told otherwise.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || number_ == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen for workers on ", listen, ": is the port in use?"));
    }
    return absl::OkStatus();
  }

  int number() const { return number_; }

 private:
  AttachService service_;
  int number_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

Membership::Membership(const MembershipOptions& options, Clock* clock)
    : roster_({.layouts = options.layouts,
               .epoch = options.epoch,
               .reform = options.reform,
               .health = options.health,
               .load_options = options.load_options},
              clock) {}

Membership::~Membership() {
  roster_.ExpectDepartures();
  health_checks_.reset();
  port_.reset();
}

int Membership::port() const { return port_ == nullptr ? 0 : port_->number(); }

absl::StatusOr<std::unique_ptr<Membership>> Membership::Start(const MembershipOptions& options,
                                                              Clock* clock) {
  std::unique_ptr<Membership> membership(new Membership(options, clock));
  if (!options.listen.empty()) {
    membership->port_ = std::make_unique<Port>(options.tls.has_value(), &membership->roster_);
    DR_RETURN_IF_ERROR(membership->port_->Open(options.listen, options.tls));
  }
  membership->health_checks_ =
      std::make_unique<HealthTimer>([roster = &membership->roster_] { roster->CheckHealth(); });
  return membership;
}

}  // namespace deeprack::coordinator
