// The exchange of rows between peers. Block (i, r) sends row i to rank r, waits for the block of rank r that
// sends row i, and copies that row to `receive`. Every row has its sender's count of rows.
#include "base/check.h"
#include "kernels/cuda/sm90/peer_meeting.h"
#include "kernels/cuda/sm90/peers.h"

namespace deeprack::kernels::sm90 {
namespace {

constexpr int kThreads = 128;
constexpr int kBlocksTogether = 8;  // blocks on a multiprocessor, so that all blocks of a grid run at once

struct alignas(16) Sixteen {
  uint32_t words[4];
};

// The header of a row in its place: the number of rows that the sender sends to this rank.
struct Header {
  int64_t rows;
  int64_t unused;
};
static_assert(sizeof(Header) == kPeerRowHeader);

__device__ inline void CopyRow(Sixteen* to, const Sixteen* from, int64_t count) {
  for (int64_t i = threadIdx.x; i < count; i += kThreads) to[i] = from[i];
}

__global__ void __launch_bounds__(kThreads, kBlocksTogether)
    PeerExchangeKernel(const __grid_constant__ PeerExchangeArgs args) {
  BeginKernel();
  const PeerMemory& peers = args.peers;
  const int64_t row = blockIdx.x;
  const int peer = static_cast<int>(blockIdx.y);
  const int64_t count = args.row_bytes / static_cast<int64_t>(sizeof(Sixteen));
  const auto row_at = [&](auto* base) { return base + (peer * args.slots + row) * count; };

  uint32_t* const number = peers.calls + PeerWordOf(row, peer);
  const uint32_t call = *number + 1;
  Header* const there = PlaceOf<Header>(peers, peer, row * peers.ranks + peers.rank, call);
  const int64_t sent = args.rows_to[peer];
  if (threadIdx.x == 0) there->rows = sent;
  if (row < sent) {
    CopyRow(reinterpret_cast<Sixteen*>(there + 1), row_at(static_cast<const Sixteen*>(args.send)), count);
  }
  __syncthreads();  // all threads have read the call number, and the row is written completely
  if (threadIdx.x == 0) {
    *number = call;
    TellPeer(peers, peer, row, call);
    WaitForPeer(peers, peer, row, call);
  }
  __syncthreads();
  const Header* const here = PlaceOf<Header>(peers, peers.rank, row * peers.ranks + peer, call);
  const int64_t received = here->rows;
  if (row == 0 && threadIdx.x == 0) args.rows_from[peer] = received;
  if (row < received) {
    CopyRow(row_at(static_cast<Sixteen*>(args.receive)), reinterpret_cast<const Sixteen*>(here + 1), count);
  }
}

}  // namespace

void PeerExchange(const PeerExchangeArgs& args, const Execution& execution) {
  const PeerMemory& peers = args.peers;
  DR_CHECK(peers.ranks >= 1 && peers.ranks <= kMaxPeers && peers.rank >= 0 && peers.rank < peers.ranks);
  DR_CHECK(args.slots <= kMaxPeerSlots && args.slots * peers.ranks <= peers.places);
  DR_CHECK(args.row_bytes % 16 == 0 && peers.place_bytes % 16 == 0);
  DR_CHECK(args.row_bytes + kPeerRowHeader <= peers.place_bytes);
  if (args.slots == 0) return;
  Launch(&PeerExchangeKernel, dim3(static_cast<unsigned>(args.slots), static_cast<unsigned>(peers.ranks)),
         kThreads, execution, args);
}

}  // namespace deeprack::kernels::sm90
