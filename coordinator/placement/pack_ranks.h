// Which worker takes which rank, so that ranks that exchange much are near each other. Pure, and independent
// of the order in which the workers are listed.
//
// A tp group exchanges the most, then an expert group, then a stage; stages exchange the least. So a tp group
// lies on one machine, and within one NVLink group of its cards, as long as the numbers of workers allow
// that. The same holds for the expert groups and the stages that are left. What does not fit on one machine
// is put together from as few machines as possible. Ranks follow the order of the machines' names.
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

// Gives open ranks to spots. `kept` has the index of rank r's spot, or -1 where the rank is open; ranks that
// have a spot keep it. `newcomers` are the indices of the spots without a rank, at least as many as there are
// open ranks. Returns what PackRanks returns. A newcomer goes first to a tp group that has ranks on its
// machine; whole open tp groups are packed like PackRanks does.
std::vector<size_t> FillRanks(const model::Layout& layout, std::span<const Spot> spots,
                              std::vector<int64_t> kept, std::vector<size_t> newcomers);

}  // namespace deeprack::coordinator
