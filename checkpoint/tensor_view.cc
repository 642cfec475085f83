#include "checkpoint/tensor_view.h"

namespace deeprack::checkpoint {

AlignedBytes::AlignedBytes(const TensorView& tensor) : in_place_(tensor.bytes.data()) {
  if (!tensor.aligned()) copy_.assign(tensor.bytes.begin(), tensor.bytes.end());
}

}  // namespace deeprack::checkpoint
