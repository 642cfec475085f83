// Fuzzes what workers say on their streams, through the coordinator's conversion and the table of members.
// The input is a list of events: a byte for the stream, a byte for the event, and for Hello two bytes with
// the size of the message that follows.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "base/check.h"
#include "base/clock.h"
#include "coordinator/membership/hello.h"
#include "coordinator/membership/roster.h"

namespace {

using namespace deeprack;

constexpr size_t kStreams = 4;

// A stream checks what it is told.
struct FakeStream final : coordinator::AttachStream {
  void Welcome(Rank to_rank, Epoch to_epoch) override {
    DR_CHECK(to_rank >= 0 && to_rank < 2 && to_epoch > epoch);
    rank = to_rank;
    epoch = to_epoch;
  }
  void Dismiss(const std::string&) override {}

  std::optional<int> member;
  Rank rank = -1;
  Epoch epoch = 0;  // of the last welcome
};

class Events {
 public:
  Events() : roster_({.layouts = {{.tp = 2}, {.tp = 1}}, .reform = true}, &clock_) {}

  void Take(std::string_view input) {
    while (input.size() >= 2) {
      FakeStream& stream = *streams_[static_cast<uint8_t>(input[0]) % kStreams];
      const int event = static_cast<uint8_t>(input[1]) % 8;
      input.remove_prefix(2);
      if (event <= 2) {
        if (input.size() < 2) return;
        const size_t size = std::min<size_t>(
            input.size() - 2, static_cast<uint8_t>(input[0]) + 256 * static_cast<uint8_t>(input[1]));
        Hello(stream, input.substr(2, size));
        input.remove_prefix(2 + size);
      } else {
        Other(stream, event);
      }
      Check();
    }
  }

 private:
  void Hello(FakeStream& stream, std::string_view bytes) {
    cluster::Hello hello;
    if (stream.member || !hello.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    const auto node = coordinator::NodeFromHello(hello, "0", "ipv4:127.0.0.1:4000", /*has_tls=*/true);
    if (!node.ok()) return CheckOneLine(node.status());
    const auto member = roster_.OnHello(*node, &stream);
    if (!member.ok()) return CheckOneLine(member.status());
    stream.member = *member;
  }

  void Other(FakeStream& stream, int event) {
    if (event == 3 || event == 4) {
      if (!stream.member) return;
      roster_.OnEnd(*stream.member, "it ends", /*on_purpose=*/event == 4);
      stream = FakeStream();
    } else if (event == 5) {
      if (stream.member) roster_.OnHeartbeat(*stream.member, ++steps_, /*busy=*/true).IgnoreError();
    } else if (event == 6) {
      clock_.Advance(absl::Seconds(1));
      roster_.CheckHealth();
    } else {
      if (stream.epoch > 0) roster_.EndEpoch(stream.epoch);
    }
  }

  static void CheckOneLine(const absl::Status& status) {
    DR_CHECK(!status.message().empty());
    for (const char c : status.message()) DR_CHECK(!absl::ascii_iscntrl(static_cast<unsigned char>(c)));
  }

  // No two workers have the same rank in the latest epoch.
  void Check() {
    Epoch latest = 0;
    for (const auto& stream : streams_) latest = std::max(latest, stream->epoch);
    std::set<Rank> ranks;
    for (const auto& stream : streams_) {
      if (latest > 0 && stream->epoch == latest) DR_CHECK(ranks.insert(stream->rank).second);
    }
    DR_CHECK(roster_.joined() >= 0 && roster_.joined() <= static_cast<int>(kStreams));
  }

  ManualClock clock_;
  coordinator::Roster roster_;
  std::array<std::unique_ptr<FakeStream>, kStreams> streams_ = {
      std::make_unique<FakeStream>(), std::make_unique<FakeStream>(), std::make_unique<FakeStream>(),
      std::make_unique<FakeStream>()};
  uint64_t steps_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  spdlog::set_level(spdlog::level::off);
  Events().Take({reinterpret_cast<const char*>(data), size});
  return 0;
}
