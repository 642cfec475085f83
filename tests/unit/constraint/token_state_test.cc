#include "constraint/token_state.h"

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "test_vocabulary.h"

namespace deeprack::constraint {
namespace {

constexpr TokenId kThink = 303, kThinkEnd = 304;
using Phase = TokenState::Phase;

// Matches one of the texts "ab" and "abc", then the end token; and counts what it is given.
class AbMatcher final : public Matcher {
 public:
  explicit AbMatcher(std::vector<TokenId>* given) : given_(given) {}

  absl::StatusOr<bool> Accept(TokenId token) override {
    const auto at = given_->size();
    const bool allowed = at < 3 && (token == static_cast<TokenId>('a' + at) || (token == kEnd && at == 2))
                             ? true
                         : at == 3 ? token == kEnd
                                   : false;
    if (allowed) given_->push_back(token);
    return allowed;
  }
  absl::Status Fill(std::span<uint32_t> mask) override {
    std::fill(mask.begin(), mask.end(), 0);
    const auto at = given_->size();
    if (at < 3) mask['a' / 32] |= uint32_t{1} << (('a' + at) % 32);
    if (at >= 2) mask[kEnd / 32] |= uint32_t{1} << (kEnd % 32);
    return absl::OkStatus();
  }
  absl::Status Rollback(int32_t tokens) override {
    given_->resize(given_->size() - tokens);
    return absl::OkStatus();
  }
  bool complete() const override { return given_->size() == 2 || given_->size() == 3; }
  bool ended() const override { return !given_->empty() && given_->back() == kEnd; }

 private:
  std::vector<TokenId>* const given_;
};

class TokenStateTest : public testing::Test {
 protected:
  TokenState Make(model::OutputStart start, std::vector<TokenId> triggers = {}) {
    return TokenState({.start = start,
                       .think_begin = kThink,
                       .think_end = kThinkEnd,
                       .triggers = std::move(triggers),
                       .not_while_thinking = {kEnd, kCallBegin}},
                      std::make_unique<AbMatcher>(&given_));
  }
  static bool Take(TokenState& state, TokenId token) {
    const absl::StatusOr<bool> taken = state.Accept(token);
    EXPECT_TRUE(taken.ok());
    return *taken;
  }
  // The allowed tokens; empty: all.
  static std::vector<TokenId> Mask(TokenState& state) {
    std::vector<uint32_t> mask(MaskWords(kVocabSize), 0xdeadbeef);
    const absl::StatusOr<bool> masked = state.FillMask(mask);
    EXPECT_TRUE(masked.ok());
    return *masked ? Allowed(mask) : std::vector<TokenId>{};
  }

  std::vector<TokenId> given_;  // to the matcher
};

TEST_F(TokenStateTest, TheConstraintSleepsWhileTheSequenceThinks) {
  TokenState state = Make(model::OutputStart::kThinking);
  EXPECT_TRUE(Take(state, 'a'));
  EXPECT_TRUE(Take(state, 'x'));
  EXPECT_EQ(state.phase(), Phase::kThinking);
  EXPECT_TRUE(given_.empty());
  EXPECT_TRUE(Take(state, kThinkEnd));
  EXPECT_EQ(state.phase(), Phase::kConstrained);
  EXPECT_EQ(Mask(state), std::vector<TokenId>{'a'});
  EXPECT_FALSE(Take(state, 'x'));
  EXPECT_TRUE(Take(state, 'a'));
  EXPECT_EQ(given_, std::vector<TokenId>{'a'});
}

TEST_F(TokenStateTest, ThinkingHasNeitherEndNorMarkers) {
  TokenState state = Make(model::OutputStart::kThinking);
  std::vector<TokenId> all;
  for (TokenId token = 0; token < kVocabSize; ++token) {
    if (token != kEnd && token != kCallBegin) all.push_back(token);
  }
  EXPECT_EQ(Mask(state), all);
  EXPECT_FALSE(Take(state, kEnd));
  EXPECT_FALSE(Take(state, kCallBegin));
  EXPECT_EQ(state.phase(), Phase::kThinking);
}

TEST_F(TokenStateTest, NothingIsFedAfterTheEnd) {
  TokenState state = Make(model::OutputStart::kAnswer);
  for (const TokenId token : {TokenId{'a'}, TokenId{'b'}, kEnd}) EXPECT_TRUE(Take(state, token));
  EXPECT_EQ(state.phase(), Phase::kEnded);
  EXPECT_TRUE(Take(state, 'x'));
  EXPECT_TRUE(Mask(state).empty());
  EXPECT_EQ(given_, (std::vector<TokenId>{'a', 'b', kEnd}));
  ASSERT_TRUE(state.Rollback(2).ok());
  EXPECT_EQ(state.phase(), Phase::kConstrained);
  EXPECT_EQ(Mask(state), (std::vector<TokenId>{'c', kEnd}));
}

TEST_F(TokenStateTest, AnAnswerMayBeginWithThinking) {
  TokenState state = Make(model::OutputStart::kMayThink);
  EXPECT_EQ(Mask(state), (std::vector<TokenId>{'a', kThink}));
  EXPECT_FALSE(Take(state, 'b'));
  EXPECT_TRUE(Take(state, kThink));
  EXPECT_EQ(state.phase(), Phase::kThinking);
  ASSERT_TRUE(state.Rollback(1).ok());
  EXPECT_EQ(state.phase(), Phase::kMayThink);
  EXPECT_TRUE(Take(state, 'a'));
  EXPECT_EQ(state.phase(), Phase::kConstrained);
  EXPECT_EQ(given_, std::vector<TokenId>{'a'});
  ASSERT_TRUE(state.Rollback(1).ok());
  EXPECT_EQ(state.phase(), Phase::kMayThink);
  EXPECT_TRUE(given_.empty());
}

TEST_F(TokenStateTest, ATriggerBeginsTheConstraintAndAWholeTextEndsIt) {
  TokenState state = Make(model::OutputStart::kAnswer, {'a'});
  EXPECT_EQ(state.phase(), Phase::kFree);
  EXPECT_TRUE(Mask(state).empty());
  EXPECT_TRUE(Take(state, 'x'));
  EXPECT_TRUE(Take(state, 'a'));
  EXPECT_EQ(state.phase(), Phase::kConstrained);
  EXPECT_EQ(Mask(state), std::vector<TokenId>{'b'});
  EXPECT_TRUE(Take(state, 'b'));
  EXPECT_EQ(state.phase(), Phase::kFree);
  EXPECT_TRUE(Take(state, 'y'));
  ASSERT_TRUE(state.Rollback(3).ok());
  EXPECT_EQ(state.phase(), Phase::kFree);
  EXPECT_TRUE(given_.empty());
}

TEST_F(TokenStateTest, ATriggerEndsTheThought) {
  TokenState state = Make(model::OutputStart::kThinking, {'a'});
  EXPECT_TRUE(Take(state, 'x'));
  EXPECT_TRUE(Take(state, 'a'));
  EXPECT_EQ(state.phase(), Phase::kConstrained);
  EXPECT_EQ(Mask(state), std::vector<TokenId>{'b'});
  ASSERT_TRUE(state.Rollback(1).ok());
  EXPECT_EQ(state.phase(), Phase::kThinking);
  EXPECT_TRUE(given_.empty());
  EXPECT_TRUE(Take(state, 'a'));
  EXPECT_TRUE(Take(state, 'b'));
  EXPECT_EQ(state.phase(), Phase::kFree);
}

// For every way in which tokens are tried and taken back, the state is that of the tokens that stayed.
TEST_F(TokenStateTest, RollbackEqualsAStraightRun) {
  std::mt19937 random(1);
  const std::vector<TokenId> tokens = {'x', kThinkEnd, 'y', 'a', 'b', 'c', kEnd, kThink, kCallBegin};
  for (int round = 0; round < 2000; ++round) {
    const auto start = static_cast<model::OutputStart>(random() % 3);
    const std::vector<TokenId> triggers =
        random() % 2 == 0 ? std::vector<TokenId>{} : std::vector<TokenId>{'a'};
    given_.clear();
    TokenState state = Make(start, triggers);
    std::vector<TokenId> stayed;
    for (int step = 0; step < 20; ++step) {
      if (!stayed.empty() && random() % 3 == 0) {
        const auto back = static_cast<int32_t>(1 + random() % stayed.size());
        ASSERT_TRUE(state.Rollback(back).ok());
        stayed.resize(stayed.size() - back);
      } else {
        const TokenId token = tokens[random() % tokens.size()];
        if (Take(state, token)) stayed.push_back(token);
      }
    }
    const std::vector<TokenId> fed = given_;
    const Phase phase = state.phase();
    const std::vector<TokenId> mask = Mask(state);
    given_.clear();
    TokenState straight = Make(start, triggers);
    for (const TokenId token : stayed) ASSERT_TRUE(Take(straight, token));
    EXPECT_EQ(given_, fed);
    EXPECT_EQ(straight.phase(), phase);
    EXPECT_EQ(Mask(straight), mask);
  }
}

}  // namespace
}  // namespace deeprack::constraint
