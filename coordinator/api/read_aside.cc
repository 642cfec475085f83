#include "coordinator/api/read_aside.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_json.h"
#include "spdlog/spdlog.h"

namespace deeprack::coordinator {

void ReadAside(ApiContext& context, const std::shared_ptr<HttpExchange>& exchange, ErrorShape errors,
               size_t bytes, const char* what, std::function<std::function<void()>()> read) {
  auto work = [exchange, errors, bytes, read = std::move(read)] {
    if (exchange->gone()) return;
    std::function<void()> answer;
    try {
      answer = read();
    } catch (const std::exception& error) {  // out of memory, or a bug: this request alone ends
      spdlog::error("a request of {} bytes could not be read: {}", bytes, error.what());
      answer = [exchange, errors] {
        RespondError(*exchange, FromStatus(absl::InternalError("the request could not be read")), errors);
      };
    }
    exchange->Post([exchange, answer = std::move(answer)] {
      if (!exchange->gone()) answer();
    });
  };
  if (exchange->RunAside(bytes, std::move(work))) return;
  context.metrics().ObserveDropped(DropReason::kBodiesFull);
  RespondError(*exchange,
               FromStatus(absl::ResourceExhaustedError(
                   absl::StrCat("too many ", what, " are waiting to be read; try again later"))),
               errors);
}

}  // namespace deeprack::coordinator
