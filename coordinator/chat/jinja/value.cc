#include "coordinator/chat/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace deeprack::coordinator::jinja {
namespace {

constexpr size_t kIndexedFrom = 9;  // a dict of fewer entries is searched entry by entry

Value MakeSequence(SequenceKind kind, std::vector<Value> items,
                   Value (*wrap)(std::shared_ptr<const Sequence>)) {
  auto sequence = std::make_shared<Sequence>();
  sequence->kind = kind;
  for (const Value& item : items) sequence->extent.Add(item.extent());
  sequence->items = std::move(items);
  return wrap(std::move(sequence));
}

// Equal keys have equal texts.
void AppendKeyText(const Value& key, std::string& out) {
  switch (key.kind()) {
    case Kind::kString:
      absl::StrAppend(&out, "s", key.bytes().size(), ":", key.bytes());
      break;
    case Kind::kBool:
    case Kind::kInt:
      absl::StrAppend(&out, "i", key.integer());
      break;
    case Kind::kFloat: {
      const double number = key.number();
      if (std::floor(number) == number && std::abs(number) < 9e18) {
        absl::StrAppend(&out, "i", static_cast<int64_t>(number));
      } else {
        absl::StrAppend(&out, "f", number);
      }
      break;
    }
    case Kind::kSequence:
      out += '(';
      for (const Value& item : key.sequence().items) {
        AppendKeyText(item, out);
        out += ',';
      }
      out += ')';
      break;
    default:
      absl::StrAppend(&out, "k", static_cast<int>(key.kind()), "@",
                      reinterpret_cast<uintptr_t>(key.address()));
  }
}

std::string KeyText(const Value& key) {
  std::string text;
  AppendKeyText(key, text);
  return text;
}

absl::Status NoOrder(const Value& a, const Value& b) {
  return absl::InvalidArgumentError(
      absl::StrCat("'<' is not supported between '", TypeName(a), "' and '", TypeName(b), "'"));
}

}  // namespace

Value Value::Undefined(std::string why) {
  return Value(std::shared_ptr<const std::string>(std::make_shared<std::string>(std::move(why))));
}

Value Value::List(std::vector<Value> items) {
  return MakeSequence(SequenceKind::kList, std::move(items),
                      [](std::shared_ptr<const Sequence> made) { return Value(std::move(made)); });
}
Value Value::Tuple(std::vector<Value> items) {
  return MakeSequence(SequenceKind::kTuple, std::move(items),
                      [](std::shared_ptr<const Sequence> made) { return Value(std::move(made)); });
}
Value Value::Generator(std::vector<Value> items) {
  return MakeSequence(SequenceKind::kGenerator, std::move(items),
                      [](std::shared_ptr<const Sequence> made) { return Value(std::move(made)); });
}
Value Value::View(std::vector<Value> items) {
  return MakeSequence(SequenceKind::kView, std::move(items),
                      [](std::shared_ptr<const Sequence> made) { return Value(std::move(made)); });
}

Value Value::Of(Dict dict) {
  return Value(std::shared_ptr<const Dict>(std::make_shared<Dict>(std::move(dict))));
}

Value Value::Of(Function function) {
  return Value(std::shared_ptr<const Function>(std::make_shared<Function>(std::move(function))));
}

std::string Value::why() const {
  const auto& why = std::get<std::shared_ptr<const std::string>>(data_);
  return why == nullptr ? "the value is undefined" : *why;
}

int64_t Value::integer() const { return is(Kind::kBool) ? boolean() : std::get<int64_t>(data_); }

double Value::number() const {
  return is(Kind::kFloat) ? std::get<double>(data_) : static_cast<double>(integer());
}

const void* Value::address() const {
  if (is(Kind::kNamespace)) return &name_space();
  if (is(Kind::kFunction)) return &function();
  if (is(Kind::kLoop)) return &loop();
  return nullptr;
}

Extent Value::extent() const {
  if (is(Kind::kSequence)) return sequence().extent;
  if (is(Kind::kDict)) return dict().extent();
  if (is_string()) return {.weight = 1 + text().size() / 64};
  return {};
}

size_t Dict::IndexOf(const Value& key) const {
  if (index_.empty()) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      if (Equal(entries_[i].first, key)) return i;
    }
    return entries_.size();
  }
  const auto found = index_.find(KeyText(key));
  return found == index_.end() ? entries_.size() : found->second;
}

const Value* Dict::Find(const Value& key) const {
  const size_t index = IndexOf(key);
  return index == entries_.size() ? nullptr : &entries_[index].second;
}

const Value* Dict::Find(std::string_view key) const {
  if (index_.empty()) {
    for (const Entry& entry : entries_) {
      if (entry.first.is_string() && entry.first.bytes() == key) return &entry.second;
    }
    return nullptr;
  }
  const auto found = index_.find(absl::StrCat("s", key.size(), ":", View(key)));
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

void Dict::Set(Value key, Value value) {
  extent_.Add(key.extent());
  extent_.Add(value.extent());
  if (const size_t index = IndexOf(key); index < entries_.size()) {
    entries_[index].second = std::move(value);
    return;
  }
  if (!index_.empty()) index_.emplace(KeyText(key), entries_.size());
  entries_.emplace_back(std::move(key), std::move(value));
  if (index_.empty() && entries_.size() >= kIndexedFrom) {
    for (size_t i = 0; i < entries_.size(); ++i) index_.emplace(KeyText(entries_[i].first), i);
  }
}

bool IsHashable(const Value& value) {
  if (value.is(Kind::kDict)) return false;
  if (!value.is(Kind::kSequence)) return true;
  if (value.sequence().kind != SequenceKind::kTuple) return false;
  return std::all_of(value.sequence().items.begin(), value.sequence().items.end(), IsHashable);
}

bool IsTrue(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.number() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kSequence:
      return value.sequence().kind == SequenceKind::kGenerator || !value.sequence().items.empty();
    case Kind::kDict:
      return !value.dict().entries().empty();
    default:
      return true;
  }
}

bool Equal(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
  if (a.is_number() && b.is_number()) return a.number() == b.number();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      return a.bytes() == b.bytes();
    case Kind::kSequence: {
      const Sequence &left = a.sequence(), &right = b.sequence();
      return left.kind == right.kind &&
             std::equal(left.items.begin(), left.items.end(), right.items.begin(), right.items.end(), Equal);
    }
    case Kind::kDict: {
      if (a.dict().entries().size() != b.dict().entries().size()) return false;
      return std::all_of(a.dict().entries().begin(), a.dict().entries().end(), [&](const Dict::Entry& entry) {
        const Value* other = b.dict().Find(entry.first);
        return other != nullptr && Equal(entry.second, *other);
      });
    }
    default:
      return a.address() == b.address();
  }
}

absl::StatusOr<bool> Less(const Value& a, const Value& b) {
  if (a.is_undefined()) return absl::InvalidArgumentError(a.why());
  if (b.is_undefined()) return absl::InvalidArgumentError(b.why());
  if (a.is_integral() && b.is_integral()) return a.integer() < b.integer();
  if (a.is_number() && b.is_number()) return a.number() < b.number();
  if (a.is_string() && b.is_string()) return a.bytes() < b.bytes();
  if (!a.is(Kind::kSequence) || !b.is(Kind::kSequence)) return NoOrder(a, b);
  const Sequence &left = a.sequence(), &right = b.sequence();
  if (left.kind != right.kind || left.kind == SequenceKind::kGenerator || left.kind == SequenceKind::kView) {
    return NoOrder(a, b);
  }
  for (size_t i = 0; i < std::min(left.items.size(), right.items.size()); ++i) {
    if (!Equal(left.items[i], right.items[i])) return Less(left.items[i], right.items[i]);
  }
  return left.items.size() < right.items.size();
}

const char* TypeName(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kSequence:
      switch (value.sequence().kind) {
        case SequenceKind::kList:
          return "list";
        case SequenceKind::kTuple:
          return "tuple";
        case SequenceKind::kGenerator:
          return "generator";
        case SequenceKind::kView:
          return "dict_items";
      }
      return "list";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kFunction:
      return "function";
    case Kind::kLoop:
      return "LoopContext";
  }
  return "object";
}

absl::StatusOr<std::optional<Value>> Loop::Pull() {
  while (next_in_source < source.size()) {
    Value item = source[next_in_source++];
    if (!accepts) return item;
    DR_ASSIGN_OR_RETURN(const bool accepted, accepts(item));
    if (accepted) return item;
  }
  return std::nullopt;
}

absl::StatusOr<std::optional<Value>> Loop::Take() {
  if (ahead.empty()) return Pull();
  Value item = std::move(ahead.front());
  ahead.pop_front();
  return item;
}

absl::StatusOr<const Value*> Loop::Peek() {
  if (ahead.empty()) {
    DR_ASSIGN_OR_RETURN(std::optional<Value> item, Pull());
    if (!item) return nullptr;
    ahead.push_back(*std::move(item));
  }
  return &ahead.front();
}

absl::StatusOr<int64_t> Loop::Length() {
  while (true) {
    DR_ASSIGN_OR_RETURN(std::optional<Value> item, Pull());
    if (!item) return index0 + 1 + static_cast<int64_t>(ahead.size());
    ahead.push_back(*std::move(item));
  }
}

absl::Status TooManyItems() {
  return absl::ResourceExhaustedError(absl::StrCat("a sequence of more than ", kMaxItems, " items"));
}

absl::StatusOr<std::vector<Value>> Iterate(const Value& value) {
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::kUndefined:
      return items;
    case Kind::kString: {
      const Text& text = value.text();
      for (size_t at = 0; at < text.size();) {
        if (items.size() >= kMaxItems) return TooManyItems();
        const size_t length = CharacterBytes(text.bytes(), at);
        items.push_back(Value::String(text.Slice(at, at + length)));
        at += length;
      }
      return items;
    }
    case Kind::kSequence: {
      const Sequence& sequence = value.sequence();
      if (sequence.kind == SequenceKind::kGenerator && std::exchange(sequence.consumed, true)) return items;
      return sequence.items;
    }
    case Kind::kDict:
      for (const Dict::Entry& entry : value.dict().entries()) items.push_back(entry.first);
      return items;
    default:
      return absl::InvalidArgumentError(absl::StrCat("'", TypeName(value), "' object is not iterable"));
  }
}

}  // namespace deeprack::coordinator::jinja
