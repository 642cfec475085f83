#include "cli/terminal/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/terminal/terminal.h"

namespace deeprack::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(FormatBytes, ChoosesTheUnit) {
  EXPECT_EQ(FormatBytes(512), "512 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(671e9), "624.9 GiB");
}

TEST(Progress, WritesALineForEveryTenthWhereThereIsNoTerminal) {
  const absl::Time start = absl::UnixEpoch();
  Progress progress("loading", false, start);
  std::string all;
  for (int percent = 0; percent <= 100; ++percent)
    all += progress.Update(percent, 100, start + absl::Seconds(2));
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), 10);
  EXPECT_THAT(all, StartsWith("loading  10%  10 B of 100 B, 5 B/s\n"));
  EXPECT_EQ(progress.Finish(), "");
}

TEST(Progress, RedrawsItsBarOnATerminal) {
  const absl::Time start = absl::UnixEpoch();
  Progress progress("loading", true, start);
  EXPECT_EQ(progress.Finish(), "") << "nothing drawn yet";
  EXPECT_THAT(progress.Update(50, 100, start + absl::Seconds(1)),
              HasSubstr("\rloading [###############               ]  50%"));
  EXPECT_EQ(progress.Update(50, 100, start + absl::Seconds(2)), "") << "nothing new";
  EXPECT_EQ(progress.Finish(), "\n");
}

TEST(Progress, SaysNothingWithoutATotal) {
  Progress progress("loading", true, absl::UnixEpoch());
  EXPECT_EQ(progress.Update(5, 0, absl::UnixEpoch()), "");
}

}  // namespace
}  // namespace deeprack::cli
