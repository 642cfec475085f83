// The Hopper kernels' tests on a real card: device memory, every operation waited for.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {
namespace {

// An error that loses the context ends the program: later results would mean nothing.
void Need(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s; the card refuses further work\n", what, cudaGetErrorString(error));
  std::_Exit(1);
}

}  // namespace

void* CardAllocate(size_t bytes) {
  void* p = nullptr;
  Need(cudaMalloc(&p, bytes), "allocate");
  return p;
}
void CardFree(void* p) { Need(cudaFree(p), "free"); }
void CardWrite(void* to, const void* from, size_t bytes) {
  Need(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice), "copy");
}
void CardRead(void* to, const void* from, size_t bytes) {
  Need(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost), "copy");
}
void CardWait() {
  const cudaError_t launch = cudaGetLastError();
  EXPECT_EQ(launch, cudaSuccess) << "launch: " << cudaGetErrorString(launch);
  Need(cudaDeviceSynchronize(), ::testing::UnitTest::GetInstance()->current_test_info()->name());
}
void* CardStream() {
  static const cudaStream_t stream = [] {
    cudaStream_t made = nullptr;
    Need(cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking), "stream");
    return made;
  }();
  return stream;
}
double Fp8Tolerance() { return 2e-3; }

}  // namespace deeprack::kernels::sm90

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  cudaDeviceProp card;
  if (cudaGetDeviceProperties(&card, 0) != cudaSuccess) {
    std::fprintf(stderr, "no GPU on this machine\n");
    return 69;
  }
  if (card.major != 9) {
    std::fprintf(stderr, "%s has no sm_90a: its kernels were not checked\n", card.name);
    return 69;
  }
  return RUN_ALL_TESTS();
}
