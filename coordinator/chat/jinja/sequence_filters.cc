#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "coordinator/chat/jinja/arguments.h"
#include "coordinator/chat/jinja/filters.h"
#include "coordinator/chat/jinja/methods.h"
#include "coordinator/chat/jinja/operators.h"
#include "coordinator/chat/jinja/print.h"

namespace deeprack::coordinator::jinja {
namespace {

// The item that a dotted path leads to: "function.name", "0.text".
absl::StatusOr<Value> FollowPath(Value value, const Value& path) {
  if (path.is_integral()) return GetItem(value, path);
  if (!path.is_string()) return absl::InvalidArgumentError("an attribute must be a str or an int");
  std::string_view rest = path.bytes();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    int64_t index = 0;
    const bool is_index = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos &&
                          absl::SimpleAtoi(part, &index);
    DR_ASSIGN_OR_RETURN(value, GetItem(value, is_index ? Value::Int(index) : Value::Literal(part)));
    if (dot == rest.npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

// What sort and unique compare: the item or its attribute, in small letters unless case counts.
absl::StatusOr<Value> SortKey(const Value& item, const Value* attribute, bool case_sensitive) {
  Value key = item;
  if (attribute != nullptr) {
    DR_ASSIGN_OR_RETURN(key, FollowPath(item, *attribute));
  }
  if (key.is_string() && !case_sensitive) return Value::String(ChangeCase(key.text(), Case::kLower));
  return key;
}

const Value* Given(const BoundArguments& arguments, size_t parameter) {
  return arguments.Has(parameter) && !arguments.Get(parameter).is_none() ? &arguments.Get(parameter)
                                                                         : nullptr;
}

// Sorts `items` by their keys, stably.
absl::StatusOr<std::vector<Value>> SortBy(std::vector<std::pair<Value, Value>> keyed, bool reverse) {
  absl::Status status;
  const auto less = [&](const std::pair<Value, Value>& a, const std::pair<Value, Value>& b) {
    const absl::StatusOr<bool> order = reverse ? Less(b.first, a.first) : Less(a.first, b.first);
    if (!order.ok()) status.Update(order.status());
    return order.ok() && *order;
  };
  // The sort needs a consistent order: types without one are refused before.
  for (size_t i = 1; i < keyed.size(); ++i) less(keyed[0], keyed[i]);
  if (status.ok()) std::stable_sort(keyed.begin(), keyed.end(), less);
  if (!status.ok()) return status;
  std::vector<Value> items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return items;
}

absl::StatusOr<Value> LengthFilter(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("length", given, {}).status());
  DR_ASSIGN_OR_RETURN(const int64_t length, Length(value));
  return Value::Int(length);
}

absl::StatusOr<Value> Join(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("join", given, {"d", "attribute"}));
  Text separator;
  if (arguments.Has(0)) {
    DR_ASSIGN_OR_RETURN(separator, ToText(arguments.Get(0)));
  }
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  Text joined;
  for (size_t i = 0; i < items.size(); ++i) {
    Value item = items[i];
    if (const Value* attribute = Given(arguments, 1)) {
      DR_ASSIGN_OR_RETURN(item, FollowPath(item, *attribute));
    }
    DR_ASSIGN_OR_RETURN(const Text text, ToText(item));
    if (i > 0) joined.Append(separator);
    joined.Append(text);
    if (joined.size() > kMaxTextBytes) return TextTooLong();
  }
  return Value::String(std::move(joined));
}

absl::StatusOr<Value> First(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("first", given, {}).status());
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  return items.empty() ? Value::Undefined("No first item, sequence was empty.") : items.front();
}

absl::StatusOr<Value> Last(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("last", given, {}).status());
  if (value.is(Kind::kSequence) && value.sequence().kind == SequenceKind::kGenerator) {
    return absl::InvalidArgumentError("'generator' object is not reversible");
  }
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  return items.empty() ? Value::Undefined("No last item, sequence was empty.") : items.back();
}

absl::StatusOr<Value> AsList(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("list", given, {}).status());
  DR_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value));
  return Value::List(std::move(items));
}

absl::StatusOr<Value> Items(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("items", given, {}).status());
  std::vector<Value> items;
  if (value.is_undefined()) return Value::Generator(std::move(items));
  if (!value.is(Kind::kDict)) return absl::InvalidArgumentError("Can only get item pairs from a mapping.");
  for (const auto& [key, item] : value.dict().entries()) items.push_back(Value::Tuple({key, item}));
  return Value::Generator(std::move(items));
}

absl::StatusOr<Value> DictSort(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments,
                      BoundArguments::Bind("dictsort", given, {"case_sensitive", "by", "reverse"}));
  DR_ASSIGN_OR_RETURN(const Text by, arguments.String(1, "key"));
  if (by.bytes() != "key" && by.bytes() != "value") {
    return absl::InvalidArgumentError("You can only sort by either \"key\" or \"value\"");
  }
  if (!value.is(Kind::kDict)) return absl::InvalidArgumentError("dictsort takes a mapping");
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, item] : value.dict().entries()) {
    DR_ASSIGN_OR_RETURN(Value sort_key,
                        SortKey(by.bytes() == "key" ? key : item, nullptr, arguments.Truth(0, false)));
    keyed.emplace_back(std::move(sort_key), Value::Tuple({key, item}));
  }
  DR_ASSIGN_OR_RETURN(std::vector<Value> sorted, SortBy(std::move(keyed), arguments.Truth(2, false)));
  return Value::List(std::move(sorted));
}

absl::StatusOr<Value> Sort(const Value& value, const Arguments& given, Budget& budget) {
  DR_ASSIGN_OR_RETURN(const auto arguments,
                      BoundArguments::Bind("sort", given, {"reverse", "case_sensitive", "attribute"}));
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items) {
    DR_RETURN_IF_ERROR(budget.Spend(4));
    DR_ASSIGN_OR_RETURN(Value key, SortKey(item, Given(arguments, 2), arguments.Truth(1, false)));
    keyed.emplace_back(std::move(key), item);
  }
  DR_ASSIGN_OR_RETURN(std::vector<Value> sorted, SortBy(std::move(keyed), arguments.Truth(0, false)));
  return Value::List(std::move(sorted));
}

absl::StatusOr<Value> Unique(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments,
                      BoundArguments::Bind("unique", given, {"case_sensitive", "attribute"}));
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  Dict seen;
  std::vector<Value> unique;
  for (const Value& item : items) {
    DR_ASSIGN_OR_RETURN(const Value key, SortKey(item, Given(arguments, 1), arguments.Truth(0, false)));
    if (!IsHashable(key))
      return absl::InvalidArgumentError(absl::StrCat("unhashable type: '", TypeName(key), "'"));
    if (seen.Find(key) != nullptr) continue;
    seen.Set(key, Value::None());
    unique.push_back(item);
  }
  return Value::Generator(std::move(unique));
}

absl::StatusOr<Value> Reverse(const Value& value, const Arguments& given, Budget&) {
  DR_RETURN_IF_ERROR(BoundArguments::Bind("reverse", given, {}).status());
  DR_ASSIGN_OR_RETURN(std::vector<Value> items, Iterate(value));
  std::reverse(items.begin(), items.end());
  if (!value.is_string()) return Value::Generator(std::move(items));
  Text text;
  for (const Value& character : items) text.Append(character.text());
  return Value::String(std::move(text));
}

// The arguments from number `from` on.
Arguments Rest(const Arguments& given, size_t from) {
  Arguments rest{.named = given.named};
  rest.positional.assign(given.positional.begin() + static_cast<ptrdiff_t>(from), given.positional.end());
  return rest;
}

absl::StatusOr<Value> Map(const Value& value, const Arguments& given, Budget& budget) {
  if (!IsTrue(value)) return Value::Generator({});  // as jinja2: also none and 0 have no items
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  std::vector<Value> mapped;
  if (!given.positional.empty()) {
    if (!given.positional[0].is_string())
      return absl::InvalidArgumentError("map requires the name of a filter");
    for (const Value& item : items) {
      DR_RETURN_IF_ERROR(budget.Spend(1));
      DR_ASSIGN_OR_RETURN(Value result,
                          ApplyFilter(given.positional[0].bytes(), item, Rest(given, 1), budget));
      mapped.push_back(std::move(result));
    }
    return Value::Generator(std::move(mapped));
  }
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("map", given, {"attribute", "default"}));
  DR_ASSIGN_OR_RETURN(const Value attribute, arguments.Required(0));
  for (const Value& item : items) {
    DR_RETURN_IF_ERROR(budget.Spend(1));
    DR_ASSIGN_OR_RETURN(Value result, FollowPath(item, attribute));
    mapped.push_back(result.is_undefined() && Given(arguments, 1) ? arguments.Get(1) : std::move(result));
  }
  return Value::Generator(std::move(mapped));
}

template <bool kByAttribute, bool kWanted>
absl::StatusOr<Value> Choose(const Value& value, const Arguments& given, Budget& budget) {
  if (!IsTrue(value)) return Value::Generator({});  // as jinja2: also none and 0 have no items
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  constexpr size_t kTest = kByAttribute ? 1 : 0;  // the position of the test's name
  if (kByAttribute && given.positional.empty())
    return absl::InvalidArgumentError("Missing parameter for attribute name");
  const bool has_test = given.positional.size() > kTest;
  if (has_test && !given.positional[kTest].is_string()) {
    return absl::InvalidArgumentError("the name of a test must be a str");
  }
  std::vector<Value> chosen;
  for (const Value& item : items) {
    DR_RETURN_IF_ERROR(budget.Spend(1));
    Value tested = item;
    if (kByAttribute) {
      DR_ASSIGN_OR_RETURN(tested, FollowPath(item, given.positional[0]));
    }
    bool holds = IsTrue(tested);
    if (has_test) {
      DR_ASSIGN_OR_RETURN(holds, ApplyTest(given.positional[kTest].bytes(), tested, Rest(given, kTest + 1)));
    }
    if (holds == kWanted) chosen.push_back(item);
  }
  return Value::Generator(std::move(chosen));
}

absl::StatusOr<Value> Sum(const Value& value, const Arguments& given, Budget& budget) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("sum", given, {"attribute", "start"}));
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  Value sum = arguments.Has(1) ? arguments.Get(1) : Value::Int(0);
  for (const Value& item : items) {
    DR_RETURN_IF_ERROR(budget.Spend(1 + sum.extent().weight / 4));
    Value term = item;
    if (const Value* attribute = Given(arguments, 0)) {
      DR_ASSIGN_OR_RETURN(term, FollowPath(item, *attribute));
    }
    if (sum.is_string()) return absl::InvalidArgumentError("sum() can't sum strings");
    DR_ASSIGN_OR_RETURN(sum, Arithmetic("+", sum, term));
  }
  return sum;
}

template <bool kMax>
absl::StatusOr<Value> Extreme(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments,
                      BoundArguments::Bind("min and max", given, {"case_sensitive", "attribute"}));
  DR_ASSIGN_OR_RETURN(const std::vector<Value> items, Iterate(value));
  if (items.empty()) return Value::Undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  DR_ASSIGN_OR_RETURN(Value best_key, SortKey(items[0], Given(arguments, 1), arguments.Truth(0, false)));
  for (size_t i = 1; i < items.size(); ++i) {
    DR_ASSIGN_OR_RETURN(Value key, SortKey(items[i], Given(arguments, 1), arguments.Truth(0, false)));
    DR_ASSIGN_OR_RETURN(const bool better, kMax ? Less(best_key, key) : Less(key, best_key));
    if (!better) continue;
    best = i;
    best_key = std::move(key);
  }
  return items[best];
}

absl::StatusOr<Value> Attribute(const Value& value, const Arguments& given, Budget&) {
  DR_ASSIGN_OR_RETURN(const auto arguments, BoundArguments::Bind("attr", given, {"name"}));
  DR_ASSIGN_OR_RETURN(const Text name, arguments.RequiredString(0));
  if (value.is(Kind::kDict)) {  // attr finds no items
    const std::optional<Value> method = Method(value, name.bytes());
    return method ? *method
                  : Value::Undefined(absl::StrCat("'dict object' has no attribute '", name.bytes(), "'"));
  }
  return GetAttribute(value, name.bytes());
}

struct SequenceFilter {
  std::string_view name;
  FilterCode code;
};

constexpr SequenceFilter kSequenceFilters[] = {
    {"length", LengthFilter},
    {"count", LengthFilter},
    {"join", Join},
    {"first", First},
    {"last", Last},
    {"list", AsList},
    {"items", Items},
    {"dictsort", DictSort},
    {"sort", Sort},
    {"unique", Unique},
    {"reverse", Reverse},
    {"map", Map},
    {"select", Choose<false, true>},
    {"reject", Choose<false, false>},
    {"selectattr", Choose<true, true>},
    {"rejectattr", Choose<true, false>},
    {"sum", Sum},
    {"min", Extreme<false>},
    {"max", Extreme<true>},
    {"attr", Attribute},
};

}  // namespace

FilterCode FindSequenceFilter(std::string_view name) {
  for (const SequenceFilter& filter : kSequenceFilters) {
    if (filter.name == name) return filter.code;
  }
  return nullptr;
}

absl::StatusOr<Value> ApplyFilter(std::string_view name, const Value& value, const Arguments& arguments,
                                  Budget& budget) {
  FilterCode code = FindScalarFilter(name);
  if (code == nullptr) code = FindSequenceFilter(name);
  if (code == nullptr) return absl::InvalidArgumentError(absl::StrCat("no filter named '", View(name), "'"));
  return code(value, arguments, budget);
}

}  // namespace deeprack::coordinator::jinja
