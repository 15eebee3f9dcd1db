#include "support/golden.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>

namespace rotary::testing::golden {

void wrong_data(const std::string& message) { throw std::runtime_error("golden data: " + message); }

namespace {

using Json = nlohmann::json;

/// The fields of a file that say where it comes from, and nothing that a test could compare: those that every
/// file has, and others.
constexpr const char* kProvenance[] = {"set", "source", "commit", "seed"};
constexpr const char* kRemarks[] = {"version", "intended_how"};

Index integer_of(double number) {
  const auto integer = static_cast<Index>(number);
  if (static_cast<double>(integer) != number) wrong_data(std::to_string(number) + " is no integer");
  return integer;
}

Value value_of(const Json& json) {
  Value value;
  switch (json.type()) {
    case Json::value_t::null:
      break;
    case Json::value_t::boolean:
      value.kind = Value::Kind::flag;
      value.number = json.get<bool>() ? 1 : 0;
      break;
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
    case Json::value_t::number_float:
      value.kind = Value::Kind::number;
      value.number = json.get<double>();
      break;
    case Json::value_t::string:
      value.text = json.get<std::string>();
      value.kind = Value::Kind::text;
      if (value.text.starts_with('@')) {
        value.kind = Value::Kind::reference;
        value.text.erase(0, 1);
      }
      break;
    case Json::value_t::array:
      value.kind = Value::Kind::list;
      for (const Json& entry : json) value.list.push_back(value_of(entry));
      break;
    default:
      wrong_data("an argument is neither number, text nor list: " + json.dump());
  }
  return value;
}

/// A file as JSON. Of a name that stands twice in one object, the parser would keep the last without a word.
Json json_of(const std::string& text, const std::string& label) {
  std::vector<std::set<std::string>> open_objects;
  return Json::parse(text, [&](int, Json::parse_event_t event, const Json& parsed) {
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key && !open_objects.back().insert(parsed.get<std::string>()).second)
      wrong_data(label + " has the field " + parsed.get<std::string>() + " twice");
    return true;
  });
}

/// An object of a file, whose fields must all be looked at.
class Fields {
 public:
  Fields(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) wrong_data(where_ + " is no object");
  }

  const Json* find(const std::string& name) {
    known_.insert(name);
    const auto found = json_.find(name);
    return found == json_.end() ? nullptr : &*found;
  }
  const Json& at(const std::string& name) {
    const Json* const found = find(name);
    if (!found) wrong_data(where_ + " has no field " + name);
    return *found;
  }
  std::string text(const std::string& name) {
    const Json& found = at(name);
    if (!found.is_string()) wrong_data(where_ + ": " + name + " is no text");
    return found.get<std::string>();
  }
  void expect_no_more() const {
    for (const auto& [name, value] : json_.items())
      if (!known_.contains(name)) wrong_data(where_ + " has the unknown field " + name);
  }
  const std::string& where() const { return where_; }

 private:
  const Json& json_;
  std::string where_;
  std::set<std::string> known_;
};

Arguments arguments_of(const Json& json) {
  Arguments args;
  for (const auto& [name, value] : json.items()) args.add(name, value_of(value));
  return args;
}

std::optional<Constructor> constructor_of(const Json* json, const std::string& where) {
  if (!json || json->is_null()) return {};
  Fields fields(*json, where);
  Constructor constructor{fields.text("class"), arguments_of(fields.at("args"))};
  fields.expect_no_more();
  return constructor;
}

std::vector<Call> calls_of(const Json* json, const std::string& where) {
  std::vector<Call> calls;
  if (!json) return calls;
  for (const Json& call : *json) {
    Fields fields(call, where);
    calls.push_back({fields.text("fn"), arguments_of(fields.at("args")),
                     fields.at("out").get<std::vector<std::string>>()});
    if (const Json* const positional = fields.find("positional")) {
      const std::vector<std::string> names = calls.back().args.names();
      for (const Json& name : *positional)
        if (std::find(names.begin(), names.end(), name.get<std::string>()) == names.end())
          wrong_data(where + ": there is no argument " + name.dump() + " to be passed by position");
    }
    if (const Json* const star = fields.find("star"); star && !star->is_boolean())
      wrong_data(where + ": star is no flag");
    fields.expect_no_more();
  }
  return calls;
}

Tensor tensor_of(const Json& json, const std::string& label) {
  Fields fields(json, label);
  Tensor x{label, fields.text("dtype"), fields.at("shape").get<std::vector<Index>>(),
           fields.at("data").get<std::vector<double>>()};
  fields.expect_no_more();
  if (x.dtype == "float32" || x.dtype == "float16" || x.dtype == "bfloat16") {
    // Nine digits lie so near to the float they were printed from that going by way of double cannot miss it.
    for (double& value : x.values) value = static_cast<float>(value);
  } else if (x.dtype != "float64" && x.dtype != "int64") {
    wrong_data(x.label + " has unknown type " + x.dtype);
  }
  if (x.dtype == "int64")
    for (const double value : x.values) integer_of(value);
  Index size = 1;
  for (const Index extent : x.shape) size *= extent;
  if (size != x.size()) wrong_data(x.label + " does not have as many values as its shape says");
  return x;
}

std::map<std::string, Tensor> tensors_of(const Json* json, const std::string& label) {
  std::map<std::string, Tensor> tensors;
  if (!json) return tensors;
  for (const auto& [name, from] : json->items()) tensors.emplace(name, tensor_of(from, label + ' ' + name));
  return tensors;
}

/// An object whose fields are all texts, or all numbers.
template <class X>
std::map<std::string, X> map_of(const Json& json, const std::string& where) {
  constexpr bool kTexts = std::is_same_v<X, std::string>;
  std::map<std::string, X> map;
  for (const auto& [name, value] : json.items()) {
    if (kTexts ? !value.is_string() : !value.is_number())
      wrong_data(where + ": " + name + (kTexts ? " is no text" : " is no number"));
    map.emplace(name, value.template get<X>());
  }
  return map;
}

/// "@x" → "x"
std::map<std::string, std::string> references_of(const Json& json, const std::string& where) {
  auto references = map_of<std::string>(json, where);
  for (auto& [name, reference] : references) {
    if (!reference.starts_with('@')) wrong_data(where + ": " + reference + " names no tensor");
    reference.erase(0, 1);
  }
  return references;
}

std::optional<Gradient> gradient_of(const Json* json, const std::string& where) {
  if (!json) return {};
  Fields fields(*json, where);
  if (fields.text("loss") != "sum over outputs o of sum(weights[o] * o)")
    wrong_data(where + ": nobody knows the loss " + fields.text("loss"));
  Gradient gradient{references_of(fields.at("weights"), where), map_of<std::string>(fields.at("wrt"), where)};
  fields.expect_no_more();
  return gradient;
}

std::optional<ExpectedError> error_of(const Json* json, const std::string& where) {
  if (!json) return {};
  Fields fields(*json, where);
  ExpectedError error{fields.text("kind"), fields.text("type"), fields.text("message")};
  fields.expect_no_more();
  if (error.kind != "assertion" && error.kind != "value error" && error.kind != "accidental")
    wrong_data(where + " is of the unknown kind " + error.kind);
  return error;
}

void read_tolerances(const Json* json, Case& c, const std::string& where) {
  if (!json) return;
  Fields fields(*json, where);
  c.f32_tolerances = map_of<double>(fields.at("f32_atol"), where);
  c.f64_tolerances = map_of<double>(fields.at("f64_atol"), where);
  // For the reader; that it names the outputs is all that can be checked.
  if (const Json* const measured = fields.find("measured_f32_vs_f64"))
    for (const auto& [name, value] : map_of<double>(*measured, where))
      if (!c.outputs.contains(name)) wrong_data(where + ": " + name + " was measured, and is no output");
  fields.expect_no_more();
}

/// That every name stands for something, and everything has its use.
void check_names(const Case& c, const std::string& label) {
  std::set<std::string> used;
  const auto use = [&](const std::string& name, const std::set<std::string>& made) {
    if (!made.contains(name)) wrong_data(label + ": @" + name + " names no tensor at this place");
    used.insert(name);
  };
  std::set<std::string> inputs;
  for (const auto& [name, tensor] : c.inputs) inputs.insert(name);
  const auto use_inputs = [&](const Arguments& args) {
    args.for_each_reference([&](const std::string& name) { use(name, inputs); });
  };
  if (c.constructor) use_inputs(c.constructor->args);
  if (c.intended_constructor) use_inputs(c.intended_constructor->args);
  use_inputs(c.params);
  const auto results_of = [&](const std::vector<Call>& calls) {
    std::set<std::string> made = inputs, results;
    for (const Call& call : calls) {
      call.args.for_each_reference([&](const std::string& name) { use(name, made); });
      if (call.out.empty()) wrong_data(label + ": a call has no result");
      made.insert(call.out.begin(), call.out.end());
      results.insert(call.out.begin(), call.out.end());
    }
    return results;
  };
  std::set<std::string> results = results_of(c.calls);
  std::set<std::string> intended = c.intended_calls.empty() ? results : results_of(c.intended_calls);
  if (c.gradient) {
    for (const auto& [output, weight] : c.gradient->weights) {
      use(weight, inputs);
      if (!results.contains(output))
        wrong_data(label + ": the loss weighs " + output + ", which nobody makes");
    }
    for (const auto& [output, of] : c.gradient->wrt) {
      if (!c.outputs.contains(output))
        wrong_data(label + ": the gradient " + output + " is not among the outputs");
      results.insert(output);
    }
  }
  for (const auto& [name, tensor] : c.inputs)
    if (!used.contains(name)) wrong_data(label + ": nothing uses the input " + name);

  if (c.calls.empty()) wrong_data(label + " has no calls");
  if (c.outputs.empty() != c.expected_error.has_value())
    wrong_data(label + " must have outputs or an expected error");
  const auto same_names = [&](const auto& map, const char* what) {
    for (const auto& [name, value] : map)
      if (!c.outputs.contains(name)) wrong_data(label + ": " + what + " of " + name + ", which is no output");
    if (map.size() != c.outputs.size()) wrong_data(label + ": " + what + " of some outputs is missing");
  };
  same_names(c.outputs_f64, "outputs_f64");
  same_names(c.f32_tolerances, "f32_atol");
  same_names(c.f64_tolerances, "f64_atol");
  for (const auto& [name, tensor] : c.outputs) {
    if (!results.contains(name)) wrong_data(label + ": no call makes the output " + name);
    if (c.outputs_f64.at(name).shape != tensor.shape) wrong_data(label + ": shapes of " + name + " differ");
    if (!(c.f32_tolerances.at(name) > 0 && c.f64_tolerances.at(name) > 0))
      wrong_data(label + ": a tolerance of " + name + " is not positive");
  }
  for (const auto& [name, tensor] : c.outputs) {
    if (c.dtype != "mixed" && tensor.dtype != c.dtype)
      wrong_data(label + ": " + name + " is no " + c.dtype + ", as the case says");
    if (c.outputs_f64.at(name).dtype != "float64") wrong_data(label + ": outputs_f64 is in another type");
  }
  const bool half = std::any_of(c.inputs.begin(), c.inputs.end(), [](const auto& input) {
    return input.second.dtype == "float16" || input.second.dtype == "bfloat16";
  });
  if (half != c.has_tag("half")) wrong_data(label + ": the tag half belongs to 16-bit inputs");
  if (c.expected_error.has_value() != c.has_tag("raises"))
    wrong_data(label + ": the tag raises belongs to an expected error");
  if (c.intended_outputs_f64.empty() && (c.intended_constructor || !c.intended_calls.empty()))
    wrong_data(label + ": something is intended, and no outputs of it are");
  const auto off = [](const Tensor& x, const Tensor& y, double atol) {
    if (x.shape != y.shape) return true;
    for (std::size_t n = 0; n < x.values.size(); ++n)
      if (std::fabs(x.values[n] - y.values[n]) > atol) return true;
    return false;
  };
  bool differs = false;
  for (const auto& [name, tensor] : c.intended_outputs_f64)
    differs = differs ||
              (c.outputs.contains(name) && (off(tensor, c.outputs_f64.at(name), c.f64_tolerances.at(name)) ||
                                            off(tensor, c.outputs.at(name), c.f32_tolerances.at(name))));
  if (c.has_tag("reference_quirk") && !c.intended_outputs_f64.empty() && !differs)
    wrong_data(label + ": what is intended is what the reference does, which is no quirk");
  for (const auto& [name, tensor] : c.intended_outputs_f64)
    if (!intended.contains(name) || !c.outputs.contains(name))
      wrong_data(label + ": the intended output " + name + " is no result");
}

template <class Map>
const auto& entry(const Map& map, const std::string& name, const Case& of, const char* what) {
  const auto found = map.find(name);
  if (found == map.end()) wrong_data(of.set + '/' + of.name + " has no " + what + ' ' + name);
  return found->second;
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "[";
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    text += (axis ? ", " : "") + std::to_string(shape[axis]);
  return text + "]";
}

/// "[0, 2, 1]" for the n-th entry.
std::string index_text(Index n, const std::vector<Index>& shape) {
  std::vector<Index> index(shape.size());
  for (std::size_t axis = shape.size(); axis-- > 0; n /= shape[axis]) index[axis] = n % shape[axis];
  return shape_text(index);
}

}  // namespace

bool Arguments::has(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return false;
  if (found->second.kind != Value::Kind::none) return true;
  read_.insert(found->first);
  return false;
}
bool Arguments::has_tensor(std::string_view name) const {
  return has(name) && values_.find(name)->second.kind == Value::Kind::reference;
}

const Value& Arguments::read(std::string_view name, Value::Kind kind) const {
  const auto found = values_.find(name);
  if (found == values_.end()) wrong_data("there is no argument " + std::string(name));
  read_.insert(found->first);
  if (found->second.kind != kind)
    wrong_data("argument " + std::string(name) + " is of another kind than the test wants");
  return found->second;
}

double Arguments::number(std::string_view name) const { return read(name, Value::Kind::number).number; }
Index Arguments::integer(std::string_view name) const { return integer_of(number(name)); }
bool Arguments::flag(std::string_view name) const {
  const bool is_number = has(name) && values_.find(name)->second.kind == Value::Kind::number;
  const double value = read(name, is_number ? Value::Kind::number : Value::Kind::flag).number;
  if (value != 0 && value != 1) wrong_data("argument " + std::string(name) + " is neither true nor false");
  return value != 0;
}
const std::string& Arguments::text(std::string_view name) const { return read(name, Value::Kind::text).text; }
const std::string& Arguments::reference(std::string_view name) const {
  return read(name, Value::Kind::reference).text;
}

std::vector<double> Arguments::numbers(std::string_view name) const {
  std::vector<double> numbers;
  for (const Value& value : read(name, Value::Kind::list).list) {
    if (value.kind != Value::Kind::number)
      wrong_data("argument " + std::string(name) + " is no list of numbers");
    numbers.push_back(value.number);
  }
  return numbers;
}

std::vector<Index> Arguments::integers(std::string_view name) const {
  std::vector<Index> integers;
  for (const double value : numbers(name)) integers.push_back(integer_of(value));
  return integers;
}

std::vector<std::string> Arguments::references(std::string_view name) const {
  std::vector<std::string> references;
  for (const Value& value : read(name, Value::Kind::list).list) {
    if (value.kind != Value::Kind::reference)
      wrong_data("argument " + std::string(name) + " is no list of tensors");
    references.push_back(value.text);
  }
  return references;
}

template <class X>
X Arguments::or_default(std::string_view name, X value, X otherwise) const {
  if (value == otherwise) defaults_.emplace(name);
  return value;
}
double Arguments::number(std::string_view name, double otherwise) const {
  return has(name) ? or_default(name, number(name), otherwise) : otherwise;
}
Index Arguments::integer(std::string_view name, Index otherwise) const {
  return has(name) ? or_default(name, integer(name), otherwise) : otherwise;
}
bool Arguments::flag(std::string_view name, bool otherwise) const {
  return has(name) ? or_default(name, flag(name), otherwise) : otherwise;
}
std::optional<std::string> Arguments::optional_reference(std::string_view name) const {
  if (!has(name)) return {};
  return reference(name);
}

void Arguments::without_effect(std::initializer_list<std::string_view> names) const {
  known(names);
  without_effect_.insert(names.begin(), names.end());
}

void Arguments::known(std::initializer_list<std::string_view> names) const {
  for (const std::string_view name : names)
    if (const auto found = values_.find(name); found != values_.end()) read_.insert(found->first);
}

std::vector<std::string> Arguments::names() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values_) names.push_back(name);
  return names;
}

std::vector<std::string> Arguments::unread() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : values_)
    if (!read_.contains(name)) names.push_back(name);
  return names;
}

void Arguments::for_each_reference(const std::function<void(const std::string&)>& visit) const {
  const std::function<void(const Value&)> look = [&](const Value& value) {
    if (value.kind == Value::Kind::reference) visit(value.text);
    for (const Value& entry : value.list) look(entry);
  };
  for (const auto& [name, value] : values_) look(value);
}

void expect_all_read(const Case& c, Part part) {
  const std::string label = c.set + '/' + c.name;
  const auto check = [&](const Arguments& args, const std::string& what) {
    for (const std::string& name : args.unread())
      ADD_FAILURE() << label << ": nobody read the argument " << name << " of " << what;
  };
  if (c.constructor) check(c.constructor->args, c.constructor->type);
  for (const Call& call : c.calls) check(call.args, call.function);
  check(c.params, "params");
  for (const auto& [name, tensor] : c.outputs)
    if (!c.compared.contains(name) && (part == Part::all || c.is_gradient(name) == (part == Part::gradients)))
      ADD_FAILURE() << label << ": nobody compared " << name;
  if (part == Part::gradients) return;
  if (c.intended_constructor) check(c.intended_constructor->args, "the intended constructor");
  for (const Call& call : c.intended_calls) check(call.args, "the intended " + call.function);
  for (const auto& [name, tensor] : c.intended_outputs_f64)
    if (!c.compared_intended.contains(name))
      ADD_FAILURE() << label << ": nobody compared the intended " << name;
  if (c.expected_error && !c.compared_error)
    ADD_FAILURE() << label << ": nobody looked at the expected error";
}

void Case::forget_arguments() const {
  for (const auto* each : {&constructor, &intended_constructor})
    if (*each) (*each)->args.forget();
  for (const auto* each : {&calls, &intended_calls})
    for (const Call& call : *each) call.args.forget();
  params.forget();
}

bool Case::has_tag(std::string_view tag) const {
  return std::find(tags.begin(), tags.end(), tag) != tags.end();
}

const Tensor& Case::input(const std::string& tensor) const { return entry(inputs, tensor, *this, "input"); }
const Tensor& Case::output(const std::string& tensor) const {
  return entry(outputs, tensor, *this, "output");
}
const Tensor& Case::output_f64(const std::string& tensor) const {
  return entry(outputs_f64, tensor, *this, "output_f64");
}
const Tensor& Case::intended_f64(const std::string& tensor) const {
  return entry(intended_outputs_f64, tensor, *this, "intended output");
}
double Case::f32_atol(const std::string& tensor) const {
  return entry(f32_tolerances, tensor, *this, "f32_atol of");
}
double Case::f64_atol(const std::string& tensor) const {
  return entry(f64_tolerances, tensor, *this, "f64_atol of");
}

namespace {

std::string stem_of(const std::string& file) {
  return file.ends_with(".json") ? file.substr(0, file.size() - 5) : file;
}

std::string text_of(const std::string& set, const std::string& file) {
  const auto path = std::filesystem::path(ROTARY_TEST_DATA_DIR) / set / (stem_of(file) + ".json");
  std::ifstream stream(path);
  if (!stream) wrong_data("cannot read " + path.string());
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

std::vector<std::string> sets() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(ROTARY_TEST_DATA_DIR))
    if (entry.is_directory()) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> files(const std::string& set) {
  std::vector<std::string> names;
  for (const auto& file :
       std::filesystem::directory_iterator(std::filesystem::path(ROTARY_TEST_DATA_DIR) / set))
    if (file.path().extension() == ".json") names.push_back(file.path().filename().string());
  if (names.empty()) wrong_data("set " + set + " has no cases");
  std::sort(names.begin(), names.end());
  return names;
}

Case load(const std::string& set, const std::string& file) {
  return parse(set, stem_of(file), text_of(set, file));
}

Case parse(const std::string& set, const std::string& name, const std::string& text) {
  const std::string label = set + '/' + name;
  const Json json = json_of(text, label);
  Fields fields(json, label);
  for (const char* field : kProvenance) fields.at(field);
  for (const char* field : kRemarks) fields.find(field);

  Case c;
  c.set = set;
  c.name = name;
  if (fields.text("name") != name) wrong_data(label + " calls itself " + fields.text("name"));
  c.notes = fields.text("notes");
  c.dtype = fields.text("dtype");
  for (const char* known : {"float32", "float16", "bfloat16", "mixed", ""}) {
    if (c.dtype == known) break;
    if (!*known) wrong_data(label + " has unknown type " + c.dtype);
  }
  c.tags = fields.at("tags").get<std::vector<std::string>>();
  c.constructor = constructor_of(&fields.at("constructor"), label + " constructor");
  c.intended_constructor =
      constructor_of(fields.find("intended_constructor"), label + " intended_constructor");
  if (const Json* const params = fields.find("params")) c.params = arguments_of(*params);
  c.calls = calls_of(&fields.at("calls"), label + " calls");
  c.intended_calls = calls_of(fields.find("intended_calls"), label + " intended_calls");
  c.inputs = tensors_of(&fields.at("inputs"), label);
  c.outputs = tensors_of(fields.find("outputs"), label);
  c.outputs_f64 = tensors_of(fields.find("outputs_f64"), label);
  c.intended_outputs_f64 = tensors_of(fields.find("intended_outputs_f64"), label);
  read_tolerances(fields.find("tolerance"), c, label + " tolerance");
  c.gradient = gradient_of(fields.find("grad"), label + " grad");
  c.expected_error = error_of(fields.find("expected_error"), label + " expected_error");
  fields.expect_no_more();
  check_names(c, label);
  return c;
}

namespace {

constexpr const char* kSurprise = "surprise";

/// Calls visit(pointer, object) for every object in `json`, itself included.
void for_each_object(const Json& json, const Json::json_pointer& at,
                     const std::function<void(const Json::json_pointer&)>& visit) {
  if (json.is_object()) {
    visit(at);
    for (const auto& [name, value] : json.items()) for_each_object(value, at / name, visit);
  } else if (json.is_array()) {
    for (std::size_t n = 0; n < json.size(); ++n)
      if (json[n].is_structured()) for_each_object(json[n], at / n, visit);
  }
}

/// How often `json` mentions a text.
Index mentions(const Json& json, const std::string& text) {
  if (json.is_string()) return json.get<std::string>() == text;
  Index count = 0;
  if (json.is_structured())
    for (const Json& value : json) count += mentions(value, text);
  return count;
}

/// How often a case uses a tensor.
Index uses(const Json& json, const std::string& name) {
  Index count = 0;
  for (const char* section : {"constructor", "intended_constructor", "params", "calls", "intended_calls"})
    if (json.contains(section)) count += mentions(json[section], name);
  return count + (json.contains("grad") ? mentions(json["grad"]["weights"], name) : 0);
}

/// Other numbers in a tensor; a mask keeps to 0 and 1.
void change_numbers(Json& tensor) {
  Json& data = tensor["data"];
  const bool bits = std::all_of(data.begin(), data.end(), [](const Json& x) { return x == 0 || x == 1; });
  for (Json& number : data) number = bits ? Json(1 - number.get<double>()) : Json(number.get<double>() + 1);
}

/// The case with other values of an argument, or of a field that names a tensor. There are none of a result of
/// the calls before.
std::vector<Json> with_other_values(const Json& original, const Json::json_pointer& at) {
  const Json& value = original[at];
  std::vector<Json> all;
  const auto add = [&](const Json& other) { all.emplace_back(original)[at] = other; };
  if (value.is_boolean()) {
    add(!value.get<bool>());
  } else if (value.is_number_integer()) {
    for (const Index other :
         {value.get<Index>() + 1, value.get<Index>() - 1, value.get<Index>() * 2, Index{0}})
      if (other != value) add(other);
  } else if (value.is_number()) {
    for (const double other : {value.get<double>() + 0.5, value.get<double>() * 8}) add(other);
  } else if (value.is_string() && value.get<std::string>().starts_with('@')) {
    const std::string name = value.get<std::string>().substr(1);
    if (!original["inputs"].contains(name)) return all;
    Json json = original;
    const bool alone = uses(original, value.get<std::string>()) == 1;
    if (!alone) {
      json["inputs"][kSurprise] = original["inputs"][name];
      json[at] = '@' + std::string(kSurprise);
    }
    change_numbers(json["inputs"][alone ? name : kSurprise]);
    all.push_back(std::move(json));
  } else if (value.is_string()) {
    add(value.get<std::string>() + '?');
  }
  return all;
}

/// The case without an argument, and without the tensor that nothing else uses.
Json without(const Json& original, const Json::json_pointer& at) {
  Json json = original;
  const std::string name = at.back();
  json[at.parent_pointer()].erase(name);
  Json& call = json[at.parent_pointer().parent_pointer()];
  if (call.contains("positional")) {
    Json others = Json::array();
    for (const Json& each : call["positional"])
      if (each != name) others.push_back(each);
    call["positional"] = others;
  }
  const std::function<void(const Json&)> drop_tensors = [&](const Json& value) {
    if (value.is_array())
      for (const Json& each : value) drop_tensors(each);
    if (!value.is_string() || uses(json, value.get<std::string>()) > 0) return;
    json["inputs"].erase(value.get<std::string>().substr(1));
  };
  drop_tensors(original[at]);
  return json;
}

}  // namespace

std::vector<Altered> alterations(const std::string& set, const std::string& file, Part part,
                                 const Case& ran) {
  using Kind = Altered::Kind;
  using Pointer = Json::json_pointer;
  const Json original = Json::parse(text_of(set, file));
  std::vector<Altered> all;

  for_each_object(original, Pointer(), [&](const Pointer& at) {
    // The gradients of a case are run without what is intended, which the results are compared with.
    if (part == Part::gradients && at.to_string().starts_with("/intended_") && at.back() == "args") return;
    Json json = original;
    json[at][kSurprise] = 1;
    all.push_back({Kind::unknown_name, (at / kSurprise).to_string(), {json.dump()}, kSurprise});
  });
  for (const auto& [name, value] : original.items()) {
    if (std::find(std::begin(kRemarks), std::end(kRemarks), name) != std::end(kRemarks)) continue;
    // The calls of the case may do for what is intended as well.
    if (name == "intended_constructor" || name == "intended_calls") continue;
    Json json = original;
    json.erase(name);
    all.push_back({Kind::missing_field, '/' + name, {json.dump()}, ""});
  }

  const std::function<void(const Pointer&)> change = [&](const Pointer& at) {
    if (original[at].is_array())
      for (std::size_t n = 0; n < original[at].size(); ++n) change(at / n);
    Altered altered{Kind::argument, at.to_string(), {}, ""};
    for (const Json& json : with_other_values(original, at)) altered.jsons.push_back(json.dump());
    if (!altered.jsons.empty()) all.push_back(std::move(altered));
  };
  const auto change_arguments = [&](const Pointer& args, const Arguments& read) {
    for (const auto& [name, value] : original[args].items()) {
      if (!read.has_effect(name)) continue;
      // A gradient of what is linear does not depend on the tensor.
      const bool tensor = value.is_string() && value.get<std::string>().starts_with('@');
      if (!(part == Part::gradients && tensor)) change(args / name);
      if (!read.is_default(name) && !value.is_null())
        all.push_back(
            {Kind::missing_argument, (args / name).to_string(), {without(original, args / name).dump()}, ""});
    }
  };
  const auto change_run = [&](const std::string& prefix, const std::optional<Constructor>& constructor,
                              const std::vector<Call>& calls) {
    if (constructor) change_arguments(Pointer('/' + prefix + "constructor/args"), constructor->args);
    for (std::size_t n = 0; n < calls.size(); ++n)
      change_arguments(Pointer('/' + prefix + "calls") / n / "args", calls[n].args);
  };
  // What a refusal depends on, the word in its sentence tells.
  if (!ran.expected_error) {
    change_run("", ran.constructor, ran.calls);
    if (part != Part::gradients) change_run("intended_", ran.intended_constructor, ran.intended_calls);
    if (original.contains("params")) change_arguments(Pointer("/params"), ran.params);
    if (ran.gradient && part != Part::results)
      for (const auto& [name, weight] : ran.gradient->weights) change(Pointer("/grad/weights") / name);
  }

  for (const auto& [name, tensor] : ran.outputs_f64) {
    if (tensor.values.empty() || (part != Part::all && ran.is_gradient(name) != (part == Part::gradients)))
      continue;
    const auto add_number = [&, name = name](Kind kind, const char* field) {
      Json json = original;
      Json& last = json[field][name]["data"].back();
      last = last.get<double>() + 1;
      all.push_back({kind, std::string("/") + field + '/' + name, {json.dump()}, name});
    };
    // In place of a quirk, the intended number is what a result is compared with.
    const bool intended = ran.intended_outputs_f64.contains(name);
    if (intended) add_number(Kind::number, "intended_outputs_f64");
    if (intended && ran.has_tag("reference_quirk")) continue;
    add_number(Kind::number, "outputs_f64");
    add_number(Kind::number_in_float, "outputs");
  }
  return all;
}

void compare(const Tensor& found, const Tensor& wanted, double atol) {
  if (found.shape != wanted.shape) {
    ADD_FAILURE() << wanted.label << ": found shape " << shape_text(found.shape) << ", wanted "
                  << shape_text(wanted.shape);
    return;
  }
  Index worst = -1, count = 0;
  double largest = atol;
  for (Index n = 0; n < wanted.size(); ++n) {
    const auto at = static_cast<std::size_t>(n);
    const double difference = std::fabs(found.values[at] - wanted.values[at]);
    if (difference <= atol) continue;
    ++count;
    if (worst >= 0 && (std::isnan(largest) || difference <= largest)) continue;  // NaN is worst of all
    worst = n;
    largest = difference;
  }
  if (count == 0) return;
  std::ostringstream message;
  message.precision(17);
  message << wanted.label << index_text(worst, wanted.shape) << ": found "
          << found.values[static_cast<std::size_t>(worst)] << ", wanted "
          << wanted.values[static_cast<std::size_t>(worst)];
  message.precision(3);
  message << ", off by " << largest << " where " << atol << " is allowed; " << count << " of "
          << wanted.size() << " entries are off";
  ADD_FAILURE() << message.str();
}

void compare(const std::vector<double>& found, const Tensor& wanted, double atol) {
  compare(Tensor{{}, "float64", {static_cast<Index>(found.size())}, found}, wanted, atol);
}

namespace {

/// Calls visit(n, offset) for every element of a view, n counting them in row-major order.
template <class S, class Visit>
void for_each(const StridedView<S>& view, Visit&& visit) {
  for (Index n = 0; n < view.size(); ++n) {
    Index offset = 0, rest = n;
    for (int axis = view.rank - 1; axis >= 0; rest /= view.extent(axis--))
      offset += rest % view.extent(axis) * view.stride(axis);
    visit(static_cast<std::size_t>(n), offset);
  }
}

template <class S>
constexpr const char* dtype_of() {
  if (std::is_same_v<S, double>) return "float64";
  if (std::is_same_v<S, float>) return "float32";
  return std::is_same_v<S, Eigen::half> ? "float16" : "bfloat16";
}

}  // namespace

template <class S>
void fill(const StridedView<S>& view, const Tensor& x) {
  if (view.size() != x.size()) wrong_data(x.label + " does not fit the view to be filled");
  for_each(view, [&](std::size_t n, Index offset) { view.data[offset] = static_cast<S>(x.values[n]); });
}

template <class S>
Tensor from_view(const StridedView<const S>& view) {
  Tensor result;
  result.dtype = dtype_of<S>();
  result.shape.assign(view.extents.begin(), view.extents.begin() + view.rank);
  result.values.resize(static_cast<std::size_t>(view.size()));
  for_each(view,
           [&](std::size_t n, Index offset) { result.values[n] = static_cast<double>(view.data[offset]); });
  return result;
}

template void fill(const StridedView<double>&, const Tensor&);
template void fill(const StridedView<float>&, const Tensor&);
template void fill(const StridedView<Eigen::half>&, const Tensor&);
template void fill(const StridedView<Eigen::bfloat16>&, const Tensor&);
template Tensor from_view(const StridedView<const double>&);
template Tensor from_view(const StridedView<const float>&);
template Tensor from_view(const StridedView<const Eigen::half>&);
template Tensor from_view(const StridedView<const Eigen::bfloat16>&);

}  // namespace rotary::testing::golden
