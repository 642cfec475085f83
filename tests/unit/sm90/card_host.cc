// The emulation: the card's memory is the host's. --late: copies and products happen as late as they may;
// --reversed: a block's threads run last to first.
#include <cstdlib>
#include <string_view>

#include "kernels/cuda/sm90/emulator/hopper.h"
#include "tests/unit/sm90/card.h"

namespace deeprack::kernels::sm90 {

void* CardAllocate(size_t bytes) { return std::aligned_alloc(1024, (bytes + 1023) / 1024 * 1024); }
void CardFree(void* p) { std::free(p); }
void CardWrite(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void CardRead(void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); }
void CardWait() {}
void* CardStream() { return nullptr; }
double Fp8Tolerance() { return 2e-5; }

}  // namespace deeprack::kernels::sm90

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--late")
      deeprack::kernels::host::SetTiming({.late_copies = true, .late_products = true});
    if (std::string_view(argv[i]) == "--late-copies")
      deeprack::kernels::host::SetTiming({.late_copies = true});
    if (std::string_view(argv[i]) == "--reversed") deeprack::kernels::host::SetReversed(true);
  }
  return RUN_ALL_TESTS();
}
