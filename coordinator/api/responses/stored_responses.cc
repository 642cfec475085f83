// GET and DELETE of /v1/responses/{id}, GET of its input items, and POST of its cancellation.
#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_json.h"
#include "coordinator/api/endpoints.h"
#include "coordinator/api/request_path.h"
#include "coordinator/api/responses/response_store.h"

namespace deeprack::coordinator {
namespace {

constexpr int kDefaultItems = 20;
constexpr int kMostItems = 100;

ApiError NotFound(const std::string& id) {
  return {.status = 404,
          .code = "response_not_found",
          .message = absl::StrCat("Response with id '", id, "' not found."),
          .param = "response_id"};
}

// A page of a list of items, as the query asks for it.
struct ItemPage {
  std::string after;  // the item before the first one; empty: none
  int limit = kDefaultItems;
  bool oldest_first = false;
};

std::optional<ApiError> ReadPage(const ApiRequest& request, ItemPage& page) {
  page.after = QueryValue(request.http.query, "after").value_or("");
  if (const std::optional<std::string> limit = QueryValue(request.http.query, "limit")) {
    if (!absl::SimpleAtoi(*limit, &page.limit) || page.limit < 1 || page.limit > kMostItems) {
      return InvalidValue("limit",
                          absl::StrCat("limit is \"", *limit, "\"; it must be from 1 to ", kMostItems));
    }
  }
  const std::string order = QueryValue(request.http.query, "order").value_or("desc");
  if (order != "asc" && order != "desc") {
    return InvalidValue("order", absl::StrCat("order is \"", order, "\"; it must be asc or desc"));
  }
  page.oldest_first = order == "asc";
  return std::nullopt;
}

Json ListJson(Conversation items, const ItemPage& page) {
  if (!page.oldest_first) std::reverse(items.begin(), items.end());
  auto first = items.begin();
  if (!page.after.empty()) {
    first =
        std::find_if(items.begin(), items.end(), [&](const auto& item) { return item->id == page.after; });
    if (first != items.end()) ++first;
  }
  const auto last = first + std::min<std::ptrdiff_t>(page.limit, items.end() - first);
  Json data = Json::array();
  for (auto item = first; item != last; ++item) data.push_back(Json::parse((*item)->json));
  return {{"object", "list"},
          {"first_id", first == last ? Json() : Json((*first)->id)},
          {"last_id", first == last ? Json() : Json((*(last - 1))->id)},
          {"has_more", last != items.end()},
          {"data", std::move(data)}};
}

}  // namespace

void RetrieveResponse(ApiContext& context, const ApiRequest& request,
                      const std::shared_ptr<HttpExchange>& exchange) {
  const auto response = context.responses().Find(request.caller.key, request.id);
  if (response == nullptr) return RespondError(*exchange, NotFound(request.id));
  if (QueryValue(request.http.query, "stream").value_or("false") != "false") {
    return RespondError(
        *exchange,
        Unsupported("stream", "stream is not supported here: a response is streamed when it is made"));
  }
  exchange->Respond({.body = response->json});
}

void ResponseInputItems(ApiContext& context, const ApiRequest& request,
                        const std::shared_ptr<HttpExchange>& exchange) {
  const auto response = context.responses().Find(request.caller.key, request.id);
  if (response == nullptr) return RespondError(*exchange, NotFound(request.id));
  ItemPage page;
  if (const std::optional<ApiError> error = ReadPage(request, page)) return RespondError(*exchange, *error);
  RespondJson(*exchange, ListJson(response->input, page));
}

void DeleteResponse(ApiContext& context, const ApiRequest& request,
                    const std::shared_ptr<HttpExchange>& exchange) {
  if (!context.responses().Erase(request.caller.key, request.id)) {
    return RespondError(*exchange, NotFound(request.id));
  }
  RespondJson(*exchange, {{"id", request.id}, {"object", "response"}, {"deleted", true}});
}

// Responses are made while their clients wait, so a stored one has ended.
void CancelResponse(ApiContext& context, const ApiRequest& request,
                    const std::shared_ptr<HttpExchange>& exchange) {
  if (context.responses().Find(request.caller.key, request.id) == nullptr) {
    return RespondError(*exchange, NotFound(request.id));
  }
  RespondError(*exchange,
               BadRequest("invalid_request", "response_id",
                          "Cannot cancel a synchronous response: end one by closing its connection."));
}

}  // namespace deeprack::coordinator
