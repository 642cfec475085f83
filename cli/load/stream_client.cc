#include "cli/load/stream_client.h"

#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <ctime>
#include <future>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/bench/level_summary.h"
#include "cli/load/answer_event.h"
#include "cli/load/answer_stream.h"
#include "cli/load/machine_time.h"

namespace deeprack::cli {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Endpoints = asio::ip::tcp::resolver::results_type;

constexpr auto kTick = std::chrono::milliseconds(10);
// How long a connection may take to end its body after [DONE] before it is thrown away.
constexpr auto kLastBytes = std::chrono::milliseconds(250);
constexpr size_t kLongestErrorBody = size_t{64} << 10;

double Seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }
Clock::duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// What all requests share.
struct Target {
  StreamClientOptions options;
  Endpoints endpoints;
  Clock::time_point start = Clock::now();

  double Now() const { return Seconds(Clock::now() - start); }
};

// One network thread. Everything but `context` belongs to the thread itself.
struct Loop {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::vector<asio::ip::tcp::socket> idle;  // open connections without a request
  asio::steady_timer ticker{context};
  std::vector<double> delays;  // of the ticks since BeginMeasuring, in seconds
  std::thread thread;

  void Tick() {
    const Clock::time_point due = Clock::now() + kTick;
    ticker.expires_at(due);
    ticker.async_wait([this, due](ErrorCode error) {
      if (error) return;
      delays.push_back(Seconds(Clock::now() - due));
      Tick();
    });
  }

  double ProcessorSeconds() {
    clockid_t clock{};
    timespec time{};
    if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0 || clock_gettime(clock, &time) != 0)
      return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  }
};

bool IsClientLimit(const ErrorCode& error) {
  return error == boost::system::errc::too_many_files_open ||
         error == boost::system::errc::too_many_files_open_in_system ||
         error == boost::system::errc::address_not_available || error == boost::system::errc::no_buffer_space;
}

// One request and its answer. Runs on its loop's thread; the handlers keep it alive.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(const Target& target, Loop& loop, std::string body, double planned, bool keep_text,
           StreamClient::Done done)
      : target_(target),
        loop_(loop),
        timer_(loop.context),
        answer_(record_, keep_text),
        done_(std::move(done)),
        request_(http::verb::post, target.options.url.path + target.options.path, 11) {
    record_.planned = planned;
    const Url& url = target.options.url;
    request_.set(http::field::host, url.authority());
    request_.set(http::field::user_agent, "deeprack");
    request_.set(http::field::accept, "text/event-stream");
    request_.set(http::field::content_type, "application/json");
    if (!url.key.empty()) request_.set(http::field::authorization, absl::StrCat("Bearer ", url.key));
    request_.body() = std::move(body);
    request_.prepare_payload();
  }

  void Start() {
    const Clock::time_point due = target_.start + ToDuration(record_.planned);
    if (due <= Clock::now()) return Begin();
    timer_.expires_at(due);
    timer_.async_wait([self = shared_from_this()](ErrorCode error) {
      if (!error) self->Begin();
    });
  }

 private:
  void Begin() {
    record_.sent = target_.Now();
    ExpireAfter(ToDuration(target_.options.request_seconds));
    if (loop_.idle.empty()) return Connect();
    reused_ = true;
    socket_.emplace(std::move(loop_.idle.back()));
    loop_.idle.pop_back();
    Write();
  }

  void ExpireAfter(Clock::duration time) {
    timer_.expires_after(time);
    timer_.async_wait([self = shared_from_this()](ErrorCode error) {
      if (error || self->finished_) return;
      self->timed_out_ = true;
      ErrorCode ignored;
      if (self->socket_.has_value()) self->socket_->close(ignored);  // ends the operation that is under way
    });
  }

  void Connect() {
    reused_ = false;
    socket_.emplace(loop_.context);
    asio::async_connect(*socket_, target_.endpoints,
                        [self = shared_from_this()](ErrorCode error, const auto&) {
                          if (self->GivenUp()) return;
                          if (error) {
                            const char* kind = IsClientLimit(error)                       ? "client limit"
                                               : error == asio::error::connection_refused ? "refused"
                                                                                          : "no connection";
                            return self->Fail(kind, error.message());
                          }
                          ErrorCode ignored;
                          self->socket_->set_option(asio::ip::tcp::no_delay(true), ignored);
                          self->Write();
                        });
  }

  void Write() {
    http::async_write(*socket_, request_, [self = shared_from_this()](ErrorCode error, size_t) {
      if (self->GivenUp()) return;
      // A server that refuses a request early closes its side; its answer can still be read.
      if (error && self->reused_) return self->Connect();
      self->parser_.emplace();
      self->parser_->body_limit(boost::none);  // a stream has no limit
      self->ReadHeader();
    });
  }

  void ReadHeader() {
    http::async_read_header(
        *socket_, buffer_, *parser_, [self = shared_from_this()](ErrorCode error, size_t) {
          if (self->GivenUp()) return;
          if (error) {
            if (self->reused_ && !self->parser_->got_some()) {  // the server had closed the idle connection
              self->buffer_.clear();
              return self->Connect();
            }
            return self->Fail("broken stream", absl::StrCat("no answer: ", error.message()));
          }
          self->ReadBody();
        });
  }

  bool is_stream() const { return parser_->get().result() == http::status::ok; }

  void ReadBody() {
    if (parser_->is_done()) return End("the body is complete");
    parser_->get().body().data = piece_.data();
    parser_->get().body().size = piece_.size();
    http::async_read_some(*socket_, buffer_, *parser_, [self = shared_from_this()](ErrorCode error, size_t) {
      if (self->GivenUp()) return;
      if (error == http::error::need_buffer) error = {};  // the piece is full
      const size_t size = self->piece_.size() - self->parser_->get().body().size;
      self->Take({self->piece_.data(), size});
      if (error) return self->End(error.message());
      self->ReadBody();
    });
  }

  void Take(absl::string_view data) {
    if (!is_stream()) {
      const absl::string_view kept = data.substr(0, kLongestErrorBody - error_body_.size());
      error_body_.append(kept.data(), kept.size());
      return;
    }
    const bool was_done = answer_.done();
    answer_.Feed(data, target_.Now());
    if (answer_.done() && !was_done) ExpireAfter(kLastBytes);
  }

  // The body has ended.
  void End(const std::string& why) {
    if (is_stream()) {
      answer_.End(why, target_.Now());
      return Finish();
    }
    AnswerEvent event = ReadErrorBody(error_body_);
    Fail(absl::StrCat("http ", parser_->get().result_int(), event.error_code.empty() ? "" : " ",
                      event.error_code),
         std::move(event.message));
  }

  // True when the time is over; then the request has ended.
  bool GivenUp() {
    if (!timed_out_) return false;
    if (!finished_ && !answer_.done()) {
      Fail("time-out", absl::StrCat("no end after ", target_.options.request_seconds, " s"));
    } else {
      Finish();
    }
    return true;
  }

  void Fail(std::string kind, std::string message) {
    record_.error_kind = std::move(kind);
    record_.error_message = std::move(message);
    record_.ended = target_.Now();
    Finish();
  }

  void Finish() {
    if (std::exchange(finished_, true)) return;
    timer_.cancel();
    if (!timed_out_ && record_.ok() && parser_->is_done() && parser_->keep_alive() && buffer_.size() == 0)
      loop_.idle.push_back(std::move(*socket_));
    socket_.reset();
    done_(std::move(record_));
  }

  const Target& target_;
  Loop& loop_;
  asio::steady_timer timer_;
  std::optional<asio::ip::tcp::socket> socket_;
  beast::flat_buffer buffer_;
  std::optional<http::response_parser<http::buffer_body>> parser_;
  std::array<char, 4096> piece_;
  std::string error_body_;
  RequestRecord record_;
  AnswerStream answer_;
  StreamClient::Done done_;
  http::request<http::string_body> request_;
  bool reused_ = false, timed_out_ = false, finished_ = false;
};

double ProcessSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// A request holds a file descriptor: allows as many as the machine's administrator does.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

class StreamClient::Impl {
 public:
  explicit Impl(Target target)
      : target_(std::move(target)), loops_(static_cast<size_t>(target_.options.threads)) {
    for (Loop& loop : loops_) {
      loop.Tick();
      loop.thread = std::thread([&loop] { loop.context.run(); });
    }
  }
  ~Impl() {
    for (Loop& loop : loops_) loop.context.stop();
    for (Loop& loop : loops_) loop.thread.join();
  }

  double Now() const { return target_.Now(); }

  void Send(std::string body, double planned, bool keep_text, Done done) {
    Loop& loop = loops_[next_++ % loops_.size()];
    auto exchange =
        std::make_shared<Exchange>(target_, loop, std::move(body), planned, keep_text, std::move(done));
    asio::post(loop.context, [exchange = std::move(exchange)] { exchange->Start(); });
  }

  void BeginMeasuring() {
    measured_from_ = Now();
    process_seconds_ = ProcessSeconds();
    machine_ = ReadMachineTime();
    thread_seconds_.clear();
    for (Loop& loop : loops_) {
      asio::post(loop.context, [&loop] { loop.delays.clear(); });
      thread_seconds_.push_back(loop.ProcessorSeconds());
    }
  }

  ClientStrain EndMeasuring() {
    const double seconds = std::max(1e-6, Now() - measured_from_);
    ClientStrain strain = {.cores = (ProcessSeconds() - process_seconds_) / seconds,
                           .machine = BusyShare(machine_, ReadMachineTime())};
    std::vector<double> delays;
    for (size_t i = 0; i < loops_.size(); ++i) {
      Loop& loop = loops_[i];
      strain.busiest_thread =
          std::max(strain.busiest_thread, (loop.ProcessorSeconds() - thread_seconds_[i]) / seconds);
      std::promise<std::vector<double>> answer;
      asio::post(loop.context, [&] { answer.set_value(loop.delays); });
      const std::vector<double> of_loop = answer.get_future().get();
      delays.insert(delays.end(), of_loop.begin(), of_loop.end());
    }
    if (!delays.empty()) strain.loop_delay_p99 = Percentile(std::move(delays), 99);
    return strain;
  }

 private:
  const Target target_;
  std::vector<Loop> loops_;
  std::atomic<size_t> next_ = 0;
  double measured_from_ = 0, process_seconds_ = 0;
  MachineTime machine_;
  std::vector<double> thread_seconds_;
};

absl::StatusOr<std::unique_ptr<StreamClient>> StreamClient::Start(const StreamClientOptions& options) {
  asio::io_context context;
  asio::ip::tcp::resolver resolver(context);
  ErrorCode error;
  Endpoints endpoints = resolver.resolve(options.url.host, options.url.port, error);
  if (error) return absl::UnavailableError(absl::StrCat(options.url.host, ": ", error.message()));
  RaiseFileLimit();
  try {
    return std::unique_ptr<StreamClient>(new StreamClient(
        std::make_unique<Impl>(Target{.options = options, .endpoints = std::move(endpoints)})));
  } catch (const std::system_error& failure) {
    return absl::InternalError(absl::StrCat("a thread cannot be started: ", failure.what()));
  }
}

StreamClient::StreamClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StreamClient::~StreamClient() = default;
double StreamClient::Now() const { return impl_->Now(); }
void StreamClient::Send(std::string body, double planned, bool keep_text, Done done) {
  impl_->Send(std::move(body), planned, keep_text, std::move(done));
}
void StreamClient::BeginMeasuring() { impl_->BeginMeasuring(); }
ClientStrain StreamClient::EndMeasuring() { return impl_->EndMeasuring(); }

}  // namespace deeprack::cli
