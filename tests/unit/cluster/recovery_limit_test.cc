#include "coordinator/membership/recovery_limit.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::coordinator {
namespace {

const absl::Status kWhy = absl::UnavailableError("rank 1 was lost");

TEST(RecoveryLimitTest, AFewInARowAreBornAndOneMoreIsNot) {
  RecoveryLimit limit(5, absl::Minutes(5));
  absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < 5; ++i) {
    limit.ServingBegan(now);
    now += absl::Minutes(1);
    EXPECT_TRUE(limit.EpochEnded(now, kWhy).ok());
  }
  const absl::Status end = limit.EpochEnded(now, kWhy);  // this epoch never served
  EXPECT_TRUE(absl::IsUnavailable(end));
  EXPECT_THAT(std::string(end.message()), testing::HasSubstr("6 times in a row"));
  EXPECT_THAT(std::string(end.message()), testing::HasSubstr("for 5m (--recovery-limit)"));
  EXPECT_THAT(std::string(end.message()), testing::HasSubstr("rank 1 was lost"));
}

TEST(RecoveryLimitTest, BothNumbersAreTheSettings) {
  RecoveryLimit limit(1, absl::Seconds(30));
  absl::Time now = absl::UnixEpoch();
  limit.ServingBegan(now);
  EXPECT_FALSE(limit.ServedLongEnough(now + absl::Seconds(29)));
  EXPECT_TRUE(limit.ServedLongEnough(now + absl::Seconds(30)));
  EXPECT_TRUE(limit.EpochEnded(now + absl::Seconds(29), kWhy).ok());
  EXPECT_FALSE(limit.ServedLongEnough(now + absl::Hours(1)));  // no epoch serves
  EXPECT_FALSE(limit.EpochEnded(now + absl::Seconds(30), kWhy).ok());
}

TEST(RecoveryLimitTest, NoneIsAllowedWithTimesZero) {
  RecoveryLimit limit(0, absl::Minutes(5));
  limit.ServingBegan(absl::UnixEpoch());
  const absl::Status end = limit.EpochEnded(absl::UnixEpoch() + absl::Hours(1), kWhy);
  EXPECT_TRUE(absl::IsUnavailable(end));
  EXPECT_EQ(end.message(), "rank 1 was lost; --recovery-limit allows no recovery");
}

// A larger layout, or one without a slow rank, takes the place of an epoch. What failed before it served long
// enough is forgotten, and the end of this epoch is no failure.
TEST(RecoveryLimitTest, AnEpochThatIsGivenUpHasNotFailed) {
  for (const absl::Duration served : {absl::Minutes(1), absl::Minutes(5)}) {
    RecoveryLimit limit(2, absl::Minutes(5));
    absl::Time now = absl::UnixEpoch();
    EXPECT_TRUE(limit.EpochEnded(now, kWhy).ok());
    limit.ServingBegan(now);
    now += served;
    limit.EpochGivenUp(now);
    EXPECT_FALSE(limit.ServedLongEnough(now + absl::Hours(1)));
    limit.ServingBegan(now);
    EXPECT_TRUE(limit.EpochEnded(now + absl::Minutes(1), kWhy).ok());
    EXPECT_EQ(limit.EpochEnded(now + absl::Minutes(1), kWhy).ok(), served == absl::Minutes(5));
  }
}

TEST(RecoveryLimitTest, LossesFarApartAreNeverTooMany) {
  RecoveryLimit limit(5, absl::Minutes(5));
  absl::Time now = absl::UnixEpoch();
  for (int i = 0; i < 100; ++i) {
    limit.ServingBegan(now);
    now += absl::Minutes(5);
    EXPECT_TRUE(limit.EpochEnded(now, kWhy).ok());
  }
}

}  // namespace
}  // namespace deeprack::coordinator
