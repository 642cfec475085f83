#include "tests/unit/collectives/communicator_checks.h"

#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace deeprack::worker {
namespace {

constexpr int64_t kSizes[] = {0, 1, 7, 1000, 100003};

// The value of one element on one rank. A pure function; the values differ widely in size, so another order
// of a sum gives other bits.
float ValueOf(int rank, int64_t i) {
  uint64_t x = (static_cast<uint64_t>(rank) + 1) * 0x9e3779b97f4a7c15u +
               static_cast<uint64_t>(i) * 0xbf58476d1ce4e5b9u;
  x ^= x >> 31;
  x *= 0x94d049bb133111ebu;
  x ^= x >> 29;
  const float mantissa = 1.0f + static_cast<float>(x & 0xffff) / 65536.0f;
  const float sign = (x >> 16) & 1 ? -1.0f : 1.0f;
  return sign * std::ldexp(mantissa, static_cast<int>((x >> 17) % 24) - 12);
}

template <class T>
std::vector<T> ValuesOf(int rank, int64_t count, int64_t offset = 0) {
  std::vector<T> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = FromFloat<T>(ValueOf(rank, offset + i));
  return values;
}

template <class T>
std::vector<T> SumInRankOrder(int ranks, int64_t count) {
  std::vector<T> sums(count);
  for (int64_t i = 0; i < count; ++i) {
    float sum = ToFloat(FromFloat<T>(ValueOf(0, i)));
    for (int rank = 1; rank < ranks; ++rank) sum += ToFloat(FromFloat<T>(ValueOf(rank, i)));
    sums[i] = FromFloat<T>(sum);
  }
  return sums;
}

template <class T>
void CheckSums(Communicator& group, DType type) {
  for (int64_t count : kSizes) {
    std::vector<T> values = ValuesOf<T>(group.rank(), count);
    const absl::Status status = group.AllReduceSum(values.data(), count, type);
    ASSERT_TRUE(status.ok()) << status;
    const std::vector<T> expected = SumInRankOrder<T>(group.size(), count);
    EXPECT_TRUE(count == 0 || std::memcmp(values.data(), expected.data(), count * sizeof(T)) == 0)
        << "rank " << group.rank() << ", " << count << " elements";
  }
}

std::vector<unsigned char> Bytes(int from, int to, int64_t count) {
  std::vector<unsigned char> bytes(count);
  for (int64_t i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(from * 31 + to * 7 + i);
  return bytes;
}

void Append(std::vector<unsigned char>& all, const std::vector<unsigned char>& part) {
  all.insert(all.end(), part.begin(), part.end());
}

}  // namespace

void CheckSumsInRankOrder(Communicator& group, DType type) {
  if (type == DType::kBF16) {
    CheckSums<bf16>(group, type);
  } else {
    CheckSums<float>(group, type);
  }
}

void CheckSumDoesNotDependOnPlace(Communicator& group) {
  // The same element alone, and in buffers that are divided and exchanged in other ways.
  constexpr int64_t kCount = 20011;
  std::vector<float> whole = ValuesOf<float>(group.rank(), kCount);
  ASSERT_TRUE(group.AllReduceSum(whole.data(), kCount, DType::kF32).ok());
  for (int64_t begin : {0, 1, 4999, 20010}) {
    std::vector<float> part = ValuesOf<float>(group.rank(), kCount - begin, begin);
    ASSERT_TRUE(group.AllReduceSum(part.data(), std::ssize(part), DType::kF32).ok());
    EXPECT_EQ(std::memcmp(part.data(), whole.data() + begin, part.size() * sizeof(float)), 0)
        << "from " << begin;
    float one = ValueOf(group.rank(), begin);
    ASSERT_TRUE(group.AllReduceSum(&one, 1, DType::kF32).ok());
    EXPECT_EQ(one, whole[begin]);
  }
}

void CheckAllGather(Communicator& group) {
  for (int64_t count : kSizes) {
    const std::vector<unsigned char> mine = Bytes(group.rank(), 0, count);
    std::vector<unsigned char> all(count * group.size() + 1, 0xee), expected;
    ASSERT_TRUE(group.AllGather(mine.data(), all.data(), count).ok());
    for (int peer = 0; peer < group.size(); ++peer) Append(expected, Bytes(peer, 0, count));
    expected.push_back(0xee);
    EXPECT_EQ(all, expected);
  }
}

void CheckAllGatherV(Communicator& group) {
  for (int64_t unit : {int64_t{1}, int64_t{70001}}) {
    // Rank 0 sends nothing, each further rank sends more.
    std::vector<int64_t> bytes_of(group.size());
    std::vector<unsigned char> expected;
    for (int peer = 0; peer < group.size(); ++peer) {
      bytes_of[peer] = peer * unit;
      Append(expected, Bytes(peer, 3, bytes_of[peer]));
    }
    std::vector<unsigned char> all(expected.size());
    ASSERT_TRUE(
        group.AllGatherV(Bytes(group.rank(), 3, bytes_of[group.rank()]).data(), all.data(), bytes_of).ok());
    EXPECT_EQ(all, expected);
  }
}

void CheckAllToAllV(Communicator& group) {
  for (int64_t unit : {int64_t{0}, int64_t{1}, int64_t{40009}}) {
    const auto bytes_between = [&](int from, int to) {
      return (from + 2 * to) % 3 * unit;
    };  // a third are zero
    std::vector<int64_t> send(group.size()), receive(group.size());
    std::vector<unsigned char> in, expected;
    for (int peer = 0; peer < group.size(); ++peer) {
      send[peer] = bytes_between(group.rank(), peer);
      receive[peer] = bytes_between(peer, group.rank());
      Append(in, Bytes(group.rank(), peer, send[peer]));
      Append(expected, Bytes(peer, group.rank(), receive[peer]));
    }
    std::vector<unsigned char> out(expected.size());
    const absl::Status status = group.AllToAllV(in.data(), send, out.data(), receive);
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(out, expected);
  }
}

void CheckSendAndReceiveKeepOrder(Communicator& group) {
  // From the first rank to the last and back, as in a pipeline. Sizes differ, so a wrong message is found.
  const int last = group.size() - 1;
  for (int64_t count : {1, 8, 100003, 5}) {
    std::vector<unsigned char> buffer(count);
    const std::vector<unsigned char> expected = Bytes(0, 0, count);
    if (group.rank() == 0) buffer = expected;
    if (group.rank() > 0) {
      ASSERT_TRUE(group.Receive(buffer.data(), count, group.rank() - 1).ok());
    }
    if (group.rank() < last) {
      ASSERT_TRUE(group.Send(buffer.data(), count, group.rank() + 1).ok());
    }
    EXPECT_EQ(buffer, expected);
  }
  for (int i = 0; i < 20; ++i) {
    int value = i;
    if (group.rank() == last && last > 0) {
      ASSERT_TRUE(group.Send(&value, sizeof(value), 0).ok());
    }
    if (group.rank() == 0 && last > 0) {
      ASSERT_TRUE(group.Receive(&value, sizeof(value), last).ok());
      EXPECT_EQ(value, i);
    }
  }
}

void CheckSplit(Communicator& group) {
  // Splits into odd and even ranks, then splits each of these groups again: all groups stay usable.
  auto parity = group.Split(group.rank() % 2);
  ASSERT_TRUE(parity.ok()) << parity.status();
  EXPECT_EQ((*parity)->size(), (group.size() + 1 - group.rank() % 2) / 2);
  EXPECT_EQ((*parity)->rank(), group.rank() / 2);
  auto alone = (*parity)->Split(-(*parity)->rank());
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_EQ((*alone)->size(), 1);
  auto same = group.Split(5);
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ((*same)->size(), group.size());
  EXPECT_EQ((*same)->rank(), group.rank());

  const int mine = group.rank();
  std::vector<int> in_parity((*parity)->size()), in_all(group.size());
  ASSERT_TRUE((*parity)->AllGather(&mine, in_parity.data(), sizeof(int)).ok());
  ASSERT_TRUE((*same)->AllGather(&mine, in_all.data(), sizeof(int)).ok());
  for (size_t i = 0; i < in_parity.size(); ++i) EXPECT_EQ(in_parity[i], static_cast<int>(2 * i) + mine % 2);
  for (size_t i = 0; i < in_all.size(); ++i) EXPECT_EQ(in_all[i], static_cast<int>(i));
  float value = 1.5f;
  ASSERT_TRUE((*alone)->AllReduceSum(&value, 1, DType::kF32).ok());
  EXPECT_EQ(value, 1.5f);
  ASSERT_TRUE(group.Barrier().ok());
}

void CheckManySmallCalls(Communicator& group) {
  for (int i = 0; i < 300; ++i) {
    float value = static_cast<float>(group.rank() + i);
    ASSERT_TRUE(group.AllReduceSum(&value, 1, DType::kF32).ok());
    EXPECT_EQ(value, static_cast<float>(group.size() * i + group.size() * (group.size() - 1) / 2));
    ASSERT_TRUE(group.Barrier().ok());
  }
}

void CheckDeadlineWhenOneStaysAway(Communicator& group, int absent) {
  auto related = group.Split(0);
  ASSERT_TRUE(related.ok());
  if (group.rank() == absent) return;
  std::vector<float> values(1000);
  const absl::Status status = group.AllReduceSum(values.data(), 1000, DType::kF32);
  // The first rank whose call expires names the ranks that it waited for; its peers get the same reason.
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsAborted(status)) << status;
  if (absl::IsDeadlineExceeded(status)) {
    EXPECT_NE(status.message().find("for rank " + std::to_string(absent)), std::string::npos) << status;
  }
  EXPECT_TRUE(absl::IsAborted(group.Barrier()));
  EXPECT_TRUE(absl::IsAborted((*related)->Barrier()));
  EXPECT_TRUE(absl::IsAborted(group.Split(0).status()));
}

void CheckAbortFromAnotherThread(Communicator& group) {
  // Rank 0 leaves the second meeting only after all ranks have left the first one.
  ASSERT_TRUE(group.Barrier().ok());
  const absl::Status second = group.Barrier();
  if (group.rank() == 0) {
    ASSERT_TRUE(second.ok()) << second;
    std::thread([&] { group.Abort(); }).join();
  } else {
    // Rank 0 does not join a third meeting: only its abort can end the others' wait before the deadline.
    ASSERT_TRUE(second.ok() || absl::IsAborted(second)) << second;
    const absl::Status third = group.Barrier();
    EXPECT_TRUE(absl::IsAborted(third)) << third;
  }
  EXPECT_TRUE(absl::IsAborted(group.Barrier()));
}

}  // namespace deeprack::worker
