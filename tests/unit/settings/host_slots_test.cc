#include "settings/host_slots.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace deeprack
