// Runs a fuzz target without libFuzzer on every file of a folder: unchanged, cut short, with changed bytes,
// and with repeated pieces. Every run makes the same damaged forms.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kForms = 300;  // damaged forms of each kind, for each seed

// Copies the input to the heap at its exact size, so that AddressSanitizer finds a read of one byte too many.
void Feed(const std::string& bytes) {
  const std::vector<uint8_t> exact(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(exact.data(), exact.size());
}

void FeedDamaged(const std::string& seed) {
  if (seed.empty()) return;
  std::mt19937 random(4711);
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  for (int i = 0; i < kForms; ++i) Feed(seed.substr(0, below(seed.size())));
  for (int i = 0; i < kForms; ++i) {
    std::string changed = seed;
    for (size_t n = 1 + below(3); n > 0; --n) changed[below(changed.size())] = static_cast<char>(random());
    Feed(changed);
  }
  for (int i = 0; i < kForms; ++i) {
    const size_t from = below(seed.size()), length = below(std::min<size_t>(64, seed.size() - from));
    std::string repeated = seed;
    repeated.insert(below(seed.size()), seed, from, length);
    Feed(repeated);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER-OF-SEEDS\n", argv[0]);
    return 64;
  }
  int seeds = 0;
  Feed("");
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string seed((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    Feed(seed);
    FeedDamaged(seed);
    ++seeds;
  }
  std::printf("%d seeds, each as it is and in %d damaged forms\n", seeds, 3 * kForms);
  return seeds > 0 ? 0 : 1;
}
