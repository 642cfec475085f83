#include "worker/collectives/gloo/gloo_transport.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "gloo/transport/tcp/device.h"

namespace deeprack::worker {
namespace {

using Clock = std::chrono::steady_clock;

// A message's slot is its tag and its size.
constexpr int kSizeBits = 48;

// gloo's own limit of the time to connect is five times this. Break ends the wait earlier.
constexpr auto kConnectWithin = std::chrono::minutes(10);

}  // namespace

absl::StatusOr<std::unique_ptr<GlooTransport>> GlooTransport::Open(const std::string& host, int rank,
                                                                   int size) {
  constexpr int kMostRanks = 1 << 16;
  if (size < 2 || size > kMostRanks || rank < 0 || rank >= size) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " of ", size, " is no rank of a world"));
  }
  signal(SIGPIPE, SIG_IGN);
  std::unique_ptr<GlooTransport> end(new GlooTransport(rank, size));
  try {
    gloo::transport::tcp::attr where;
    where.hostname = host;
    end->device_ = gloo::transport::tcp::CreateDevice(where);
    std::string own;  // zeros in the place of an address of this rank for itself
    for (int peer = 0; peer < size; ++peer) {
      if (peer == rank) continue;
      auto& context = end->contexts_[peer];
      context = end->device_->createContext(rank, size);
      context->setTimeout(kConnectWithin);
      const std::vector<char> bytes = context->createPair(peer)->address().bytes();
      if (own.empty()) {
        own.assign(bytes.size(), '\0');
        if (rank < peer) end->address_.append(own);
      }
      end->address_.append(bytes.begin(), bytes.end());
      if (peer + 1 == rank) end->address_.append(own);
    }
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat("rank ", rank, " cannot listen for other ranks at ", host,
                                               ": is it this machine's? ", error.what()));
  }
  return end;
}

GlooTransport::~GlooTransport() {
  messages_.clear();
  contexts_.clear();  // before the device, whose thread serves them
}

absl::Status GlooTransport::Connect(std::span<const std::string> addresses) {
  if (std::ssize(addresses) != size_) {
    return absl::InvalidArgumentError(
        absl::StrCat("a world of ", size_, " ranks over gloo, and ", addresses.size(), " addresses"));
  }
  const size_t each = address_.size() / size_;
  for (int peer = 0; peer < size_; ++peer) {
    if (addresses[peer].size() != address_.size()) {
      return absl::InvalidArgumentError(absl::StrCat("rank ", peer, " sent ", addresses[peer].size(),
                                                     " bytes of addresses, not ", address_.size()));
    }
  }
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    DR_RETURN_IF_ERROR(CheckIntact());
    const std::string at = addresses[peer].substr(rank_ * each, each);
    try {
      contexts_[peer]->getPair(peer)->connect(std::vector<char>(at.begin(), at.end()));
    } catch (const std::exception& error) {
      Break(absl::StrCat("rank ", rank_, " did not reach rank ", peer, ": ", error.what()));
    }
  }
  return CheckIntact();
}

absl::Status GlooTransport::CheckIntact() {
  if (!broken_) return absl::OkStatus();
  const std::lock_guard lock(mutex_);
  return absl::AbortedError(absl::StrCat("the group of ranks is broken: ", why_));
}

void GlooTransport::Break(const std::string& why) {
  {
    const std::lock_guard lock(mutex_);
    if (broken_) return;
    why_ = why;
    broken_ = true;
    for (const Message& message : messages_) {
      message.receives ? message.buffer->abortWaitRecv() : message.buffer->abortWaitSend();
    }
  }
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    try {
      contexts_[peer]->getPair(peer)->close();
    } catch (const std::exception&) {
      // The connection was closed before.
    }
  }
}

absl::Status GlooTransport::StartSend(const void* data, int64_t bytes, int to, int tag) {
  return Start(const_cast<void*>(data), bytes, to, tag, /*receives=*/false);
}

absl::Status GlooTransport::StartReceive(void* data, int64_t bytes, int from, int tag) {
  return Start(data, bytes, from, tag, /*receives=*/true);
}

absl::Status GlooTransport::Start(void* data, int64_t bytes, int peer, int tag, bool receives) {
  DR_CHECK(peer >= 0 && peer < size_ && peer != rank_ && bytes > 0 && bytes >> kSizeBits == 0);
  DR_RETURN_IF_ERROR(CheckIntact());
  const uint64_t slot = static_cast<uint64_t>(tag) << kSizeBits | static_cast<uint64_t>(bytes);
  try {
    auto owned = contexts_[peer]->createUnboundBuffer(data, static_cast<size_t>(bytes));
    gloo::transport::UnboundBuffer* const buffer = owned.get();
    {
      const std::lock_guard lock(mutex_);
      messages_.push_back({.buffer = std::move(owned), .peer = peer, .receives = receives});
    }
    receives ? buffer->recv(peer, slot) : buffer->send(peer, slot);
    return absl::OkStatus();
  } catch (const std::exception& error) {
    Break(absl::StrCat("rank ", rank_, " lost its connection to rank ", peer, ": ", error.what()));
    return CheckIntact();
  }
}

absl::Status GlooTransport::Finish(Clock::time_point start, absl::Duration timeout, const char* what) {
  absl::Status finished = FinishMessages(start, timeout, what);
  if (!finished.ok()) Break(std::string(finished.message()));
  std::vector<Message> done;
  {
    const std::lock_guard lock(mutex_);
    done.swap(messages_);
  }
  done.clear();  // waits until gloo's thread has let go of the buffers
  return finished;
}

absl::Status GlooTransport::FinishMessages(Clock::time_point start, absl::Duration timeout,
                                           const char* what) {
  const Clock::time_point deadline = start + absl::ToChronoNanoseconds(timeout);
  for (const Message& message : messages_) {
    DR_RETURN_IF_ERROR(CheckIntact());
    try {
      const auto left = std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()),
                                 std::chrono::milliseconds(1));
      const bool done = message.receives ? message.buffer->waitRecv(left) : message.buffer->waitSend(left);
      if (!done) return CheckIntact();  // Break has ended the wait
    } catch (const std::exception& error) {
      DR_RETURN_IF_ERROR(CheckIntact());
      if (Clock::now() >= deadline) {
        return absl::DeadlineExceededError(absl::StrCat("rank ", rank_, " waited ",
                                                        absl::FormatDuration(timeout), " for rank ",
                                                        message.peer, " of ", size_, " in ", what));
      }
      return absl::AbortedError(absl::StrCat("the group of ranks is broken: rank ", rank_,
                                             " lost its connection to rank ", message.peer, " in ", what,
                                             ": ", error.what()));
    }
  }
  return CheckIntact();
}

}  // namespace deeprack::worker
