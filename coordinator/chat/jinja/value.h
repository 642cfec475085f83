// A value of a template: what a Python object is in jinja2. Values are immutable and cheap to copy; only a
// namespace changes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "coordinator/chat/jinja/text.h"

namespace deeprack::coordinator::jinja {

class Dict;
struct Sequence;
struct Namespace;
struct Function;
struct Loop;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kSequence,
  kDict,
  kNamespace,
  kFunction,
  kLoop
};

// How much a value holds. An item that stands in two places counts twice.
struct Extent {
  size_t depth = 0;   // levels of sequences and dicts
  size_t weight = 1;  // values, and 64 bytes of text for one more; no more than kMostWeight

  static constexpr size_t kMostWeight = size_t{1} << 40;
  void Add(const Extent& inner) {
    depth = std::max(depth, inner.depth + 1);
    weight = std::min(weight + inner.weight, kMostWeight);
  }
};

class Value {
 public:
  Value() = default;                        // undefined
  static Value Undefined(std::string why);  // `why`: what an error says about the value, "'x' is undefined"
  static Value None() { return Value(Nothing{}); }
  static Value Bool(bool value) { return Value(value); }
  static Value Int(int64_t value) { return Value(value); }
  static Value Float(double value) { return Value(value); }
  static Value String(Text text) { return Value(std::make_shared<const Text>(std::move(text))); }
  static Value Literal(std::string bytes) { return String(Text(std::move(bytes), Origin::kTemplate)); }
  static Value Data(std::string bytes) { return String(Text(std::move(bytes), Origin::kData)); }
  static Value List(std::vector<Value> items);
  static Value Tuple(std::vector<Value> items);
  // The result of map, select and other filters: always true, without length or items, iterated once.
  static Value Generator(std::vector<Value> items);
  static Value View(std::vector<Value> items);  // what dict.items() gives
  static Value Of(Dict dict);
  static Value Of(std::shared_ptr<Namespace> value) { return Value(std::move(value)); }
  static Value Of(Function function);
  static Value Of(std::shared_ptr<Loop> value) { return Value(std::move(value)); }

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind kind) const { return this->kind() == kind; }
  bool is_undefined() const { return is(Kind::kUndefined); }
  bool is_none() const { return is(Kind::kNone); }
  bool is_string() const { return is(Kind::kString); }
  bool is_integral() const { return is(Kind::kInt) || is(Kind::kBool); }  // a bool is an int in Python
  bool is_number() const { return is_integral() || is(Kind::kFloat); }

  // Each is for its kind only.
  std::string why() const;
  bool boolean() const { return std::get<bool>(data_); }
  int64_t integer() const;  // of an integral value
  double number() const;    // of a number
  const Text& text() const { return *std::get<std::shared_ptr<const Text>>(data_); }
  const std::string& bytes() const { return text().bytes(); }
  const Sequence& sequence() const { return *std::get<std::shared_ptr<const Sequence>>(data_); }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  Namespace& name_space() const { return *std::get<std::shared_ptr<Namespace>>(data_); }
  const Function& function() const { return *std::get<std::shared_ptr<const Function>>(data_); }
  Loop& loop() const { return *std::get<std::shared_ptr<Loop>>(data_); }
  const void* address() const;  // identity of a namespace, function or loop; else nullptr

  Extent extent() const;

 private:
  struct Nothing {};
  using Storage =
      std::variant<std::shared_ptr<const std::string>, Nothing, bool, int64_t, double,
                   std::shared_ptr<const Text>, std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>,
                   std::shared_ptr<Namespace>, std::shared_ptr<const Function>, std::shared_ptr<Loop>>;

  template <typename T>
  explicit Value(T data) : data_(std::in_place_type<T>, std::move(data)) {}

  Storage data_;
};

enum class SequenceKind : uint8_t { kList, kTuple, kGenerator, kView };

struct Sequence {
  SequenceKind kind = SequenceKind::kList;
  std::vector<Value> items;
  Extent extent{.depth = 1};
  mutable bool consumed = false;  // of a generator: it gives no further items
};

// A dict with Python's rules for keys (1, 1.0 and True are one key), in order of insertion.
class Dict {
 public:
  using Entry = std::pair<Value, Value>;

  const Value* Find(const Value& key) const;  // nullptr: absent
  const Value* Find(std::string_view key) const;
  void Set(Value key, Value value);  // `key` is hashable
  void Set(std::string_view key, Value value) { Set(Value::Literal(std::string(key)), std::move(value)); }
  const std::vector<Entry>& entries() const { return entries_; }
  // A value that another replaced still counts.
  const Extent& extent() const { return extent_; }

 private:
  size_t IndexOf(const Value& key) const;  // entries_.size(): absent

  std::vector<Entry> entries_;
  absl::flat_hash_map<std::string, size_t> index_;  // empty while there are few entries
  Extent extent_{.depth = 1};
};

struct Namespace {
  Dict attributes;
};

// The variable `loop`. A loop with a condition tests each item when the item is needed, as jinja2 does,
// because the body may change the values that the condition reads.
struct Loop {
  std::vector<Value> source;
  size_t next_in_source = 0;
  std::function<absl::StatusOr<bool>(const Value&)> accepts;  // empty: every item
  std::deque<Value> ahead;                                    // items that were taken from the source early
  Value previous, current;
  int64_t index0 = -1;
  Value last_changed;  // the arguments of the last loop.changed()
  bool has_changed = false;

  // The next item; nullopt at the end.
  absl::StatusOr<std::optional<Value>> Take();
  absl::StatusOr<const Value*> Peek();  // nullptr at the end
  absl::StatusOr<int64_t> Length();

 private:
  absl::StatusOr<std::optional<Value>> Pull();
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

struct Function {
  std::string name;
  std::function<absl::StatusOr<Value>(const Arguments&)> call;
};

// False for a list, a dict and what contains one: no keys of a dict.
bool IsHashable(const Value& value);

bool IsTrue(const Value& value);

// Python's ==.
bool Equal(const Value& a, const Value& b);

// Python's <. Errors: InvalidArgument if the types have no order.
absl::StatusOr<bool> Less(const Value& a, const Value& b);

// Python's name of the type: str, dict, NoneType, ...
const char* TypeName(const Value& value);

// The value's items as a `for` meets them. Errors: InvalidArgument if the value has none;
// ResourceExhausted for a text of too many characters.
absl::StatusOr<std::vector<Value>> Iterate(const Value& value);

// The number of items a sequence may have that a filter or method makes.
inline constexpr size_t kMaxItems = size_t{1} << 20;
absl::Status TooManyItems();

}  // namespace deeprack::coordinator::jinja
