#include "settings/flags_page.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/source_tree.h"

namespace deeprack {
namespace {

TEST(FlagsPage, IsTheOneInDocs) {
  std::ifstream file(InSourceTree("docs/FLAGS.md"));
  const std::string page{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_EQ(page, FlagsPage()) << "make it again: build/bin/deeprack settings > docs/FLAGS.md";
}

}  // namespace
}  // namespace deeprack
