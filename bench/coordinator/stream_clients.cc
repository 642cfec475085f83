#include "bench/coordinator/stream_clients.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/check.h"

namespace deeprack::bench {
namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

// Counts times in milliseconds, in classes that are 2 % wide.
class Times {
 public:
  void Add(double ms) {
    const double place = ms <= kLeast ? 0 : std::log(ms / kLeast) / std::log(kWidth);
    ++counts_[std::min<size_t>(static_cast<size_t>(place), counts_.size() - 1)];
    ++total_;
    most_ = std::max(most_, ms);
  }
  double Percentile(double share) const {
    int64_t left = static_cast<int64_t>(std::ceil(share * static_cast<double>(total_)));
    for (size_t i = 0; i < counts_.size(); ++i) {
      left -= counts_[i];
      if (left <= 0) return total_ == 0 ? 0 : kLeast * std::pow(kWidth, static_cast<double>(i) + 0.5);
    }
    return most_;
  }
  double most() const { return most_; }

 private:
  static constexpr double kLeast = 0.01, kWidth = 1.02;
  std::array<int64_t, 1024> counts_{};
  int64_t total_ = 0;
  double most_ = 0;
};

struct Connection {
  int socket = -1;
  bool begun = false;  // the request is sent
  bool streams = false;
  int64_t events = 0;
  std::string unread;  // the head until it is whole; then the last bytes, which may be half of a mark
  Clock::time_point sent, last;
};

class Clients {
 public:
  Clients(const ClientsJob& job, int jobs) : job_(job), jobs_(jobs), epoll_(epoll_create1(0)) {
    std::string words(kNumber);
    for (int i = 0; i < job.prompt_words; ++i) absl::StrAppend(&words, " word");
    const std::string body = absl::StrCat(R"({"messages": [{"role": "user", "content": ")", words,
                                          R"("}], "stream": true, "ignore_eos": true, )", R"("max_tokens": )",
                                          job.output_tokens, "}");
    request_ = absl::StrCat(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n",
        "Content-Length: ", body.size(), "\r\n\r\n", body);
    number_at_ = request_.find(kNumber);
  }
  ~Clients() { ::close(epoll_); }

  ClientsReport Run() {
    epoll_event control{.events = EPOLLIN, .data = {.ptr = nullptr}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, jobs_, &control);
    begin_ = Clock::now();
    std::array<epoll_event, 256> events;
    while (!stopped_) {
      const double passed = Seconds(Clock::now() - begin_);
      const bool opens = BeginDue(passed);
      if (!opens && open_.empty()) break;
      const int ready = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), opens ? 1 : 100);
      for (int i = 0; i < ready; ++i) {
        if (events[i].data.ptr == nullptr) {
          char byte = 0;
          DR_CHECK(::read(jobs_, &byte, 1) == 1);
          stopped_ = true;
        } else {
          OnReady(static_cast<Connection*>(events[i].data.ptr));
        }
      }
      finished_connections_.clear();
    }
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, jobs_, &control);
    for (const auto& connection : open_) ::close(connection->socket);
    report_.first_p50 = first_.Percentile(0.5);
    report_.first_p99 = first_.Percentile(0.99);
    report_.gap_p50 = gaps_.Percentile(0.5);
    report_.gap_p99 = gaps_.Percentile(0.99);
    report_.refusal_p50 = refusals_.Percentile(0.5);
    report_.refusal_p99 = refusals_.Percentile(0.99);
    report_.refusal_most = refusals_.most();
    return report_;
  }

 private:
  // Opens the connections that are due. True: further connections will be due.
  bool BeginDue(double passed) {
    const bool open_loop = job_.rate > 0;
    const double rate = open_loop ? job_.rate : job_.ramp_per_second;
    const auto all = open_loop ? static_cast<int64_t>(job_.rate * job_.seconds) : job_.streams;
    const auto due = rate > 0 ? std::min<int64_t>(all, static_cast<int64_t>(rate * passed) + 1) : all;
    for (; begun_ < due; ++begun_) Open();
    return begun_ < all;
  }

  void Open() {
    auto connection = std::make_unique<Connection>();
    connection->socket = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connection->socket < 0) {
      ++report_.failed;
      return;
    }
    const int on = 1;
    ::setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(job_.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->sent = Clock::now();
    const int connected =
        ::connect(connection->socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    if (connected != 0 && errno != EINPROGRESS) {
      ::close(connection->socket);
      ++report_.failed;
      return;
    }
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = connection.get()}};
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection->socket, &event);
    open_.push_back(std::move(connection));
  }

  void Begin(Connection& connection) {
    connection.begun = true;
    connection.streams = false;
    connection.events = 0;
    connection.sent = Clock::now();
    if (job_.own_prompts)
      request_.replace(number_at_, kNumber.size(), absl::StrFormat("%0*d", kNumber.size(), ++prompts_));
    const ssize_t sent = ::send(connection.socket, request_.data(), request_.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(request_.size())) connection.begun = false;
  }

  void OnReady(Connection* connection) {
    if (connection->socket < 0) return;
    if (!connection->begun) Begin(*connection);
    for (;;) {
      const ssize_t n = ::recv(connection->socket, buffer_.data(), buffer_.size(), 0);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (n <= 0) {
        ++report_.failed;
        return Close(connection);
      }
      if (!Take(*connection, {buffer_.data(), static_cast<size_t>(n)})) return Close(connection);
      if (static_cast<size_t>(n) < buffer_.size()) return;
    }
  }

  // False: close the connection.
  bool Take(Connection& connection, std::string_view bytes) {
    connection.unread.append(bytes);
    if (!connection.streams) {
      const size_t head = connection.unread.find("\r\n\r\n");
      if (head == std::string::npos) return true;
      if (!connection.unread.starts_with("HTTP/1.1 200")) return TakeRefusal(connection);
      connection.streams = true;
      connection.unread.erase(0, head + 4);
    }
    const Clock::time_point now = Clock::now();
    const int64_t before = connection.events;
    size_t at = 0;
    for (size_t found = 0; (found = connection.unread.find(kEvent, at)) != std::string::npos;
         at = found + kEvent.size()) {
      ++connection.events;
    }
    if (connection.events > before) {
      report_.events += connection.events - before;
      if (before == 0) {
        first_.Add(1e3 * Seconds(now - connection.sent));
      } else if (Seconds(now - begin_) >= job_.settle_seconds) {
        gaps_.Add(1e3 * Seconds(now - connection.last));
      }
      connection.last = now;
    }
    if (connection.unread.ends_with(kEnd)) {
      const bool done = connection.unread.find("data: [DONE]") != std::string::npos;
      const bool good = job_.goodput_seconds == 0 || Seconds(now - connection.sent) <= job_.goodput_seconds;
      ++(done ? report_.finished : report_.failed);
      if (done && good) ++report_.good;
      connection.unread.clear();
      if (job_.rate > 0) return false;
      Begin(connection);
      return true;
    }
    constexpr size_t kKept = 40;  // more than "data: [DONE]", the chunks' frames and kEnd
    const size_t keep = std::max(at, connection.unread.size() - std::min(kKept, connection.unread.size()));
    connection.unread.erase(0, keep);
    return true;
  }

  bool TakeRefusal(Connection& connection) {
    const bool told = connection.unread.find("Retry-After: ") != std::string::npos;
    const bool busy =
        connection.unread.starts_with("HTTP/1.1 429") || connection.unread.starts_with("HTTP/1.1 503");
    ++(told && busy ? report_.refused : report_.failed);
    refusals_.Add(1e3 * Seconds(Clock::now() - connection.sent));
    return false;
  }

  void Close(Connection* connection) {
    ::close(std::exchange(connection->socket, -1));
    const auto found =
        std::ranges::find_if(open_, [&](const auto& open) { return open.get() == connection; });
    finished_connections_.push_back(std::move(*found));  // until all events of this round are handled
    *found = std::move(open_.back());
    open_.pop_back();
  }

  static constexpr std::string_view kEvent = "data: {";
  static constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
  static constexpr std::string_view kNumber = "00000000";

  const ClientsJob job_;
  const int jobs_;
  const int epoll_;
  std::string request_;
  size_t number_at_ = 0;  // of the digits that begin the prompt
  int64_t prompts_ = 0;
  std::vector<std::unique_ptr<Connection>> open_, finished_connections_;
  Clock::time_point begin_;
  int64_t begun_ = 0;
  bool stopped_ = false;
  ClientsReport report_;
  Times first_, gaps_, refusals_;
  std::array<char, 64 << 10> buffer_;
};

double ProcessorSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// The child's life: one job after the other, until the pipe is closed.
void ServeJobs(int jobs, int reports) {
  ClientsJob job;
  while (::read(jobs, &job, sizeof(job)) == sizeof(job)) {
    const double before = ProcessorSeconds();
    const auto clients = std::make_unique<Clients>(job, jobs);
    ClientsReport report = clients->Run();
    report.processor_seconds = ProcessorSeconds() - before;
    DR_CHECK(::write(reports, &report, sizeof(report)) == sizeof(report));
  }
}

}  // namespace

StreamClients::StreamClients() {
  std::array<int, 2> jobs{}, reports{};
  DR_CHECK(::pipe(jobs.data()) == 0 && ::pipe(reports.data()) == 0);
  process_ = ::fork();
  DR_CHECK(process_ >= 0);
  if (process_ == 0) {
    ::close(jobs[1]);
    ::close(reports[0]);
    ServeJobs(jobs[0], reports[1]);
    ::_exit(0);
  }
  ::close(jobs[0]);
  ::close(reports[1]);
  jobs_ = jobs[1];
  reports_ = reports[0];
}

StreamClients::~StreamClients() {
  ::close(jobs_);
  ::close(reports_);
  ::waitpid(process_, nullptr, 0);
}

void StreamClients::Start(const ClientsJob& job) {
  DR_CHECK(::write(jobs_, &job, sizeof(job)) == sizeof(job));
}

void StreamClients::Stop() { DR_CHECK(::write(jobs_, "s", 1) == 1); }

ClientsReport StreamClients::Report() {
  ClientsReport report;
  DR_CHECK(::read(reports_, &report, sizeof(report)) == sizeof(report));
  return report;
}

}  // namespace deeprack::bench
