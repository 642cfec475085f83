#include "kernels/api/card_kernels.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace deeprack::kernels {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr SpecialKernel kKernels[] = {{"fast product", "linear", 9, 0},
                                      {"other product", "linear", 9, 0},
                                      {"blackwell product", "linear", 10, 0},
                                      {"fast attention", "mla_attention", 9, 0}};
const CardProperties kHopper = {.name = "NVIDIA H200", .major = 9, .minor = 0};

std::vector<std::string> NamesOf(const std::vector<SpecialKernel>& kernels) {
  std::vector<std::string> names;
  for (const SpecialKernel& kernel : kernels) names.emplace_back(kernel.name);
  return names;
}

TEST(KernelChoiceTest, WhatIsNotProvenIsNotUsed) {
  const KernelChoice choice = ChooseKernels(kHopper, kKernels, {});
  EXPECT_THAT(choice.used, IsEmpty());
  EXPECT_THAT(NamesOf(choice.unverified), ElementsAre("fast product", "other product", "fast attention"));
  EXPECT_THAT(choice.Describe(), HasSubstr("plain kernels for every operation; not used"));
}

TEST(KernelChoiceTest, OneProvenKernelForEachOperation) {
  const std::string_view verified[] = {"other product", "fast product", "blackwell product"};
  const KernelChoice choice = ChooseKernels(kHopper, kKernels, verified);
  EXPECT_THAT(NamesOf(choice.used), ElementsAre("fast product"));
  EXPECT_THAT(NamesOf(choice.unverified), ElementsAre("fast attention"));
  EXPECT_THAT(choice.Describe(), HasSubstr("fast product, and plain kernels for all else"));
}

TEST(KernelChoiceTest, KernelsOfAnotherFamilyDoNotCount) {
  const std::string_view verified[] = {"fast product", "fast attention"};
  const KernelChoice choice =
      ChooseKernels({.name = "NVIDIA A100", .major = 8, .minor = 0}, kKernels, verified);
  EXPECT_THAT(choice.used, IsEmpty());
  EXPECT_THAT(choice.unverified, IsEmpty());
  EXPECT_EQ(choice.Describe(), "plain kernels for every operation");
}

TEST(KernelChoiceTest, ADeveloperMayAskForWhatIsNotProven) {
  const KernelChoice choice = ChooseUnverifiedToo(kHopper, kKernels);
  EXPECT_THAT(NamesOf(choice.used), ElementsAre("fast product", "fast attention"));
  EXPECT_THAT(choice.unverified, IsEmpty());
}

// Whoever adds a name has run gpu-check on a card and recorded it.
TEST(KernelChoiceTest, VerifiedKernelsExist) {
  for (const std::string_view name : VerifiedKernels()) {
    EXPECT_TRUE(std::any_of(SpecialKernels().begin(), SpecialKernels().end(),
                            [&](const SpecialKernel& kernel) { return kernel.name == name; }))
        << name;
  }
}

TEST(KernelChoiceTest, OldCardsAreRefusedByName) {
  EXPECT_EQ(WhyNotServed(kHopper), "");
  EXPECT_THAT(WhyNotServed({.name = "Tesla V100", .major = 7, .minor = 0}),
              HasSubstr("Tesla V100 has compute capability 7.0"));
}

}  // namespace
}  // namespace deeprack::kernels
