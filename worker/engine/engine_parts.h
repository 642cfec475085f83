// The parts of an engine with their memory.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "worker/collectives/communicator.h"
#include "worker/decoder/seams.h"
#include "worker/decoder/workspace.h"
#include "worker/device/arena.h"
#include "worker/device/device.h"
#include "worker/engine/engine.h"
#include "worker/engine/preparation.h"
#include "worker/engine/step_memory.h"
#include "worker/kv_cache/kv_cache.h"
#include "worker/weights/weight_loader.h"

namespace deeprack::worker {

struct EngineParts {
  PeerAreas peer_areas;  // before the seams, which use them
  std::unique_ptr<Seams> seams;
  LoadedWeights weights;
  Arena weight_tables;
  KvCache cache;
  Arena workspace_arena;
  Workspace workspace;
  Arena scratch_arena;
  kernels::Scratch scratch;  // memory in scratch_arena
  StepMemory step;
};

// Takes the memory that `preparation` counts, with `blocks` KV pages, loads the weights, and fills the
// buffers that never change. Splits `world` (collective). The world and the device outlive the parts.
absl::StatusOr<EngineParts> MakeParts(const Preparation& preparation, int64_t blocks, Device& device,
                                      Communicator* world, const Engine::Progress& progress);

}  // namespace deeprack::worker
