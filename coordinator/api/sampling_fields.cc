#include "coordinator/api/sampling_fields.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "absl/strings/str_cat.h"
#include "coordinator/api/answer_form.h"

namespace deeprack::coordinator {
namespace {

constexpr size_t kMaxStopStrings = 16;
constexpr size_t kMaxStopBytes = 256;
constexpr size_t kMaxStopTokens = 64;
constexpr size_t kMaxLogitBias = 1024;
// The bias of a token that is never drawn. The value is finite, so that sums and temperatures give finite
// logits.
constexpr float kNever = -1e30f;
constexpr int64_t kMaxAnswers = 32;
constexpr size_t kMaxSaltBytes = 256;
// The least values that lose nothing as floats.
constexpr double kLeastTopP = 1e-6;
constexpr double kLeastRepetitionPenalty = 0.01;

void AddStopString(JsonFields& fields, const Json& value, const std::string& path,
                   std::vector<std::string>& stop) {
  if (!value.is_string()) {
    fields.Fail(
        BadRequest("invalid_type", path, absl::StrCat(path, " must be a string, not ", value.type_name())));
    return;
  }
  std::string text = value.get<std::string>();
  if (text.empty() || text.size() > kMaxStopBytes) {
    fields.Fail(InvalidValue(
        path, absl::StrCat(path, " has ", text.size(), " bytes; a stop string has 1 to ", kMaxStopBytes)));
    return;
  }
  stop.push_back(std::move(text));
}

void ReadStop(JsonFields& fields, std::vector<std::string>& stop) {
  const Json* value = fields.Any("stop");
  if (value == nullptr || *value == "") return;
  if (!value->is_array()) return AddStopString(fields, *value, fields.Path("stop"), stop);
  ReadStopStrings(fields, "stop", stop);
}

void ReadStopTokens(JsonFields& fields, const ServedModel& model, std::vector<TokenId>& ids) {
  const Json* values = fields.Array("stop_token_ids", kMaxStopTokens);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i) {
    const Json& value = (*values)[i];
    const std::string path = absl::StrCat(fields.Path("stop_token_ids"), "[", i, "]");
    if (!value.is_number_integer() || value < 0 || value >= model.vocab_size) {
      return fields.Fail(
          BadRequest("invalid_token_id", path,
                     absl::StrCat(path, " is ", value.dump(), "; token ids are integers from 0 to ",
                                  model.vocab_size - 1)));
    }
    ids.push_back(value.get<TokenId>());
  }
}

// `id` is the token's id, -1 if the request's text of the id, `shown`, is none.
void AddLogitBias(JsonFields& fields, const ServedModel& model, int64_t id, const std::string& shown,
                  const Json& value, const std::string& path, model::SamplingParams& sampling) {
  if (id < 0 || id >= model.vocab_size) {
    return fields.Fail(BadRequest("invalid_token_id", path,
                                  absl::StrCat("logit_bias names token ", shown,
                                               "; token ids are integers from 0 to ", model.vocab_size - 1)));
  }
  const bool never = value == false;  // as in llama.cpp
  if (!never && !(value.is_number() && value.get<double>() >= -100 && value.get<double>() <= 100)) {
    return fields.Fail(InvalidValue(
        path, absl::StrCat(path, " is ", value.dump(), "; it must be a number from -100 to 100, or false")));
  }
  sampling.logit_bias.emplace_back(static_cast<TokenId>(id), never ? kNever : value.get<float>());
}

// OpenAI's {"5": 1.5}.
void ReadBiasObject(JsonFields& fields, const ServedModel& model, const Json& biases,
                    model::SamplingParams& sampling) {
  for (const auto& [key, value] : biases.items()) {
    TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) id = -1;
    AddLogitBias(fields, model, id, key, value, absl::StrCat(fields.Path("logit_bias"), ".", key), sampling);
  }
}

// llama.cpp's [[5, 1.5], [6, false]].
void ReadBiasPairs(JsonFields& fields, const ServedModel& model, const Json& biases,
                   model::SamplingParams& sampling) {
  for (size_t i = 0; i < biases.size() && !fields.failed(); ++i) {
    const Json& pair = biases[i];
    const std::string path = absl::StrCat(fields.Path("logit_bias"), "[", i, "]");
    if (!pair.is_array() || pair.size() != 2) {
      return fields.Fail(
          BadRequest("invalid_type", path, absl::StrCat(path, " must be a pair of a token id and a bias")));
    }
    const bool is_id = pair[0].is_number_integer() && pair[0] >= 0 && pair[0] < model.vocab_size;
    AddLogitBias(fields, model, is_id ? pair[0].get<int64_t>() : -1, pair[0].dump(), pair[1],
                 absl::StrCat(path, "[1]"), sampling);
  }
}

void ReadLogitBias(JsonFields& fields, const ServedModel& model, model::SamplingParams& sampling) {
  const Json* biases = fields.Any("logit_bias");
  if (biases == nullptr) return;
  if (biases->size() > kMaxLogitBias) {
    return fields.Fail(
        InvalidValue("logit_bias", absl::StrCat("logit_bias has ", biases->size(), " entries; at most ",
                                                kMaxLogitBias, " are accepted")));
  }
  if (biases->is_array()) {
    ReadBiasPairs(fields, model, *biases, sampling);
  } else if (fields.Object("logit_bias") != nullptr) {
    ReadBiasObject(fields, model, *biases, sampling);
  }
  std::ranges::sort(sampling.logit_bias);
  const auto same = [](const auto& a, const auto& b) { return a.first == b.first; };
  const auto twice = std::ranges::adjacent_find(sampling.logit_bias, same);
  if (twice == sampling.logit_bias.end()) return;
  fields.Fail(InvalidValue("logit_bias", absl::StrCat("logit_bias names token ", twice->first, " twice")));
}

void ReadSampling(JsonFields& fields, const ServedModel& model, model::SamplingParams& sampling) {
  ReadTokenChoice(fields, model, sampling);
  sampling.min_p = static_cast<float>(fields.Number("min_p", 0, 0, 1));
  sampling.presence_penalty = static_cast<float>(fields.Number("presence_penalty", 0, -2, 2));
  sampling.frequency_penalty = static_cast<float>(fields.Number("frequency_penalty", 0, -2, 2));
  sampling.repetition_penalty =
      static_cast<float>(fields.Number("repetition_penalty", 1, kLeastRepetitionPenalty, 10));
  ReadLogitBias(fields, model, sampling);
}

int64_t ReadPriority(JsonFields& fields, const ServedModel& model) {
  const int64_t priority =
      fields.Integer("priority", 0, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  if (priority != 0 && !model.priorities) {
    fields.Fail(Unsupported("priority", absl::StrCat("priority is ", priority,
                                                     "; this server serves requests in the order of arrival, "
                                                     "so it accepts only 0. A server that was started with "
                                                     "--scheduling-policy priority accepts any")));
  }
  return priority;
}

void ReadStreaming(JsonFields& fields, GenerationRequest& request) {
  request.stream = fields.Bool("stream", false);
  const Json* options = fields.Object("stream_options");
  if (options == nullptr) return;
  JsonFields inner(*options, kStreamOptions, "stream_options.", fields);
  request.include_usage = inner.Bool("include_usage", false);
  request.continuous_usage = request.include_usage & inner.Bool("continuous_usage_stats", false);
  inner.RefuseOthers();
  if (request.include_usage && !request.stream) {
    fields.Fail(BadRequest("invalid_request", "stream_options", "stream_options needs stream: true"));
  }
}

}  // namespace

std::string ReadModelField(JsonFields& fields, const ServedModel& model) {
  const std::optional<std::string> name = fields.String("model");
  if (!name) return "";
  if (const std::string* found = model.FindName(*name)) return *found;
  ApiError error =
      BadRequest("model_not_found", "model",
                 absl::StrCat("the model \"", *name, "\" is not served here; \"", model.name, "\" is"));
  error.status = 404;
  error.type = "not_found_error";
  fields.Fail(std::move(error));
  return "";
}

void ReadTokenChoice(JsonFields& fields, const ServedModel& model, model::SamplingParams& sampling) {
  sampling.temperature = static_cast<float>(fields.Number("temperature", model.defaults.temperature, 0, 2));
  const double top_p = fields.Number("top_p", model.defaults.top_p, 0, 1);
  if (top_p >= kLeastTopP) {
    sampling.top_p = static_cast<float>(top_p);
  } else {
    sampling.temperature = 0;  // the set of tokens to draw from has only the most likely one
  }
  sampling.top_k = static_cast<int32_t>(std::max<int64_t>(
      0, fields.Integer("top_k", model.defaults.top_k, -1, std::numeric_limits<int32_t>::max())));
}

void ReadStopStrings(JsonFields& fields, std::string_view name, std::vector<std::string>& stop) {
  const Json* values = fields.Array(name, kMaxStopStrings);
  for (size_t i = 0; values != nullptr && i < values->size(); ++i) {
    AddStopString(fields, (*values)[i], absl::StrCat(fields.Path(name), "[", i, "]"), stop);
  }
}

void ReadSharedFields(JsonFields& fields, const ServedModel& model, GenerationRequest& request) {
  request.model = ReadModelField(fields, model);
  ReadSampling(fields, model, request.request.sampling);
  ReadStreaming(fields, request);
  request.n = static_cast<int32_t>(fields.Integer("n", 1, 1, kMaxAnswers));
  const int64_t best_of = fields.Integer("best_of", request.n, 0, std::numeric_limits<int64_t>::max());
  if (best_of != request.n && best_of != 1) {
    fields.Fail(Unsupported("best_of", absl::StrCat("best_of ", best_of, " with n = ", request.n,
                                                    " is not supported: ask for n answers instead")));
  }
  if (fields.Has("seed")) {
    request.seed =
        fields.Integer("seed", 0, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  }
  ReadStructuredOutputs(fields, request.form);
  ReadStop(fields, request.text.stop);
  request.text.stop_in_reasoning = fields.Bool("stop_in_reasoning", false);
  const bool no_stop_trim = fields.Bool("no_stop_trim", false);  // SGLang's name
  request.text.include_stop = fields.Bool("include_stop_str_in_output", no_stop_trim);
  request.text.show_special = !fields.Bool("skip_special_tokens", true);
  // ignore_eos is about the model's eos tokens. The request's own stop_token_ids still stop the answer.
  if (!fields.Bool("ignore_eos", false)) request.request.stop_token_ids = model.eos_token_ids;
  ReadStopTokens(fields, model, request.request.stop_token_ids);
  request.request.min_tokens = request.text.min_tokens =
      static_cast<int32_t>(fields.Integer("min_tokens", 0, 0, std::numeric_limits<int32_t>::max()));
  request.timings_per_token = fields.Bool("timings_per_token", false);
  request.return_token_ids = fields.Bool("return_token_ids", false);
  request.tokens_as_ids = fields.Bool("return_tokens_as_token_ids", false);
  request.request.priority = ReadPriority(fields, model);
  request.request.cache_salt = fields.String("cache_salt").value_or("");
  if (request.request.cache_salt.size() > kMaxSaltBytes) {
    fields.Fail(
        InvalidValue("cache_salt", absl::StrCat("cache_salt has more than ", kMaxSaltBytes, " bytes")));
  }
}

void ReadPromptLogprobs(JsonFields& fields, const ServedModel& model, GenerationRequest& request) {
  request.prompt_logprobs =
      static_cast<int32_t>(fields.Integer("prompt_logprobs", -1, 0, model.max_logprobs));
  request.request.prompt_logprobs = std::max(request.request.prompt_logprobs, request.prompt_logprobs);
  if (request.prompt_logprobs >= 0 && request.stream) {
    fields.Fail(BadRequest("invalid_request", "prompt_logprobs", "prompt_logprobs needs stream: false"));
  }
}

std::optional<int64_t> ReadMaxTokens(JsonFields& fields, const char* name, int64_t least) {
  if (!fields.Has(name)) return std::nullopt;
  const int64_t value = fields.Integer(name, least, kNoLimit, std::numeric_limits<int64_t>::max());
  if (value < least && value != kNoLimit) {
    fields.Fail(InvalidValue(fields.Path(name),
                             absl::StrCat(fields.Path(name), " is ", value, "; it must be at least ", least,
                                          ", or -1 for no limit")));
  }
  return value;
}

std::optional<ApiError> SettleMaxTokens(const ServedModel& model, std::optional<int64_t> asked,
                                        int64_t absent, GenerationRequest& request) {
  size_t longest = 0;
  for (const std::vector<TokenId>& prompt : request.prompts) longest = std::max(longest, prompt.size());
  const int64_t context = model.max_context;
  const int64_t room = context - static_cast<int64_t>(longest);
  const int64_t wanted = asked.value_or(absent);
  const bool only_prompt = wanted == 0;
  if (room < (only_prompt ? 0 : 1)) {
    return BadRequest("context_length_exceeded", "",
                      absl::StrCat("the prompt has ", longest, " tokens; the context holds ", context,
                                   ", of which the answer needs at least ", only_prompt ? 0 : 1));
  }
  if (wanted != kNoLimit && request.request.min_tokens > wanted) {
    return BadRequest("invalid_request", "min_tokens",
                      absl::StrCat("min_tokens is ", request.request.min_tokens, ", max_tokens only ", wanted,
                                   asked ? "" : ", as the request has none: send max_tokens, too"));
  }
  request.request.max_tokens = static_cast<int32_t>(wanted == kNoLimit ? room : std::min(wanted, room));
  return std::nullopt;
}

}  // namespace deeprack::coordinator
