// Reads the field `input` of /v1/responses: a text, or items.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "coordinator/api/json_fields.h"
#include "coordinator/api/responses/response_store.h"

namespace deeprack::coordinator {

struct ItemSource {
  // A new id that begins with `prefix`.
  std::function<std::string(const std::string& prefix)> make_id;
  // The stored item that an item_reference names; nullptr: there is none.
  std::function<std::shared_ptr<const ConversationItem>(std::string_view id)> find;
};

// Appends the items of `input` to `conversation`. Each item has an id afterwards: the client's, or a new one.
// A reference to an item that the conversation has adds nothing. Errors go to `fields`.
void ReadInput(JsonFields& fields, const ItemSource& source, Conversation& conversation);

}  // namespace deeprack::coordinator
