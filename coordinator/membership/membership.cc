#include "coordinator/membership/membership.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/rpc/address.h"
#include "base/rpc/credentials.h"
#include "base/status_macros.h"
#include "coordinator/membership/attach_service.h"
#include "coordinator/membership/health_timer.h"
#include "grpcpp/grpcpp.h"
#include "spdlog/spdlog.h"

namespace deeprack::coordinator {
namespace {

// When a rank dies, mpirun ends the others, and these say goodbye. Their leaving is told a moment later than
// a broken connection is, so that the first loss told is the cause.
constexpr absl::Duration kFarewellWaits = absl::Milliseconds(200);

constexpr auto kShutdownWithin = std::chrono::milliseconds(500);

class ServingMembership final : public Membership, private AttachHandler {
 public:
  ServingMembership(const MembershipOptions& options, Clock* clock)
      : reform_(options.reform),
        first_epoch_(options.epoch),
        clock_(clock),
        table_(options.layout, options.epoch, options.health),
        service_(DEEPRACK_VERSION, options.tls.has_value(), this) {}

  ~ServingMembership() override {
    ExpectDepartures();
    health_checks_.reset();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kShutdownWithin);
  }

  absl::Status Serve(const std::string& listen, const std::optional<ClusterTls>& tls) {
    DR_ASSIGN_OR_RETURN(const HostPort address, ParseHostPort(listen));
    DR_RETURN_IF_ERROR(CheckProtected(address, tls.has_value()));
    grpc::ServerBuilder builder;
    builder.AddListeningPort(listen, ServerCredentials(tls), &port_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port_ == 0) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen for workers on ", listen, ": is the port in use?"));
    }
    health_checks_ = std::make_unique<HealthTimer>([this] { CheckHealth(); });
    return absl::OkStatus();
  }

  int port() const override { return port_; }

  absl::StatusOr<World> WaitForWorld(absl::Duration timeout) override {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoMilliseconds(timeout), [this] {
      return table_.settled() || (first() && (!losses_.empty() || !turned_down_.ok()));
    });
    if (first() && !losses_.empty()) return absl::UnavailableError(ToString(losses_.front()));
    if (first() && !turned_down_.ok()) return turned_down_;
    if (!table_.settled()) {
      std::string message = DescribeMissing(table_.layout(), table_.nodes());
      if (!turned_down_.ok()) absl::StrAppend(&message, "; one was turned down: ", turned_down_.message());
      return absl::DeadlineExceededError(message);
    }
    World world{.epoch = table_.epoch(), .members = std::vector<Member>(ranks_.size())};
    for (const auto& [member, rank] : ranks_) world.members[rank] = {rank, table_.node(member)};
    return world;
  }

  int joined() const override {
    std::lock_guard lock(mutex_);
    return static_cast<int>(table_.nodes().size());
  }
  int expected() const override { return table_.layout().world_size(); }
  std::vector<Rank> missing() const override {
    std::lock_guard lock(mutex_);
    return MissingRanks(table_.layout(), table_.nodes());
  }

  void EndEpoch(Epoch epoch) override {
    std::lock_guard lock(mutex_);
    if (table_.epoch() == epoch) OpenNextEpoch();
  }

  void OnLoss(std::function<void(const Loss&)> on_loss) override {
    std::lock_guard calling(callback_mutex_);
    std::vector<Loss> past;
    {
      std::lock_guard lock(mutex_);
      past = losses_;
    }
    for (const Loss& loss : past) on_loss(loss);
    callbacks_.push_back(std::move(on_loss));
  }

  void ExpectDepartures() override {
    std::lock_guard lock(mutex_);
    departing_ = true;
  }

 private:
  absl::StatusOr<int> OnHello(const JoinedNode& node, AttachStream* stream) override {
    std::lock_guard lock(mutex_);
    absl::StatusOr<int> member = table_.Join(node, clock_->Now());
    if (!member.ok()) {
      spdlog::warn("turned down: {}", std::string(member.status().message()));
      if (!table_.settled()) turned_down_ = member.status();  // before the world is complete it is missed
      changed_.notify_all();
      return member;
    }
    streams_[*member] = stream;
    spdlog::info("worker joined from {} (pid {}): {} of {}", node.host, node.pid, table_.nodes().size(),
                 table_.layout().world_size());
    if (table_.complete()) Settle();
    return member;
  }

  absl::Status OnHeartbeat(int member, uint64_t steps_finished, bool busy) override {
    std::lock_guard lock(mutex_);
    if (table_.Heartbeat(member, steps_finished, busy, clock_->Now())) return absl::OkStatus();
    return absl::AbortedError("its world of ranks is gone and cannot be made anew: start it again");
  }

  void OnEnd(int member, const std::string& why, bool on_purpose) override {
    std::lock_guard calling(callback_mutex_);
    std::optional<Loss> loss;
    {
      std::lock_guard lock(mutex_);
      streams_.erase(member);
      if (departing_) return;
      if (on_purpose && (table_.settled() || first())) {
        departures_.push_back({member, why, clock_->Now() + kFarewellWaits});
        return;
      }
      loss = table_.Lose(member, why);
    }
    if (loss) Report(*loss);
  }

  void CheckHealth() {
    std::lock_guard calling(callback_mutex_);
    std::vector<Loss> losses;
    {
      std::lock_guard lock(mutex_);
      if (departing_) return;
      const absl::Time now = clock_->Now();
      losses = table_.CheckHealth(now);
      std::erase_if(departures_, [&](const Departure& departure) {
        if (now < departure.report_at) return false;
        if (auto loss = table_.Lose(departure.member, departure.why)) losses.push_back(*std::move(loss));
        return true;
      });
    }
    for (const Loss& loss : losses) Report(loss);
  }

  // With callback_mutex_ held: each callback hears each loss once.
  void Report(const Loss& loss) {
    {
      std::lock_guard lock(mutex_);
      if (loss.place_is_open || loss.epoch != table_.epoch()) {  // nothing ends with it that has not ended
        spdlog::info("then {}", ToString(loss));
        return;
      }
      losses_.push_back(loss);
      if (reform_ && table_.settled()) OpenNextEpoch();
      changed_.notify_all();
    }
    for (const auto& callback : callbacks_) callback(loss);
  }

  // These three with mutex_ held.
  bool first() const { return table_.epoch() == first_epoch_; }

  void OpenNextEpoch() {
    for (const Departure& departure : std::exchange(departures_, {})) {
      table_.Lose(departure.member, departure.why);
    }
    table_.OpenNextEpoch(clock_->Now());
    ranks_.clear();
    turned_down_ = absl::OkStatus();
    if (table_.complete()) Settle();
  }

  void Settle() {
    auto ranks = table_.AssignRanks();
    DR_CHECK(ranks.ok());  // each was checked against the others when it joined
    ranks_ = *std::move(ranks);
    for (const auto& [id, stream] : streams_) {
      if (const auto member = ranks_.find(id); member != ranks_.end())
        stream->Welcome(member->second, table_.epoch());
    }
    changed_.notify_all();
  }

  struct Departure {
    int member = 0;
    std::string why;
    absl::Time report_at;
  };

  const bool reform_;
  const Epoch first_epoch_;
  Clock* const clock_;

  std::mutex callback_mutex_;  // before mutex_, where both are held
  std::vector<std::function<void(const Loss&)>> callbacks_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  MemberTable table_;
  std::map<int, AttachStream*> streams_;  // open ones, by member
  std::map<int, Rank> ranks_;             // by member; empty until all have joined
  std::vector<Departure> departures_;     // goodbyes that are still to be told
  std::vector<Loss> losses_;
  absl::Status turned_down_;
  bool departing_ = false;

  AttachService service_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<HealthTimer> health_checks_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Membership>> Membership::Start(const MembershipOptions& options,
                                                              Clock* clock) {
  auto membership = std::make_unique<ServingMembership>(options, clock);
  DR_RETURN_IF_ERROR(membership->Serve(options.listen, options.tls));
  return membership;
}

}  // namespace deeprack::coordinator
