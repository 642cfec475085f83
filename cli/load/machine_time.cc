#include "cli/load/machine_time.h"

#include <fstream>
#include <sstream>

namespace deeprack::cli {

MachineTime ParseMachineTime(const std::string& line) {
  constexpr int kIdle = 3, kIoWait = 4, kColumns = 8;  // the columns after "steal" repeat parts of "user"
  std::istringstream in(line);
  std::string name;
  in >> name;
  MachineTime time;
  double ticks = 0;
  for (int column = 0; column < kColumns && in >> ticks; ++column) {
    time.total += ticks;
    if (column != kIdle && column != kIoWait) time.busy += ticks;
  }
  return time;
}

MachineTime ReadMachineTime() {
  std::ifstream in("/proc/stat");
  std::string line;
  std::getline(in, line);
  return ParseMachineTime(line);
}

double BusyShare(const MachineTime& before, const MachineTime& after) {
  const double total = after.total - before.total;
  return total > 0 ? (after.busy - before.busy) / total : 0;
}

}  // namespace deeprack::cli
