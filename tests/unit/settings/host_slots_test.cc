#include "settings/host_slots.h"

#include <gtest/gtest.h>

#include "settings/failure_limit.h"
#include "settings/layout_list.h"

namespace deeprack {
namespace {

TEST(ParseHosts, RefusesNonsense) {
  for (const char* text : {"", "a:0", "a:x", "a,,b", "-oProxyCommand=x", ":2"})
    EXPECT_FALSE(ParseHosts(text).ok()) << text;
}

TEST(HostsText, IsWhatParseHostsReads) {
  const std::vector<HostSlots> hosts = {{"a", 2}, {"b", 1}};
  EXPECT_EQ(HostsText(hosts), "a:2,b:1");
  EXPECT_EQ(ParseHosts(HostsText(hosts)).value(), hosts);
}

TEST(ParseLayouts, ReadsEveryAxisAndLeavesEpToTheStage) {
  const std::vector<model::Layout> layouts = {{.tp = 8, .dp = 4, .ep = 32, .pp = 2},
                                              {.tp = 8, .dp = 2, .ep = 4, .pp = 1},
                                              {.tp = 1, .dp = 3, .ep = 3, .pp = 1}};
  EXPECT_EQ(ParseLayouts("tp8dp4pp2, tp8dp2ep4,dp3").value(), layouts);
  EXPECT_EQ(LayoutsText(layouts), "tp8dp4pp2,tp8dp2ep4,tp1dp3");
  EXPECT_EQ(ParseLayouts(LayoutsText(layouts)).value(), layouts);
}

TEST(ParseLayouts, RefusesNonsenseAndWhatIsNotSmaller) {
  for (const char* text : {"", "tp", "tp0", "tp4097", "tp2dp", "dp2tp2", "tp2x", "tp2,,tp1", "tp-2",
                           "tp2 dp2", "tp99999999999", "tp2,tp2", "tp2,tp4", "tp4dp2,tp2dp4"})
    EXPECT_FALSE(ParseLayouts(text).ok()) << text;
}

TEST(ParseFailureLimit, ReadsTimesAndMinutes) {
  EXPECT_EQ(ParseFailureLimit("5/5").value(), FailureLimit());
  EXPECT_EQ(ParseFailureLimit("0/0.25").value(), (FailureLimit{.times = 0, .minutes = 0.25}));
  EXPECT_EQ(FailureLimitText({.times = 7, .minutes = 2.5}), "7/2.5");
  for (const char* text : {"", "5", "5/", "/5", "-1/5", "1001/5", "5/-1", "5/1441", "5/nan", "5/5/5", "a/b"})
    EXPECT_FALSE(ParseFailureLimit(text).ok()) << text;
}

}  // namespace
}  // namespace deeprack
