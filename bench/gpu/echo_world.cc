#include "bench/gpu/echo_world.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace deeprack::bench {
namespace {

using worker::Communicator;

EchoShape peers_shape;  // of WithEchoedPeers

class EchoWorld final : public Communicator {
 public:
  EchoWorld(const EchoShape& shape, worker::Device* device, const bool* exchanging)
      : shape_(shape), device_(*device), exchanging_(*exchanging) {}

  int rank() const override { return 0; }
  int size() const override { return static_cast<int>(shape_.ranks); }
  absl::Duration timeout() const override { return absl::Seconds(60); }

  absl::Status AllGather(const void* in, void* out, int64_t bytes) override {
    if (exchanging_) {
      DR_CHECK(bytes == shape_.ranks * static_cast<int64_t>(sizeof(int64_t)));
      EchoCounts(static_cast<const int64_t*>(in), static_cast<int64_t*>(out), shape_.ranks,
                 device_.execution());
      return absl::OkStatus();
    }
    for (int64_t r = 0; r < shape_.ranks; ++r) {
      DR_RETURN_IF_ERROR(device_.CopyWithin(static_cast<std::byte*>(out) + r * bytes, in, bytes));
    }
    return absl::OkStatus();
  }

  absl::Status AllToAllV(const void* in, std::span<const int64_t> send_bytes, void* out,
                         std::span<const int64_t> recv_bytes) override {
    dispatches_ = !dispatches_;
    EchoRowsArgs args = {.send = in,
                         .receive = out,
                         .row_bytes = dispatches_ ? shape_.dispatch_row_bytes : shape_.sum_row_bytes,
                         .ranks = shape_.ranks};
    if (dispatches_) args.routing = shape_.routing;
    for (size_t r = 0; r < send_bytes.size(); ++r) {
      DR_CHECK(send_bytes[r] == recv_bytes[r] && send_bytes[r] % args.row_bytes == 0);
      args.begin[r + 1] = args.begin[r] + send_bytes[r] / args.row_bytes;
    }
    EchoRows(args, device_.execution());
    return absl::OkStatus();
  }

  absl::Status AllReduceSum(void*, int64_t, DType) override { return NotHere("sums"); }
  absl::Status AllGatherV(const void*, void*, std::span<const int64_t>) override {
    return NotHere("gathered rows");
  }
  absl::Status Send(const void*, int64_t, int) override { return NotHere("pipelines"); }
  absl::Status Receive(void*, int64_t, int) override { return NotHere("pipelines"); }
  absl::Status Barrier() override { return absl::OkStatus(); }
  absl::Status Await() override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<Communicator>> Split(int) override {  // all groups are the whole stage
    return MakeEchoWorld(shape_, &device_, &exchanging_);
  }
  void Abort() override {}

 private:
  static absl::Status NotHere(const char* what) {
    return absl::UnimplementedError(absl::StrCat(what, " among copies of one rank"));
  }

  const EchoShape shape_;
  worker::Device& device_;
  const bool& exchanging_;
  bool dispatches_ = false;  // whether the last exchange was a dispatch
};

}  // namespace

EchoShape EchoShapeOf(const model::ModelConfig& config, const model::Layout& layout,
                      const worker::DispatchRowForm& rows) {
  DR_CHECK(layout.tp == 1 && layout.pp == 1 && layout.ep == layout.dp && layout.ep <= kMostEchoRanks);
  EchoShape shape = {.ranks = layout.stage_size(),
                     .dispatch_row_bytes = rows.bytes,
                     .sum_row_bytes = config.hidden_size * static_cast<int64_t>(sizeof(float)),
                     .routing = {.ids_at = rows.activation_bytes,
                                 .top_k = config.num_experts_per_tok,
                                 .rank_experts = config.n_routed_experts / layout.ep}};
  DR_CHECK(shape.dispatch_row_bytes != shape.sum_row_bytes);  // the row bytes tell rows from sums
  return shape;
}

std::unique_ptr<Communicator> MakeEchoWorld(const EchoShape& shape, worker::Device* device,
                                            const bool* exchanging) {
  return std::make_unique<EchoWorld>(shape, device, exchanging);
}

kernels::KernelSet WithEchoedPeers(const kernels::KernelSet& kernels, const EchoShape& shape) {
  peers_shape = shape;
  kernels::KernelSet echoed = kernels;
  if (kernels.peer_exchange == nullptr) return echoed;
  echoed.peer_exchange = [](const kernels::PeerExchangeArgs& args, const kernels::Execution& execution) {
    EchoRowsArgs rows = {.send = args.send,
                         .receive = args.receive,
                         .row_bytes = args.row_bytes,
                         .ranks = args.peers.ranks,
                         .slots = args.slots,
                         .rows_to = args.rows_to,
                         .rows_from = args.rows_from};
    if (args.row_bytes == peers_shape.dispatch_row_bytes) rows.routing = peers_shape.routing;
    EchoRows(rows, execution);
  };
  return echoed;
}

}  // namespace deeprack::bench
