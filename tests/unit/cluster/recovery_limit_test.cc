#include "coordinator/membership/recovery_limit.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

const absl::Status kWhy = absl::UnavailableError("rank 1 was lost");

TEST(RecoveryLimitTest, AFewInARowAreBornAndOneMoreIsNot) {
  RecoveryLimit limit;
  absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < RecoveryLimit::kMostInARow; ++i) {
    limit.ServingBegan(now);
    now += absl::Minutes(1);
    EXPECT_TRUE(limit.EpochEnded(now, kWhy).ok());
  }
  const absl::Status end = limit.EpochEnded(now, kWhy);  // this epoch never served
  EXPECT_TRUE(absl::IsUnavailable(end));
  EXPECT_THAT(std::string(end.message()), testing::HasSubstr("6 times in a row"));
  EXPECT_THAT(std::string(end.message()), testing::HasSubstr("rank 1 was lost"));
}

TEST(RecoveryLimitTest, LossesFarApartAreNeverTooMany) {
  RecoveryLimit limit;
  absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < 100; ++i) {
    limit.ServingBegan(now);
    now += RecoveryLimit::kLongEnough;
    EXPECT_TRUE(limit.EpochEnded(now, kWhy).ok());
  }
}

}  // namespace
}  // namespace deeprack::coordinator
