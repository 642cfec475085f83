#include "coordinator/scheduler/prefill_pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace deeprack::coordinator {
namespace {

// What steps of a machine take, in seconds.
struct Machine {
  double step, decode, token;
  double Time(int32_t decodes, int32_t tokens) const { return step + decode * decodes + token * tokens; }
};
// R1 on 320 H800 (bench/coordinator/simulated_ranks.h), and a CPU, where a prompt's token costs almost as
// much as a decode.
constexpr Machine kCard = {0.020, 0.00032, 0.000109}, kCpu = {0.010, 0.001, 0.0008};

TEST(PrefillPaceTest, AFixedNumberStays) {
  PrefillPace pace(100);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(pace.TokensBeside(8), 100);
    pace.Observe(8, i % 2 == 0 ? 0 : 100, 0.5);
  }
}

TEST(PrefillPaceTest, WithoutTimesNothingIsLearned) {
  PrefillPace pace(0);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(pace.TokensBeside(8), PrefillPace::kBeforeAnythingIsKnown);
    pace.Observe(8, i % 2 == 0 ? 0 : 100, 0);
  }
}

TEST(PrefillPaceTest, TheLimitFollowsFromWhatStepsTook) {
  PrefillPace pace(0);
  pace.Observe(128, 0, kCard.Time(128, 0));
  EXPECT_EQ(pace.TokensBeside(128), 512);
  pace.Observe(128, 512, kCard.Time(128, 512));
  // 0.3 x 60.96 ms / 0.109 ms
  EXPECT_EQ(pace.TokensBeside(128), 167);
  // For another number of decodes a step without prompts is asked for. This test tells no time of such a
  // step. 500 decodes then count as long as 128 decodes, and 64 decodes half as long as 128.
  EXPECT_EQ(pace.TokensBeside(500), 0);
  EXPECT_EQ(pace.TokensBeside(500), 167);
  EXPECT_EQ(pace.TokensBeside(64), 0);
  EXPECT_EQ(pace.TokensBeside(64), 83);
  pace.Observe(64, 0, kCard.Time(64, 0));
  EXPECT_EQ(pace.TokensBeside(64), 111);
}

TEST(PrefillPaceTest, PromptsThatAreThereFromTheFirstDecodeOnAreHeldBackOnce) {
  PrefillPace pace(0);
  EXPECT_EQ(pace.TokensBeside(8), 512) << "no step was heard of";
  pace.Observe(8, 512, kCpu.Time(8, 512));
  EXPECT_EQ(pace.TokensBeside(8), 0);
  pace.Observe(8, 0, kCpu.Time(8, 0));
  EXPECT_EQ(pace.TokensBeside(8), 512);
  pace.Observe(8, 512, kCpu.Time(8, 512));
  EXPECT_EQ(pace.TokensBeside(8), PrefillPace::kLeast);
}

// Also where prompts come in without end.
TEST(PrefillPaceTest, OneStepInManyHasNoPrompts) {
  PrefillPace pace(0);
  pace.Observe(8, 0, 0.1);
  pace.Observe(8, 512, 0.2);
  int without = 0;
  for (int i = 0; i < 10 * (PrefillPace::kStepsBetweenLooks + 1); ++i) {
    const int32_t tokens = pace.TokensBeside(8);
    without += tokens == 0 ? 1 : 0;
    pace.Observe(8, tokens, 0.1 + 0.0002 * tokens);
  }
  EXPECT_EQ(without, 10);
}

TEST(PrefillPaceTest, WhereTokensCostMuchPromptsKeepAPagesPace) {
  PrefillPace pace(0);
  pace.Observe(1, 0, kCpu.Time(1, 0));
  pace.Observe(1, 512, kCpu.Time(1, 512));
  EXPECT_EQ(pace.TokensBeside(1), PrefillPace::kLeast);
}

double Percentile(std::vector<double> values, double share) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(share * static_cast<double>(values.size()))];
}

// Prompts come in without end, the number of decodes changes, times are uneven by a tenth, and the machine
// becomes slower half way.
TEST(PrefillPaceTest, StepsKeepToTheLimitWhilePromptsComeInWithoutEnd) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    std::mt19937 random(seed);
    PrefillPace pace(0);
    std::vector<double> slowdowns, after_the_change;
    int32_t decodes = 16;
    for (int step = 0; step < 4000; ++step) {
      if (step % 50 == 0) decodes = 8 + static_cast<int32_t>(random() % 120);
      const Machine machine = step < 2000 ? kCard : Machine{0.030, 0.0004, 0.0002};
      const int32_t tokens = step < 200 && step % 4 == 0 ? 0 : pace.TokensBeside(decodes);
      const double uneven = 0.95 + 0.1 * static_cast<double>(random() % 1000) / 1000;
      const double seconds = uneven * machine.Time(decodes, tokens);
      pace.Observe(decodes, tokens, seconds);
      if (step > 400 && (step < 2000 || step > 2600))
        (step < 2000 ? slowdowns : after_the_change).push_back(seconds / machine.Time(decodes, 0));
    }
    EXPECT_LT(Percentile(slowdowns, 0.99), 1.5);
    EXPECT_LT(Percentile(after_the_change, 0.99), 1.6);
    EXPECT_GT(Percentile(slowdowns, 0.5), 1.2);  // and prompts come in
    EXPECT_GT(Percentile(after_the_change, 0.5), 1.2);
  }
}

}  // namespace
}  // namespace deeprack::coordinator
