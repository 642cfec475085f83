// Functions of the rest of the program that vector code calls. Vector code is compiled for instruction sets
// that the processor may lack. So vector code must not contain code that the linker could share with other
// files: inline functions and templates of the standard library. The functions here are compiled once, for
// the common instruction set.
#pragma once

#include <cstdint>

#include "kernels/api/execution.h"

namespace deeprack::kernels {

// Runs body(context, i) for i in [0, tasks): on the pool if execution has one and tasks > 1, else inline.
void RunParallel(const Execution& execution, int64_t tasks, void (*body)(void* context, int64_t i),
                 void* context);

int ThreadCount(const Execution& execution);

// Memory of the calling thread, 64-byte aligned, with undefined contents. The memory is kept between calls
// and grows. A call invalidates the slot's earlier pointer on the same thread. An operation uses kCall* slots
// for its whole run and kTask* slots within one task; the calling thread runs tasks too.
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
