#include <cstdio>
#include <cstdlib>

#include "kernels/api/cpu_kernels.h"
#include "kernels/cpu/backend.h"

namespace deeprack::kernels {
namespace {

std::vector<const KernelSet*> FindAvailable() {
  std::vector<const KernelSet*> sets = {&generic::kKernels};
#if defined(DEEPRACK_X86_KERNELS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) {
    sets.push_back(&avx2::kKernels);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni")) {
      sets.push_back(&avx512::kKernels);
      if (__builtin_cpu_supports("avx512bf16")) sets.push_back(&avx512_bf16::kKernels);
    }
  }
#endif
  return sets;
}

const KernelSet& Choose() {
  const std::vector<const KernelSet*> sets = FindAvailable();
  const char* wanted = std::getenv("DEEPRACK_CPU_KERNELS");
  if (wanted == nullptr || *wanted == '\0') return *sets.back();
  for (const KernelSet* set : sets) {
    if (set->name == wanted) return *set;
  }
  std::fprintf(stderr, "DEEPRACK_CPU_KERNELS=%s: this processor runs", wanted);
  for (const KernelSet* set : sets)
    std::fprintf(stderr, " %.*s", static_cast<int>(set->name.size()), set->name.data());
  std::fprintf(stderr, "; using %.*s\n", static_cast<int>(sets.back()->name.size()),
               sets.back()->name.data());
  return *sets.back();
}

}  // namespace

std::vector<const KernelSet*> AvailableCpuKernels() { return FindAvailable(); }

const KernelSet& CpuKernels() {
  static const KernelSet& chosen = Choose();
  return chosen;
}

}  // namespace deeprack::kernels
