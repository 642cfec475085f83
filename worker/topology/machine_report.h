// What a worker reports of its machine when it joins: processors, cards, memory and networks. A plain value
// and the function that reads it from the system.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace deeprack::worker {

struct CardReport {
  std::string name;  // "NVIDIA H200"
  std::string uuid;
  std::string bus;  // PCI address: "0000:17:00.0"
  int64_t memory_bytes = 0;
  int64_t free_bytes = 0;
  int32_t numa_node = -1;   // the nearest one; -1: unknown
  int32_t link_group = -1;  // cards with the same number reach each other over NVLink; -1: none
};

struct MachineReport {
  std::string machine;  // equal in all processes of a machine until it starts again, also in its containers
  int32_t numa_nodes = 0;
  int32_t cores = 0;
  int64_t available_bytes = 0;  // AvailableHostBytes
  std::vector<CardReport> cards;
  int32_t card = -1;  // this worker's card among `cards`; -1: none, or not among them
  std::vector<std::string>
      addresses;  // of the machine's networks that are up, without loopback and link-local
};

// Reads the report of this machine. `card_bus` is the PCI address of the worker's own card, in any writing of
// its domain; empty: the worker computes on the CPU. What cannot be read is left out, and the log says why.
MachineReport ReadMachineReport(const std::string& card_bus);

}  // namespace deeprack::worker
