// How much of the machine's processor time is in use, by all programs.
#pragma once

#include <string>

namespace deeprack::cli {

// Clock ticks of all processors since the machine's start.
struct MachineTime {
  double busy = 0, total = 0;
};

// From the first line of /proc/stat; zeros when there is none.
MachineTime ReadMachineTime();
MachineTime ParseMachineTime(
    const std::string& line);  // "cpu  user nice system idle iowait irq softirq steal ..."

// The share of the time between two readings in which a processor was busy, from 0 to 1; 0 when no time has
// passed.
double BusyShare(const MachineTime& before, const MachineTime& after);

}  // namespace deeprack::cli
