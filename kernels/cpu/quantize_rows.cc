// Quantises rows of x to int8 (block_form.h) in one pass of about one operation an element.
#include "kernels/api/matrix.h"
#include "kernels/cpu/block_form.h"
#include "kernels/cpu/bytes.h"
#include "kernels/cpu/product.h"

namespace deeprack::kernels::DEEPRACK_SIMD {
namespace {

// Groups of x below this are zeros: 127 / absmax would overflow.
constexpr float kSmallest = 1e-30f;
constexpr float kLargest = 3.402823466e38f;

// The sums of q over each group of a step; a step without groups is one group.
template <BlockForm kForm>
struct GroupSums {
  static constexpr int kGroup = kForm.group == 0 ? kForm.step : kForm.group;
  int32_t v[kForm.step / kGroup];
};

template <BlockForm kForm>
GroupSums<kForm> SumGroups(const int8_t (&q)[kForm.step]) {
  constexpr int kPadded = kForm.step < 64 ? 64 : kForm.step;
  int8_t padded[kPadded] = {};
  __builtin_memcpy(padded, q, sizeof(q));
  int32_t quads[kPadded / 4];
  for (int i = 0; i < kPadded; i += 64) Store(quads + i / 4, SumsOfQuads(LoadBytes(padded + i)));
  GroupSums<kForm> sums = {};
  constexpr int kQuads = GroupSums<kForm>::kGroup / 4;
  for (int i = 0; i < kForm.step / 4; ++i) sums.v[i / kQuads] += quads[i];
  return sums;
}

template <BlockForm kForm>
void FillSums(int offset, QuantizedStep<kForm>& step) {
  const GroupSums<kForm> sums = SumGroups<kForm>(step.q);
  if constexpr (kForm.minimum == Minimum::kOfGroups) {
    for (int quad = 0; quad < kForm.step / kForm.group / 4; ++quad) {
      uint32_t high = 0, low = 0;
      for (int g = 0; g < 4; ++g) {
        const int32_t sum = -sums.v[quad * 4 + g];
        high |= static_cast<uint32_t>(sum >> 6 & 0xff) << (8 * g);
        low |= static_cast<uint32_t>(sum & 63) << (8 * g);
      }
      step.sums[2 * quad] = static_cast<int32_t>(high);
      step.sums[2 * quad + 1] = static_cast<int32_t>(low);
    }
  } else if constexpr (kForm.minimum == Minimum::kOfBlock) {
    step.sums[0] = static_cast<int32_t>(FloatToBits(static_cast<float>(sums.v[0])));
  } else if constexpr (kForm.minimum == Minimum::kZeroPoint) {
    step.sums[0] = -sums.v[0];
  } else {
    for (int g = 0; g < kForm.sums(); ++g) step.sums[g] = -offset * sums.v[g];
  }
}

// A step with infinities or NaN gets the scale NaN: the row's results are NaN, as they should be.
template <BlockForm kForm>
void QuantizeStep(const float (&x)[kForm.step], int offset, QuantizedStep<kForm>& step) {
  uint32_t largest_bits = 0;
  for (float value : x) {
    const uint32_t bits = FloatToBits(value) & 0x7fffffffu;
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  const float largest = BitsToFloat(largest_bits);
  const bool finite = largest <= kLargest;
  const bool zero = largest < kSmallest;
  step.scale = zero ? 0.0f : finite ? largest / 127.0f : BitsToFloat(0x7fc00000u);
  const float inverse = finite && !zero ? 127.0f / largest : 0.0f;
  for (int i = 0; i < kForm.step; ++i) {
    const float rounded = x[i] * inverse + 12582912.0f;  // 1.5 * 2^23: the integer is in the low bits
    step.q[i] = static_cast<int8_t>(FloatToBits(rounded) & 0xff);
  }
  FillSums<kForm>(offset, step);
}

template <BlockForm kForm, class T>
void Quantize(const T* x, int64_t k, int offset, QuantizedStep<kForm>* steps) {
  for (int64_t s = 0; s < k / kForm.step; ++s) {
    float values[kForm.step];
    for (int i = 0; i < kForm.step; i += 16) Store(values + i, Load(x + s * kForm.step + i));
    QuantizeStep<kForm>(values, offset, steps[s]);
  }
}

}  // namespace

int64_t QuantizedRowBytes(DType weight_type, int64_t k) {
  int64_t bytes = 0;
  DispatchBlockType(weight_type, [&bytes, k](auto type) {
    constexpr BlockForm kForm = FormOf(type.kValue);
    bytes = k / kForm.step * int64_t{sizeof(QuantizedStep<kForm>)};
  });
  return bytes;
}

void QuantizeRow(DType weight_type, const Matrix& x, int64_t row, void* to) {
  DispatchBlockType(weight_type, [&x, row, to](auto type) {
    constexpr BlockForm kForm = FormOf(type.kValue);
    auto* steps = static_cast<QuantizedStep<kForm>*>(to);
    if (x.type == DType::kBF16) {
      Quantize<kForm>(x.row<const bf16>(row), x.cols, OffsetOf(type.kValue), steps);
    } else {
      Quantize<kForm>(x.row<const float>(row), x.cols, OffsetOf(type.kValue), steps);
    }
  });
}

}  // namespace deeprack::kernels::DEEPRACK_SIMD
