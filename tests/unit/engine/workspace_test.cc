#include "worker/decoder/workspace.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/engine/tiny_checkpoint.h"
#include "worker/device/arena.h"
#include "worker/device/cpu_device.h"

namespace deeprack::worker {
namespace {

using testing::TinyModel;

// The buffers are in order, aligned, without overlap, and inside the bytes that WorkspaceBytes counts.
TEST(WorkspaceTest, CarvingUsesWhatWasCounted) {
  const auto cpu = MakeCpuDevice(1);
  const model::ModelConfig config = TinyModel{}.Config();
  for (const model::ExpertExchange exchange :
       {model::ExpertExchange::kReplicated, model::ExpertExchange::kAllToAll}) {
    for (const model::Layout& layout : {model::Layout{}, model::Layout{.tp = 2, .dp = 2, .ep = 2, .pp = 2}}) {
      for (Rank rank = 0; rank < layout.world_size(); ++rank) {
        const sizing::RankSpec spec = {
            .config = config,
            .layout = layout,
            .rank = rank,
            .compute = DType::kBF16,
            .expert_exchange = exchange,
            .limits = {.max_step_tokens = 33, .max_sequences = 5, .max_context = 70},
            .speculative_tokens = 2};
        const int64_t bytes = sizing::WorkspaceBytes(spec, {});
        auto arena = Arena::Create(*cpu, "workspace", bytes);
        ASSERT_TRUE(arena.ok());
        std::byte* const base = *arena->Allocate(bytes);
        const Workspace ws = CarveWorkspace(spec, {}, base);
        EXPECT_EQ(static_cast<void*>(ws.rope_cos), base);

        std::byte* end = base;
        for (const kernels::Matrix& m :
             {ws.residual,   ws.normed,      ws.partial,    ws.gathered,       ws.q_a,
              ws.q,          ws.kv_a,        ws.q_latent,   ws.attended,       ws.values,
              ws.gate_up,    ws.activated,   ws.shared_out, ws.expert_gate_up, ws.expert_activated,
              ws.expert_out, ws.expert_sums, ws.returned,   ws.share_out,      ws.mtp_residual,
              ws.mtp_input,  ws.head_rows,   ws.logits,     ws.logits_own,     ws.adjusted_logits}) {
          if (m.data == nullptr) continue;
          std::byte* const data = static_cast<std::byte*>(m.data);
          EXPECT_GE(data, end);
          EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % kArenaAlignment, 0u);
          EXPECT_EQ(m.stride, m.cols);
          end = data + m.rows * m.cols * static_cast<int64_t>(SizeOf(m.type));
          EXPECT_LE(end, base + bytes);
        }
        const bool last = rank / layout.stage_size() == layout.pp - 1;
        EXPECT_EQ(ws.logits.data != nullptr, last);
        EXPECT_EQ(ws.logits.rows, last ? 5 * 3 : 0);  // one for each sequence and each of its drafts
        EXPECT_EQ(ws.mtp_residual.rows, last ? 33 : 0);
        EXPECT_EQ(ws.residual.rows, 33);
        EXPECT_EQ(ws.dispatch_send != nullptr, exchange == model::ExpertExchange::kAllToAll);
      }
    }
  }
}

}  // namespace
}  // namespace deeprack::worker
