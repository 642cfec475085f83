// The sources of weights for products with blocks: PackedBlock reads a block from memory; ExpandedBlock reads
// a block that was expanded once, to bytes and fp32 scales, for many rows. Both give the same integers.
#pragma once

#include "kernels/cpu/block_form.h"
#include "kernels/cpu/bytes.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

constexpr int kUnit = 32;  // columns that are unpacked at once: 8 quads

template <class F>
[[gnu::always_inline]] inline void ForEachQuad(F f) {
  f.template operator()<0>();
  f.template operator()<1>();
  f.template operator()<2>();
  f.template operator()<3>();
  f.template operator()<4>();
  f.template operator()<5>();
  f.template operator()<6>();
  f.template operator()<7>();
}

// A packed block (block_layout.h).
template <DType kType>
class PackedBlock {
 public:
  static constexpr BlockForm kForm = FormOf(kType);
  static constexpr int64_t kBytes = PackedBlockBytes(kType);

  PackedBlock() = default;
  explicit PackedBlock(const uint8_t* p) : p_(p) {}

  // Quad kIndex of 0 to 7 of a unit's columns.
  template <int kIndex>
  [[gnu::always_inline]] Bytes Quad(int64_t unit) const {
    const uint8_t* low = p_ + unit * (kUnit * 2 * kLayout.low_bits);  // 16 rows / 8 bits
    if constexpr (kLayout.low_bits == 8) {
      return LoadBytes(low + kIndex * 64);
    } else {
      Bytes quad;
      if constexpr (kLayout.low_bits == 4) {
        quad = And<15>(ShiftRight<kIndex % 2 * 4>(LoadBytes(low + kIndex / 2 * 64)));
      } else {
        quad = And<3>(ShiftRight<kIndex % 4 * 2>(LoadBytes(low + kIndex / 4 * 64)));
      }
      if constexpr (kLayout.high_bits != 0) quad = AddHighBits<kIndex>(unit, quad);
      return quad;
    }
  }

  // The integer scales of a quad of groups, in order of groups.
  class Scales {
   public:
    Scales() = default;
    explicit Scales(Bytes quad) : quad_(quad) {}
    [[gnu::always_inline]] F16 Next() {
      I16 scale;
      if constexpr (kForm.scales_are_signed) {
        scale = FirstSignedByte(quad_);
      } else {
        scale = FirstByte(quad_);
      }
      quad_ = DropByte(quad_);
      return ToFloat(scale);
    }

   private:
    Bytes quad_;
  };
  template <int kQuad>
  [[gnu::always_inline]] Scales ScalesOf() const {
    if constexpr (kType == DType::kQ6K) return Scales(LoadBytes(p_ + kLayout.scales + kQuad * 64));
    if constexpr (kType == DType::kQ2K) return Scales(And<15>(LoadBytes(p_ + kLayout.scales + kQuad * 64)));
    if constexpr (kType == DType::kQ3K) return Scales(AddBytes(SixBits<kQuad>(), -32));
    return Scales(SixBits<kQuad>());
  }
  // The minima of a quad of groups.
  template <int kQuad>
  [[gnu::always_inline]] Bytes MinimaOf() const {
    if constexpr (kType == DType::kQ2K)
      return And<15>(ShiftRight<4>(LoadBytes(p_ + kLayout.scales + kQuad * 64)));
    return SixBits<2 + kQuad>();
  }

  [[gnu::always_inline]] F16 d() const {
    if constexpr (kForm.scales_are_f32) return Load(reinterpret_cast<const float*>(p_ + kLayout.d));
    return Load(reinterpret_cast<const f16*>(p_ + kLayout.d));
  }
  [[gnu::always_inline]] F16 m() const { return Load(reinterpret_cast<const f16*>(p_ + kLayout.m)); }
  [[gnu::always_inline]] I16 zero() const { return Load(p_ + kLayout.m); }

 private:
  static constexpr BlockLayout kLayout = LayoutOf(kType);

  template <int kIndex>
  [[gnu::always_inline]] Bytes AddHighBits(int64_t unit, Bytes quad) const {
    constexpr int kInRegister = 8 / kLayout.high_bits;
    constexpr int kFrom = kIndex % kInRegister * kLayout.high_bits;  // the first bit in memory
    constexpr int kTo = kLayout.low_bits;                            // the first bit in the value
    constexpr uint8_t kMask = ((1 << kLayout.high_bits) - 1) << kTo;
    const Bytes plane =
        LoadBytes(p_ + kLayout.high + unit * (kUnit * 2 * kLayout.high_bits) + kIndex / kInRegister * 64);
    if constexpr (kFrom >= kTo) return OrMasked<kMask>(quad, ShiftRight<kFrom - kTo>(plane));
    if constexpr (kFrom < kTo) return OrMasked<kMask>(quad, ShiftLeft<kTo - kFrom>(plane));
  }

  template <int kQuad>
  [[gnu::always_inline]] Bytes SixBits() const {
    const uint8_t* p = p_ + kLayout.scales;
    if constexpr (kQuad < 3) {
      return And<63>(LoadBytes(p + kQuad * 64));
    } else {
      const Bytes low = And<3>(ShiftRight<6>(LoadBytes(p)));
      const Bytes middle = OrMasked<12>(low, ShiftRight<4>(LoadBytes(p + 64)));
      return OrMasked<48>(middle, ShiftRight<2>(LoadBytes(p + 128)));
    }
  }

  const uint8_t* p_;
};

// A block expanded for many rows.
template <BlockForm kBlockForm>
class ExpandedBlock {
  static constexpr int kGroups = kBlockForm.group == 0 ? 0 : kBlockForm.elements / kBlockForm.group;
  static constexpr bool kHasMinima = kBlockForm.minimum == Minimum::kOfGroups;
  // Offsets of the parts.
  static constexpr int64_t kScales = kBlockForm.elements * 16;
  static constexpr int64_t kMinima = kScales + kGroups * 64;
  static constexpr int64_t kD = kMinima + (kHasMinima ? kGroups * 16 : 0);
  static constexpr int64_t kM = kD + 64;

 public:
  static constexpr BlockForm kForm = kBlockForm;
  static constexpr int64_t kBytes = kM + (kForm.minimum == Minimum::kNone ? 0 : 64);

  ExpandedBlock() = default;
  explicit ExpandedBlock(const uint8_t* p) : p_(p) {}

  // Writes kBytes bytes, 64-byte aligned.
  template <DType kType>
  static void Expand(const PackedBlock<kType>& block, uint8_t* to) {
    for (int64_t unit = 0; unit < kForm.elements / kUnit; ++unit) {
      ForEachQuad([&]<int kIndex>() __attribute__((always_inline)) {
        StoreBytes(to + (unit * 8 + kIndex) * 64, block.template Quad<kIndex>(unit));
      });
    }
    if constexpr (kGroups != 0) {
      ExpandQuad<0>(block, to);
      ExpandQuad<1>(block, to);
    }
    if constexpr (kGroups == 16) {
      ExpandQuad<2>(block, to);
      ExpandQuad<3>(block, to);
    }
    Store(reinterpret_cast<float*>(to + kD), block.d());
    if constexpr (kForm.minimum == Minimum::kZeroPoint) {
      Store(reinterpret_cast<int32_t*>(to + kM), block.zero());
    } else if constexpr (kForm.minimum != Minimum::kNone) {
      Store(reinterpret_cast<float*>(to + kM), block.m());
    }
  }

  template <int kIndex>
  [[gnu::always_inline]] Bytes Quad(int64_t unit) const {
    return LoadBytes(p_ + (unit * 8 + kIndex) * 64);
  }

  class Scales {
   public:
    Scales() = default;
    explicit Scales(const uint8_t* p) : next_(reinterpret_cast<const float*>(p)) {}
    [[gnu::always_inline]] F16 Next() {
      const F16 scale = Load(next_);
      next_ += 16;
      return scale;
    }

   private:
    const float* next_;
  };
  template <int kQuad>
  [[gnu::always_inline]] Scales ScalesOf() const {
    return Scales(p_ + kScales + kQuad * 256);
  }
  template <int kQuad>
  [[gnu::always_inline]] Bytes MinimaOf() const {
    return LoadBytes(p_ + kMinima + kQuad * 64);
  }
  [[gnu::always_inline]] F16 d() const { return Load(reinterpret_cast<const float*>(p_ + kD)); }
  [[gnu::always_inline]] F16 m() const { return Load(reinterpret_cast<const float*>(p_ + kM)); }
  [[gnu::always_inline]] I16 zero() const { return Load(reinterpret_cast<const int32_t*>(p_ + kM)); }

 private:
  template <int kQuad, DType kType>
  static void ExpandQuad(const PackedBlock<kType>& block, uint8_t* to) {
    auto scales = block.template ScalesOf<kQuad>();
    for (int g = 0; g < 4; ++g)
      Store(reinterpret_cast<float*>(to + kScales + kQuad * 256 + g * 64), scales.Next());
    if constexpr (kHasMinima) StoreBytes(to + kMinima + kQuad * 64, block.template MinimaOf<kQuad>());
  }

  const uint8_t* p_;
};

}  // namespace
}  // namespace deeprack::kernels::DEEPRACK_SIMD
