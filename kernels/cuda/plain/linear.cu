// Matrix products, plain. They are made for trust and not for speed: the Hopper kernels are compared with
// them. blockIdx.x is the tile of rows, blockIdx.y the tile of outputs. A thread computes one output feature
// of kRows rows and walks k in order. It makes the same fused multiply-adds in the same order as the CPU
// kernels, so the results are bitwise the CPU's. Activations pass through shared memory in blocks of 128. In
// a panel, 16 neighbouring threads read the 16 values of one k. packed_weight.h says how int4 in tiles is
// summed. Bytes: the weights once for every kRows rows.
#include <type_traits>

#include "base/check.h"
#include "kernels/api/int4_tiles.h"
#include "kernels/cuda/plain/device.h"
#include "kernels/cuda/plain/operations.h"
#include "kernels/cuda/plain/weight.h"

namespace deeprack::kernels::plain {
namespace {

constexpr int kThreads = 128;  // outputs per block
constexpr int kRows = 4;       // rows of x per block
constexpr int kTile = kScaleBlock;

// Stands for int4 in tiles as a type. Used only in this file.
struct Int4 {};

template <class W>
inline constexpr bool kIsScaled = std::is_same_v<W, fp8_e4m3> || std::is_same_v<W, Int4>;

// Row n of a weight in any layout. `block` is the index of a block of 128 columns, as for the scales.
template <class W>
struct WeightRow {
  const PackedWeight& weight;
  int64_t n;
  int64_t blocks;

  __device__ float At(int64_t, int64_t k) const { return WeightAt<W>(weight, n, k); }
  __device__ float scale(int64_t block) const {
    const int64_t first = n / kPanelRows * blocks + block;
    return weight.layout == WeightLayout::kRows ? weight.scales[first * 2 + n % kPanelRows / 8]
                                                : weight.scales[first * kPanelRows + n % kPanelRows];
  }
};

template <>
struct WeightRow<Int4> {
  const PackedWeight& weight;
  int64_t n;
  int64_t blocks;

  __device__ float At(int64_t block, int64_t k) const {
    const uint8_t* tile = Tile(block);
    const uint8_t* values = tile + kInt4ValueOffset;
    const int row = static_cast<int>(n % kInt4TileRows), column = static_cast<int>(k % kTile);
    const int zero = tile[kInt4ZeroOffset + row];
    if (weight.layout == WeightLayout::kTilesForE4M3) {
      const Int4Place place = PlaceInt4(row, column);
      return static_cast<float>(Int4Value(values[place.byte], place.second) - zero);
    }
    const int64_t nibble = Int4Nibble(row, column);
    return static_cast<float>((values[nibble / 2] >> (nibble % 2 * 4) & 15) - zero);
  }
  __device__ float scale(int64_t block) const {
    return reinterpret_cast<const float*>(Tile(block))[n % kInt4TileRows];
  }
  __device__ const uint8_t* Tile(int64_t block) const {
    return static_cast<const uint8_t*>(weight.data) + (n / kInt4TileRows * blocks + block) * kInt4TileBytes;
  }
};

template <class Args>
__device__ const PackedWeight* OnDevice(const Args& args) {
  return args.device_weights != nullptr ? args.device_weights : args.weights;
}

// Computes kThreads features of up to kRows rows. x_row(r) returns the first input of the tile's row r,
// out_row(r) the first output.
template <class W, class X, class O, class XRow, class ORow>
__device__ void Product(const PackedWeight& weight, int rows, XRow x_row, ORow out_row) {
  __shared__ float tile[kRows][kTile];
  const int64_t n = int64_t{blockIdx.y} * kThreads + threadIdx.x;
  const int64_t features = weight.panels() * kPanelRows;
  const int64_t first = kIsScaled<W> ? weight.k_block_offset : 0;
  const int64_t blocks = (first + weight.k + kTile - 1) / kTile;
  const WeightRow<W> weights{weight, n, blocks};
  float sums[kRows] = {};
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t begin = b * kTile < first ? 0 : b * kTile - first;
    const int64_t end = (b + 1) * kTile - first < weight.k ? (b + 1) * kTile - first : weight.k;
    const int width = static_cast<int>(end - begin);
    __syncthreads();  // all threads have read the last tile
    for (int i = threadIdx.x; i < rows * width; i += kThreads) {
      const X* row = x_row(i / width);
      tile[i / width][i % width] = ToFloat(row[begin + i % width]);
    }
    __syncthreads();
    if (n >= features) continue;
    if constexpr (kIsScaled<W>) {
      const float scale = weights.scale(b);
      float part[kRows] = {};
      for (int k = 0; k < width; ++k) {
        const float w = weights.At(b, begin + k);
        for (int r = 0; r < rows; ++r) part[r] = fmaf(tile[r][k], w, part[r]);
      }
      for (int r = 0; r < rows; ++r) sums[r] = fmaf(part[r], scale, sums[r]);
    } else {
      for (int k = 0; k < width; ++k) {
        const float w = weights.At(b, begin + k);
        for (int r = 0; r < rows; ++r) sums[r] = fmaf(tile[r][k], w, sums[r]);
      }
    }
  }
  if (n >= weight.n) return;
  for (int r = 0; r < rows; ++r) {
    O* row = out_row(r);
    row[n] = FromFloat<O>(sums[r]);
  }
}

template <class W, class X, class O>
__global__ void LinearKernel(LinearArgs args) {
  const int64_t first = int64_t{blockIdx.x} * kRows;
  const int rows = static_cast<int>(args.x.rows - first < kRows ? args.x.rows - first : kRows);
  Product<W, X, O>(
      args.weight, rows, [&](int r) { return static_cast<const X*>(args.x.data) + (first + r) * args.x.stride; },
      [&](int r) { return static_cast<O*>(args.out.data) + (first + r) * args.out.stride; });
}

// blockIdx.x is head * row_tiles + the tile of rows.
template <class W, class X, class O>
__global__ void HeadLinearKernel(HeadLinearArgs args, int64_t row_tiles) {
  const int64_t head = blockIdx.x / row_tiles;
  const int64_t first = blockIdx.x % row_tiles * kRows;
  const int rows = static_cast<int>(args.x.rows - first < kRows ? args.x.rows - first : kRows);
  const PackedWeight weight = OnDevice(args)[head];
  Product<W, X, O>(
      weight, rows,
      [&](int r) {
        return static_cast<const X*>(args.x.data) + (first + r) * args.x.stride + head * args.x_head_stride;
      },
      [&](int r) { return static_cast<O*>(args.out.data) + (first + r) * args.out.stride + head * weight.n; });
}

// blockIdx.x is a tile of rows, counted through all experts. Only the device knows the number of rows of each
// expert, so the grid has a block for every possible tile, and blocks past the last tile do nothing.
template <class W, class X, class O>
__global__ void GroupedLinearKernel(GroupedLinearArgs args) {
  int64_t tile = blockIdx.x;
  int64_t expert = 0;
  for (; expert < args.experts; ++expert) {
    const int64_t tiles = (args.offsets[expert + 1] - args.offsets[expert] + kRows - 1) / kRows;
    if (tile < tiles) break;
    tile -= tiles;
  }
  if (expert == args.experts) return;
  const int64_t first = args.offsets[expert] + tile * kRows;
  const int64_t end = args.offsets[expert + 1];
  const int rows = static_cast<int>(end - first < kRows ? end - first : kRows);
  Product<W, X, O>(
      OnDevice(args)[expert], rows,
      [&](int r) {
        const int64_t row = args.row_index ? args.row_index[first + r] : first + r;
        return static_cast<const X*>(args.x.data) + row * args.x.stride;
      },
      [&](int r) { return static_cast<O*>(args.out.data) + (first + r) * args.out.stride; });
}

// Calls f with values of the C++ types of the weight, the input and the output.
template <class F>
void DispatchTypes(DType weight, DType x, DType out, F&& f) {
  DR_CHECK(SizeOf(weight) > 0 || weight == DType::kInt4G128);  // loading expands the other block formats
  DispatchActivation(x, [&](auto x_value) {
    DispatchActivation(out, [&](auto out_value) {
      if (weight == DType::kF8E4M3) {
        f(fp8_e4m3{}, x_value, out_value);
      } else if (weight == DType::kBF16) {
        f(bf16{}, x_value, out_value);
      } else if (weight == DType::kInt4G128) {
        f(Int4{}, x_value, out_value);
      } else {
        f(float{}, x_value, out_value);
      }
    });
  });
}

int64_t FeatureTiles(const PackedWeight& weight) { return (weight.n + kThreads - 1) / kThreads; }

}  // namespace

void Linear(const LinearArgs& args, const Execution& execution) {
  if (args.x.rows == 0) return;
  const dim3 grid((args.x.rows + kRows - 1) / kRows, FeatureTiles(args.weight));
  DispatchTypes(args.weight.type, args.x.type, args.out.type, [&](auto w, auto x, auto o) {
    DR_LAUNCH((LinearKernel<decltype(w), decltype(x), decltype(o)>), grid, dim3(kThreads), execution, args);
  });
}

void HeadLinear(const HeadLinearArgs& args, const Execution& execution) {
  if (args.x.rows == 0 || args.heads == 0) return;
  const int64_t row_tiles = (args.x.rows + kRows - 1) / kRows;
  const dim3 grid(args.heads * row_tiles, FeatureTiles(args.weights[0]));
  DispatchTypes(args.weights[0].type, args.x.type, args.out.type, [&](auto w, auto x, auto o) {
    DR_LAUNCH((HeadLinearKernel<decltype(w), decltype(x), decltype(o)>), grid, dim3(kThreads), execution, args,
              row_tiles);
  });
}

void GroupedLinear(const GroupedLinearArgs& args, const Execution& execution) {
  if (args.out.rows == 0 || args.experts == 0) return;
  // The largest possible number of tiles: every expert with rows can have one tile that is not full.
  const int64_t experts_with_rows = args.experts < args.out.rows ? args.experts : args.out.rows;
  const dim3 grid((args.out.rows - experts_with_rows) / kRows + experts_with_rows, FeatureTiles(args.weights[0]));
  DispatchTypes(args.weights[0].type, args.x.type, args.out.type, [&](auto w, auto x, auto o) {
    DR_LAUNCH((GroupedLinearKernel<decltype(w), decltype(x), decltype(o)>), grid, dim3(kThreads), execution, args);
  });
}

}  // namespace deeprack::kernels::plain
