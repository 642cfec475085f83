#include "constraint/compiler.h"

#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace deeprack::constraint {
namespace {

class NoConstraint final : public CompiledConstraint {
 public:
  explicit NoConstraint(int64_t bytes) : bytes_(bytes) {}
  absl::StatusOr<std::unique_ptr<Matcher>> NewMatcher(std::string_view) const override {
    return absl::UnimplementedError("no matcher");
  }
  int64_t bytes() const override { return bytes_; }

 private:
  const int64_t bytes_;
};

model::ConstraintSpec Spec(std::string text) { return {model::ConstraintKind::kRegex, std::move(text)}; }

// Compiles anything. "bad" is refused; "stuck..." waits for `release`.
class CompilerTest : public testing::Test {
 protected:
  Compiler::Result One(const model::ConstraintSpec& spec) {
    ++compiled_;
    if (spec.text == "bad") return absl::InvalidArgumentError("bad");
    if (spec.text.starts_with("stuck")) {
      release_.wait();
    }
    return std::make_shared<NoConstraint>(1000);
  }
  Compiler::CompileOne Compile() {
    return [this](const model::ConstraintSpec& spec) { return One(spec); };
  }

  std::atomic<int> compiled_ = 0;
  std::latch release_{1};
};

TEST_F(CompilerTest, KeepsWhatItCompiled) {
  Compiler compiler(Compile(), {});
  const Compiler::Result first = compiler.CompileAndWait(Spec("a"));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*compiler.CompileAndWait(Spec("a")), *first);
  EXPECT_EQ(compiled_, 1);
  model::ConstraintSpec other = Spec("a");
  other.kind = model::ConstraintKind::kGrammar;
  EXPECT_NE(*compiler.CompileAndWait(other), *first);
  EXPECT_EQ(compiler.CompileAndWait(Spec("bad")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(compiler.CompileAndWait(Spec("bad")).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(compiled_, 3);
}

TEST_F(CompilerTest, DropsTheLeastRecentlyUsed) {
  Compiler compiler(Compile(), {.threads = 1, .cache_bytes = 3000});  // two, with their keys
  const auto a = *compiler.CompileAndWait(Spec("a"));
  ASSERT_TRUE(compiler.CompileAndWait(Spec("b")).ok());
  EXPECT_EQ(*compiler.CompileAndWait(Spec("a")), a);
  ASSERT_TRUE(compiler.CompileAndWait(Spec("c")).ok());  // drops b
  EXPECT_EQ(*compiler.CompileAndWait(Spec("a")), a);
  EXPECT_EQ(compiled_, 3);
  ASSERT_TRUE(compiler.CompileAndWait(Spec("b")).ok());
  EXPECT_EQ(compiled_, 4);
}

TEST_F(CompilerTest, EqualConstraintsAreCompiledOnce) {
  Compiler compiler(Compile(), {.threads = 2, .time = absl::InfiniteDuration()});
  std::promise<Compiler::Result> results[3];
  for (std::promise<Compiler::Result>& result : results) {
    compiler.Compile(Spec("stuck"), [&](const Compiler::Result& made) { result.set_value(made); });
  }
  release_.count_down();
  const Compiler::Result first = results[0].get_future().get();
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*results[1].get_future().get(), *first);
  EXPECT_EQ(*results[2].get_future().get(), *first);
  EXPECT_EQ(compiled_, 1);
}

TEST_F(CompilerTest, AStuckCompilationIsGivenUpAndBlocksNoOther) {
  Compiler compiler(Compile(), {.threads = 1, .time = absl::Milliseconds(20), .most_given_up = 2});
  const absl::Status late = compiler.CompileAndWait(Spec("stuck")).status();
  EXPECT_EQ(late.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(late.message(), "the constraint takes longer than 20ms to compile");
  EXPECT_TRUE(compiler.CompileAndWait(Spec("a")).ok());
  EXPECT_EQ(compiler.CompileAndWait(Spec("stuck")).status(), late);  // from the cache
  EXPECT_EQ(compiled_, 2);
  release_.count_down();
}

TEST_F(CompilerTest, RefusesWhatItCannotQueue) {
  Compiler compiler(Compile(),
                    {.threads = 1, .time = absl::Milliseconds(20), .most_given_up = 0, .most_waiting = 1});
  EXPECT_EQ(compiler.CompileAndWait(Spec("stuck")).status().code(), absl::StatusCode::kDeadlineExceeded);
  std::promise<Compiler::Result> waits;
  compiler.Compile(Spec("a"), [&](const Compiler::Result& made) { waits.set_value(made); });
  EXPECT_EQ(compiler.CompileAndWait(Spec("b")).status().code(), absl::StatusCode::kUnavailable);
  release_.count_down();
  EXPECT_TRUE(waits.get_future().get().ok());
}

TEST_F(CompilerTest, AfterStopNothingIsCompiled) {
  Compiler compiler(Compile(), {.threads = 1, .time = absl::InfiniteDuration()});
  std::promise<Compiler::Result> waits;
  compiler.Compile(Spec("stuck"), [&](const Compiler::Result& made) { waits.set_value(made); });
  compiler.Stop();
  EXPECT_EQ(waits.get_future().get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(compiler.CompileAndWait(Spec("a")).status().code(), absl::StatusCode::kUnavailable);
  release_.count_down();
}

TEST_F(CompilerTest, CallersThatWaitAreToldAtTheEnd) {
  std::promise<Compiler::Result> running, waiting;
  {
    std::promise<void> begun;
    Compiler compiler(
        [&](const model::ConstraintSpec& spec) {
          begun.set_value();
          return One(spec);
        },
        {.threads = 1, .time = absl::InfiniteDuration()});
    compiler.Compile(Spec("stuck"), [&](const Compiler::Result& made) { running.set_value(made); });
    compiler.Compile(Spec("a"), [&](const Compiler::Result& made) {
      waiting.set_value(made);
      release_.count_down();
    });
    begun.get_future().wait();
  }
  EXPECT_EQ(running.get_future().get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(waiting.get_future().get().status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(compiled_, 1);
}

}  // namespace
}  // namespace deeprack::constraint
