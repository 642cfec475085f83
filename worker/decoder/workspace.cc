#include "worker/decoder/workspace.h"

#include "worker/device/arena.h"

namespace deeprack::worker {
namespace {

static_assert(kWeightAlignment == kArenaAlignment);

void Place(sizing::Buffer buffer, const kernels::Matrix& m, Workspace& ws) {
  using sizing::Buffer;
  switch (buffer) {
    case Buffer::kRopeCos:
      ws.rope_cos = m.row<float>(0);
      return;
    case Buffer::kRopeSin:
      ws.rope_sin = m.row<float>(0);
      return;
    case Buffer::kResidual:
      ws.residual = m;
      return;
    case Buffer::kNormed:
      ws.normed = m;
      return;
    case Buffer::kNormedRounded:
      ws.normed_rounded = m.row<std::byte>(0);
      return;
    case Buffer::kPartial:
      ws.partial = m;
      return;
    case Buffer::kGathered:
      ws.gathered = m;
      return;
    case Buffer::kQA:
      ws.q_a = m;
      return;
    case Buffer::kQARounded:
      ws.q_a_rounded = m.row<std::byte>(0);
      return;
    case Buffer::kQ:
      ws.q = m;
      return;
    case Buffer::kKvA:
      ws.kv_a = m;
      return;
    case Buffer::kQLatent:
      ws.q_latent = m;
      return;
    case Buffer::kAttended:
      ws.attended = m;
      return;
    case Buffer::kK:
      ws.k = m;
      return;
    case Buffer::kV:
      ws.v = m;
      return;
    case Buffer::kValues:
      ws.values = m;
      return;
    case Buffer::kGateUp:
      ws.gate_up = m;
      return;
    case Buffer::kActivated:
      ws.activated = m;
      return;
    case Buffer::kSharedOut:
      ws.shared_out = m;
      return;
    case Buffer::kRouterLogits:
      ws.router_logits = m.row<float>(0);
      return;
    case Buffer::kExpertIds:
      ws.expert_ids = m.row<int32_t>(0);
      return;
    case Buffer::kExpertWeights:
      ws.expert_weights = m.row<float>(0);
      return;
    case Buffer::kExpertOffsets:
      ws.expert_offsets = m.row<int32_t>(0);
      return;
    case Buffer::kRowIndex:
      ws.row_index = m.row<int32_t>(0);
      return;
    case Buffer::kPairToRow:
      ws.pair_to_row = m.row<int32_t>(0);
      return;
    case Buffer::kExpertGateUp:
      ws.expert_gate_up = m;
      return;
    case Buffer::kExpertActivated:
      ws.expert_activated = m;
      return;
    case Buffer::kExpertOut:
      ws.expert_out = m;
      return;
    case Buffer::kDispatchSend:
      ws.dispatch_send = m.row<std::byte>(0);
      return;
    case Buffer::kDispatchReceive:
      ws.dispatch_receive = m.row<std::byte>(0);
      return;
    case Buffer::kDispatchIndex:
      ws.dispatch_index = m.row<int32_t>(0);
      ws.dispatch_fanout = m.cols;
      return;
    case Buffer::kDispatchRowsTo:
      ws.dispatch_rows_to = m.row<int64_t>(0);
      return;
    case Buffer::kDispatchCounts:
      ws.dispatch_counts = m.row<int64_t>(0);
      return;
    case Buffer::kDispatchOnes:
      ws.dispatch_ones = m.row<float>(0);
      return;
    case Buffer::kExpertSums:
      ws.expert_sums = m;
      return;
    case Buffer::kReturned:
      ws.returned = m;
      return;
    case Buffer::kShareOut:
      ws.share_out = m;
      return;
    case Buffer::kMtpResidual:
      ws.mtp_residual = m;
      return;
    case Buffer::kMtpInput:
      ws.mtp_input = m;
      return;
    case Buffer::kHeadRows:
      ws.head_rows = m;
      return;
    case Buffer::kLogits:
      ws.logits = m;
      return;
    case Buffer::kLogitsOwn:
      ws.logits_own = m;
      return;
    case Buffer::kLogitsGathered:
      ws.logits_gathered = m.row<float>(0);
      return;
    case Buffer::kAdjustedLogits:
      ws.adjusted_logits = m;
      return;
  }
}

}  // namespace

Workspace CarveWorkspace(const sizing::RankSpec& spec, const kernels::KernelNeeds& kernels, std::byte* base) {
  Workspace workspace;
  for (const sizing::BufferShape& shape : sizing::WorkspaceBuffers(spec, kernels)) {
    Place(shape.buffer,
          {.data = base + shape.offset,
           .type = shape.type,
           .rows = shape.rows,
           .cols = shape.cols,
           .stride = shape.cols},
          workspace);
  }
  return workspace;
}

}  // namespace deeprack::worker
