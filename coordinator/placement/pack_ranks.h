// Which worker takes which rank, so that ranks that exchange much are near each other. Pure, and independent
// of the order in which the workers are listed.
//
// A tp group exchanges the most, then an expert group, then a stage; stages exchange the least. So a tp group
// lies on one machine, and within one NVLink group of its cards, as long as the numbers of workers allow
// that. Expert groups are packed in the same way from tp groups, and stages from expert groups. A group that
// fits on no machine lies on as few machines as possible. Ranks follow the order of the machines' names.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "model/layout/layout.h"

namespace deeprack::coordinator {

// A worker, as far as packing knows it.
struct Spot {
  std::string machine;
  int32_t link_group = -1;  // of its card on that machine; -1: none
  std::string order;        // orders the workers of one machine; equal only for workers that are alike
};

// Entry r is the index of rank r's spot. Requires spots.size() >= layout.world_size(). Spots that are left
// over do not appear.
std::vector<size_t> PackRanks(const model::Layout& layout, std::span<const Spot> spots);

// Gives open ranks to spots. Entry r of `kept` is the index of rank r's spot, or -1 if the rank is open.
// Ranks that have a spot keep it. `newcomers` are the indices of the spots without a rank, at least as many
// as there are open ranks. Returns the same as PackRanks. A newcomer goes first to a tp group that has ranks
// on the newcomer's machine. Whole open tp groups are packed as PackRanks packs them.
std::vector<size_t> FillRanks(const model::Layout& layout, std::span<const Spot> spots,
                              std::vector<int64_t> kept, std::vector<size_t> newcomers);

}  // namespace deeprack::coordinator
