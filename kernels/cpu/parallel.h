// What the vector units need from the rest of the program. They are compiled for instruction sets that this
// processor may lack, so they must not hold code that the linker could share with others (inline functions
// and templates of the standard library): these functions are compiled once, for the common instruction set.
#pragma once

#include <cstdint>

#include "kernels/api/execution.h"

namespace deeprack::kernels {

// Runs body(context, i) for i in [0, tasks), on the pool if there is one and more than one task.
void RunParallel(const Execution& execution, int64_t tasks, void (*body)(void* context, int64_t i),
                 void* context);

int ThreadCount(const Execution& execution);

// Memory of the calling thread, 64-byte aligned, kept and grown between calls; contents are undefined. A
// slot's earlier pointer is invalid after the next call for the same slot on the same thread. kCall* slots
// belong to an operation for its whole run, kTask* slots to one task of it (the calling thread runs tasks
// too).
enum ScratchSlot {
  kCallRows,
  kCallProducts,
  kCallLogits,
  kTaskTile,
  kTaskTotals,
  kTaskQuery,
  kTaskPage,
  kTaskEntries,
  kScratchSlots
};
void* Scratch(ScratchSlot slot, int64_t bytes);

}  // namespace deeprack::kernels
