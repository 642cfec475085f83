// What a worker says about its machine when it joins. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deeprack::coordinator {

struct CardReport {
  std::string name;  // "NVIDIA H200"
  std::string uuid;
  int64_t memory_bytes = 0;
  int64_t free_bytes = 0;
  int32_t numa_node = -1;   // the nearest one; -1: unknown
  int32_t link_group = -1;  // cards of a machine with the same number reach each other over NVLink; -1: none
};

struct NodeReport {
  // Equal for workers of one machine. Empty: unknown, and the host name tells machines apart.
  std::string machine;
  int32_t numa_nodes = 0;
  int32_t cores = 0;
  int64_t available_bytes = 0;         // of the machine's memory, within the worker's cgroup; 0: unknown
  std::vector<CardReport> cards;       // all cards of the machine
  int32_t card = -1;                   // the worker's own card among `cards`; -1: none
  std::vector<std::string> addresses;  // of the machine's networks, without loopback

  bool has_card() const { return card >= 0 && card < static_cast<int32_t>(cards.size()); }
  // Of the worker's own card; -1: none.
  int32_t link_group() const { return has_card() ? cards[static_cast<size_t>(card)].link_group : -1; }
  int32_t numa_node() const { return has_card() ? cards[static_cast<size_t>(card)].numa_node : -1; }
};

// For the log: "8 cores, 1 NUMA node, 23.1 GiB free; card 2 of 8 (NVIDIA H200, 139.8 GiB free, no NVLink)".
std::string ToString(const NodeReport& report);

}  // namespace deeprack::coordinator
