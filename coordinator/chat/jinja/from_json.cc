#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/chat/jinja/print.h"
#include "nlohmann/json.hpp"

namespace deeprack::coordinator::jinja {
namespace {

constexpr size_t kMaxJsonDepth = 128;

// Builds the value while nlohmann reads the text, so that keys stay in order and no tree of nlohmann's
// exists.
class Builder {
 public:
  using Json = nlohmann::json;

  // NOLINTBEGIN(readability-identifier-naming): the names are nlohmann's.
  bool null() { return Put(Value::None()); }
  bool boolean(bool value) { return Put(Value::Bool(value)); }
  bool number_integer(Json::number_integer_t value) { return Put(Value::Int(value)); }
  bool number_unsigned(Json::number_unsigned_t value) {
    if (std::in_range<int64_t>(value)) return Put(Value::Int(static_cast<int64_t>(value)));
    return Put(Value::Float(static_cast<double>(value)));
  }
  bool number_float(Json::number_float_t value, const std::string&) { return Put(Value::Float(value)); }
  bool string(std::string& value) { return Put(Value::Data(std::move(value))); }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(size_t) { return Open(/*is_object=*/true); }
  bool start_array(size_t) { return Open(/*is_object=*/false); }
  bool key(std::string& value) {
    open_.back().key = Value::Data(std::move(value));
    return true;
  }
  bool end_object() {
    Value done = Value::Of(std::move(open_.back().dict));
    open_.pop_back();
    return Put(std::move(done));
  }
  bool end_array() {
    Value done = Value::List(std::move(open_.back().items));
    open_.pop_back();
    return Put(std::move(done));
  }
  bool parse_error(size_t position, const std::string&, const Json::exception&) {
    error = absl::StrCat("not JSON at byte ", position);
    return false;
  }
  // NOLINTEND(readability-identifier-naming)

  Value result;
  std::string error;

 private:
  struct Container {
    bool is_object = false;
    Value key;
    Dict dict;
    std::vector<Value> items;
  };

  bool Open(bool is_object) {
    if (open_.size() >= kMaxJsonDepth) {
      error = absl::StrCat("JSON of more than ", kMaxJsonDepth, " levels");
      return false;
    }
    open_.push_back({.is_object = is_object});
    return true;
  }

  bool Put(Value value) {
    if (open_.empty()) {
      result = std::move(value);
    } else if (open_.back().is_object) {
      open_.back().dict.Set(std::move(open_.back().key), std::move(value));
    } else {
      open_.back().items.push_back(std::move(value));
    }
    return true;
  }

  std::vector<Container> open_;
};

}  // namespace

absl::StatusOr<Value> FromJson(std::string_view json) {
  Builder builder;
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) {
    return absl::InvalidArgumentError(builder.error.empty() ? "not JSON" : builder.error);
  }
  return std::move(builder.result);
}

}  // namespace deeprack::coordinator::jinja
