#include "kernels/cuda/sm90/emulator/hopper.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <random>
#include <vector>

#include "base/check.h"

namespace deeprack::kernels::host {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int kNamedBarriers = 16;

struct Thread {
  std::vector<Product> open;
  std::vector<std::vector<Product>> groups;
};

struct Card {
  std::unique_ptr<uint8_t[]> storage = std::make_unique<uint8_t[]>(sm90::kSharedBytes + sm90::kSwizzleAtom);
  uint32_t shared_bytes = 0;
  Timing timing;
  std::vector<std::function<void()>> copies;
  std::vector<Thread> threads = std::vector<Thread>(kMaxThreads);
  struct {
    int arrived = 0;
    uint64_t generation = 0;
  } named[kNamedBarriers];
  std::minstd_rand random{7};
};

thread_local Card card;

// The fields of an mbarrier's word: the missing bytes, the arrivals that a phase expects, the missing
// arrivals, the phase's parity, and a mark that the barrier was initialised.
struct Word {
  int32_t bytes;
  uint32_t expected : 12, missing : 12, parity : 1, mark : 7;
};
static_assert(sizeof(Word) == sizeof(uint64_t));
constexpr uint32_t kMark = 0x55;

Word Read(const uint64_t& word) {
  Word fields;
  std::memcpy(&fields, &word, sizeof(fields));
  DR_CHECK(fields.mark == kMark);  // otherwise no barrier was initialised at this address
  return fields;
}

void Write(uint64_t& word, Word fields) {
  if (fields.missing == 0 && fields.bytes == 0) {
    fields.parity ^= 1;
    fields.missing = fields.expected;
  }
  std::memcpy(&word, &fields, sizeof(fields));
}

void Complete(uint64_t& word, uint32_t bytes) {
  Word fields = Read(word);
  fields.bytes -= static_cast<int32_t>(bytes);
  Write(word, fields);
}

void StartCopy(std::function<void()> copy) {
  if (card.timing.late_copies) {
    card.copies.push_back(std::move(copy));
  } else {
    copy();
  }
}

bool DoOneCopy() {
  if (card.copies.empty()) return false;
  std::swap(card.copies[card.random() % card.copies.size()], card.copies.back());
  const std::function<void()> copy = std::move(card.copies.back());
  card.copies.pop_back();
  copy();
  return true;
}

void BeginBlock() {
  std::fill_n(SharedMemory(), card.shared_bytes, uint8_t{0xff});
  for (auto& barrier : card.named) barrier = {};
}

void EndBlock() {
  DR_CHECK(card.copies.empty());
  for (const Thread& thread : card.threads) DR_CHECK(thread.open.empty() && thread.groups.empty());
  for (const auto& barrier : card.named) DR_CHECK(barrier.arrived == 0);
}

Thread& CurrentThread() { return card.threads[Current().thread.x]; }

const float* E4M3Values() {
  static const std::vector<float> values = [] {
    std::vector<float> all(256);
    for (int bits = 0; bits < 256; ++bits) all[bits] = ToFloat(fp8_e4m3{static_cast<uint8_t>(bits)});
    return all;
  }();
  return values.data();
}

// Row mn of an operand in shared memory, with all its k. Swizzling moves whole pieces of 16 bytes.
void ReadRow(const sm90::DescriptorFields& fields, bool bf16_type, bool mn_major, int mn, float (&row)[32]) {
  const int bytes = bf16_type ? 2 : 1, together = mn_major ? 1 : 16 / bytes, depth = 32 / bytes;
  for (int k = 0; k < depth; k += together) {
    const uint32_t address = sm90::Swizzle128(sm90::OperandOffset(fields, mn_major, bytes, mn, k));
    DR_CHECK(address < card.shared_bytes);
    const uint8_t* const at = SharedMemory() + address;
    for (int i = 0; i < together; ++i) {
      row[k + i] = bf16_type ? std::bit_cast<float>(uint32_t{at[2 * i]} << 16 | uint32_t{at[2 * i + 1]} << 24)
                             : E4M3Values()[at[i]];
    }
  }
}

void Run(const Product& product) {
  const int depth = product.bf16 ? 16 : 32;
  const int thread = static_cast<int>(Current().thread.x % sm90::kWarpgroup);
  const sm90::DescriptorFields a_fields = sm90::Decode(product.a), b_fields = sm90::Decode(product.b);
  DR_CHECK(b_fields.swizzle == 1 && b_fields.base_offset == 0 &&
           (product.a_in_registers || a_fields.swizzle == 1));
  float a[2][32];
  for (int half = 0; half < 2; ++half) {
    if (product.a_in_registers) {
      std::copy_n(product.a_rows[half], depth, a[half]);
    } else {
      ReadRow(a_fields, product.bf16, product.a_mn_major, sm90::AccumulatorRow(thread, 2 * half), a[half]);
    }
  }
  for (int i = 0; i < product.n / 2; i += 4) {
    for (int pair = 0; pair < 2; ++pair) {
      float b[32];
      ReadRow(b_fields, product.bf16, product.b_mn_major, sm90::AccumulatorColumn(thread, i + pair), b);
      for (int half = 0; half < 2; ++half) {
        float& d = product.d[i + 2 * half + pair];
        float sum = product.accumulate ? d : 0.0f;
        for (int k = 0; k < depth; ++k) sum += a[half][k] * b[k];
        d = sum;
      }
    }
  }
}

}  // namespace

void SetTiming(Timing timing) { card.timing = timing; }

uint8_t* SharedMemory() {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(card.storage.get());
  return reinterpret_cast<uint8_t*>((begin + sm90::kSwizzleAtom - 1) / sm90::kSwizzleAtom *
                                    sm90::kSwizzleAtom);
}

uint32_t SharedOffset(const void* p) {
  const ptrdiff_t offset = static_cast<const uint8_t*>(p) - SharedMemory();
  DR_CHECK(offset >= 0 && offset < static_cast<ptrdiff_t>(card.shared_bytes));
  return static_cast<uint32_t>(offset);
}

void RunWithShared(uint32_t bytes, Dim grid, int threads, const std::function<void()>& body) {
  DR_CHECK(bytes <= sm90::kSharedBytes);
  card.shared_bytes = bytes;
  SetWorkBesideThreads(DoOneCopy);
  SetBlockHooks(BeginBlock, EndBlock);
  RunGrid(grid, {static_cast<unsigned>(threads), 1, 1}, body);
  SetWorkBesideThreads(nullptr);
  SetBlockHooks(nullptr, nullptr);
}

void Issue(const Product& product) {
  if (card.timing.late_products) {
    CurrentThread().open.push_back(product);
  } else {
    Run(product);
  }
}

void Commit() {
  if (!card.timing.late_products) return;
  Thread& thread = CurrentThread();
  thread.groups.push_back(std::move(thread.open));
  thread.open.clear();
}

void WaitForProducts(int pending) {
  Thread& thread = CurrentThread();
  DR_CHECK(thread.open.empty());  // the kernel must commit its products before it waits
  while (static_cast<int>(thread.groups.size()) > pending) {
    for (const Product& product : thread.groups.front()) Run(product);
    thread.groups.erase(thread.groups.begin());
  }
}

void GatherFragment(const uint32_t (&a)[4], bool bf16_type, float (&rows)[2][32]) {
  const int lane = static_cast<int>(Current().thread.x % sm90::kWarp);
  for (int column_lane = 0; column_lane < 4; ++column_lane) {
    for (int j = 0; j < 4; ++j) {
      const uint32_t word = ExchangeAs(a[j], lane / 4 * 4 + column_lane);
      if (!bf16_type) {
        float* const row = rows[j % 2] + sm90::ByteFragmentColumn(column_lane, j);
        for (int i = 0; i < 4; ++i) row[i] = E4M3Values()[word >> (8 * i) & 0xff];
        continue;
      }
      float* const row = rows[j % 2] + sm90::FragmentColumn(column_lane, j);
      row[0] = ToFloat(bf16{static_cast<uint16_t>(word)});
      row[1] = ToFloat(bf16{static_cast<uint16_t>(word >> 16)});
    }
  }
}

void BarrierInit(uint64_t& word, uint32_t arrivals) {
  DR_CHECK(SharedOffset(&word) % 8 == 0 && arrivals > 0 && arrivals <= 1024);
  Write(word, {0, arrivals, arrivals, 0, kMark});
}

void BarrierArrive(uint64_t& word, uint32_t bytes) {
  Word fields = Read(word);
  DR_CHECK(fields.missing > 0);
  fields.bytes += static_cast<int32_t>(bytes);
  --fields.missing;
  Write(word, fields);
}

void BarrierWait(uint64_t& word, uint32_t parity) {
  WaitUntil([&word, parity] { return Read(word).parity != parity; });
}

void StartCopyBox(void* to, const sm90::TensorMap& map, int c0, int c1, int c2, uint64_t& barrier) {
  sm90::TensorMapSpec spec;
  std::memcpy(&spec, map.words, sizeof(spec));
  const uint32_t begin = SharedOffset(to);
  DR_CHECK(begin % (spec.swizzle ? sm90::kSwizzleAtom : 128) == 0);
  StartCopy([=, &barrier] {
    const int64_t corner[3] = {c0, c1, c2};
    const auto size = static_cast<int64_t>(SizeOf(spec.type));
    uint32_t offset = 0;
    for (int64_t z = 0; z < spec.box[2]; ++z) {
      for (int64_t y = 0; y < spec.box[1]; ++y) {
        for (int64_t x = 0; x < spec.box[0]; ++x, offset += static_cast<uint32_t>(size)) {
          const int64_t at[3] = {corner[0] + x, corner[1] + y, corner[2] + z};
          bool inside = true;
          for (int i = 0; i < 3; ++i) inside &= at[i] >= 0 && at[i] < spec.sizes[i];
          const uint32_t address = spec.swizzle ? sm90::Swizzle128(begin + offset) : begin + offset;
          uint8_t* element = SharedMemory() + address;
          if (inside) {
            std::memcpy(element,
                        static_cast<const uint8_t*>(spec.base) + at[0] * size + at[1] * spec.stride_bytes[0] +
                            at[2] * spec.stride_bytes[1],
                        static_cast<size_t>(size));
          } else {
            std::memset(element, 0, static_cast<size_t>(size));
          }
        }
      }
    }
    DR_CHECK(begin + offset <= card.shared_bytes);
    Complete(barrier, offset);
  });
}

void StartCopyBytes(void* to, const void* from, uint32_t bytes, uint64_t& barrier) {
  DR_CHECK(SharedOffset(to) % 16 == 0 && reinterpret_cast<uintptr_t>(from) % 16 == 0 && bytes % 16 == 0);
  DR_CHECK(SharedOffset(to) + bytes <= card.shared_bytes);
  StartCopy([=, &barrier] {
    std::memcpy(to, from, bytes);
    Complete(barrier, bytes);
  });
}

void NamedBarrier(int id, int threads) {
  DR_CHECK(id > 0 && id < kNamedBarriers && threads % sm90::kWarp == 0);
  auto& barrier = card.named[id];
  const uint64_t generation = barrier.generation;
  if (++barrier.arrived == threads) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  WaitUntil([&barrier, generation] { return barrier.generation != generation; });
}

}  // namespace deeprack::kernels::host

namespace deeprack::kernels::sm90 {

TensorMap EncodeTensorMap(const TensorMapSpec& spec) {
  if (const char* wrong = WhatIsWrong(spec)) std::fprintf(stderr, "tensor map: %s\n", wrong);
  DR_CHECK(WhatIsWrong(spec) == nullptr);
  TensorMap map;
  static_assert(sizeof(spec) <= sizeof(map.words));
  std::memcpy(map.words, &spec, sizeof(spec));
  return map;
}

}  // namespace deeprack::kernels::sm90
