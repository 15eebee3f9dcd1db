#include "support/golden.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace rotary::testing::golden {

void wrong_data(const std::string& message) { throw std::runtime_error("golden data: " + message); }

namespace {

using Json = nlohmann::json;

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

Arguments arguments_of(const Json& json) {
  Arguments args;
  for (const auto& [name, value] : json.items()) args.emplace(name, value_of(value));
  return args;
}

std::optional<Constructor> constructor_of(const Json& json, const char* field) {
  if (!json.contains(field) || json[field].is_null()) return {};
  return Constructor{json[field].at("class").get<std::string>(), arguments_of(json[field].at("args"))};
}

std::vector<Call> calls_of(const Json& json, const char* field) {
  std::vector<Call> calls;
  if (!json.contains(field)) return calls;
  for (const Json& call : json[field])
    calls.push_back({call.at("fn").get<std::string>(), arguments_of(call.at("args")),
                     call.at("out").get<std::vector<std::string>>()});
  return calls;
}

std::map<std::string, Tensor> tensors_of(const Json& json, const char* field, const std::string& label) {
  std::map<std::string, Tensor> tensors;
  if (!json.contains(field)) return tensors;
  for (const auto& [name, from] : json[field].items()) {
    Tensor x{label + ' ' + name, from.at("dtype").get<std::string>(),
             from.at("shape").get<std::vector<Index>>(), from.at("data").get<std::vector<double>>()};
    if (x.dtype == "float32" || x.dtype == "float16" || x.dtype == "bfloat16") {
      // Nine digits lie so near to the float they were printed from that going by way of double cannot miss
      // it.
      for (double& value : x.values) value = static_cast<float>(value);
    } else if (x.dtype != "float64" && x.dtype != "int64") {
      wrong_data(x.label + " has unknown type " + x.dtype);
    }
    Index size = 1;
    for (const Index extent : x.shape) size *= extent;
    if (size != x.size()) wrong_data(x.label + " does not have as many values as its shape says");
    tensors.emplace(name, std::move(x));
  }
  return tensors;
}

std::map<std::string, double> tolerances_of(const Json& json, const char* field) {
  if (!json.contains("tolerance")) return {};
  return json["tolerance"].at(field).get<std::map<std::string, double>>();
}

/// "@x" → "x"
std::map<std::string, std::string> references_of(const Json& json) {
  auto references = json.get<std::map<std::string, std::string>>();
  for (auto& [name, reference] : references)
    if (reference.starts_with('@')) reference.erase(0, 1);
  return references;
}

template <class Map>
const auto& entry(const Map& map, const std::string& name, const Case& of, const char* what) {
  const auto found = map.find(name);
  if (found == map.end()) wrong_data(of.set + '/' + of.name + " has no " + what + ' ' + name);
  return found->second;
}

const Value& argument(const Arguments& args, std::string_view name, Value::Kind kind) {
  const auto found = args.find(name);
  if (found == args.end()) wrong_data("there is no argument " + std::string(name));
  if (found->second.kind != kind)
    wrong_data("argument " + std::string(name) + " is of another kind than the test wants");
  return found->second;
}

Index integer_of(double number) {
  const auto integer = static_cast<Index>(number);
  if (static_cast<double>(integer) != number) wrong_data(std::to_string(number) + " is no integer");
  return integer;
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

double Arguments::number(std::string_view name) const {
  return argument(*this, name, Value::Kind::number).number;
}
Index Arguments::integer(std::string_view name) const { return integer_of(number(name)); }
bool Arguments::flag(std::string_view name) const {
  return argument(*this, name, Value::Kind::flag).number != 0;
}
const std::string& Arguments::text(std::string_view name) const {
  return argument(*this, name, Value::Kind::text).text;
}
const std::string& Arguments::reference(std::string_view name) const {
  return argument(*this, name, Value::Kind::reference).text;
}

std::vector<double> Arguments::numbers(std::string_view name) const {
  std::vector<double> numbers;
  for (const Value& value : argument(*this, name, Value::Kind::list).list) {
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
  for (const Value& value : argument(*this, name, Value::Kind::list).list) {
    if (value.kind != Value::Kind::reference)
      wrong_data("argument " + std::string(name) + " is no list of tensors");
    references.push_back(value.text);
  }
  return references;
}

double Arguments::number(std::string_view name, double otherwise) const {
  return has(name) ? number(name) : otherwise;
}
Index Arguments::integer(std::string_view name, Index otherwise) const {
  return has(name) ? integer(name) : otherwise;
}
bool Arguments::flag(std::string_view name, bool otherwise) const {
  return has(name) ? flag(name) : otherwise;
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
  const std::string name = file.ends_with(".json") ? file.substr(0, file.size() - 5) : file;
  const auto path = std::filesystem::path(ROTARY_TEST_DATA_DIR) / set / (name + ".json");
  std::ifstream stream(path);
  if (!stream) wrong_data("cannot read " + path.string());
  const Json json = Json::parse(stream);
  const std::string label = set + '/' + name;

  Case c;
  c.set = set;
  c.name = name;
  c.notes = json.at("notes").get<std::string>();
  c.dtype = json.at("dtype").get<std::string>();
  c.tags = json.at("tags").get<std::vector<std::string>>();
  c.constructor = constructor_of(json, "constructor");
  c.intended_constructor = constructor_of(json, "intended_constructor");
  if (json.contains("params")) c.params = references_of(json["params"]);
  c.calls = calls_of(json, "calls");
  c.intended_calls = calls_of(json, "intended_calls");
  c.inputs = tensors_of(json, "inputs", label);
  c.outputs = tensors_of(json, "outputs", label);
  c.outputs_f64 = tensors_of(json, "outputs_f64", label);
  c.intended_outputs_f64 = tensors_of(json, "intended_outputs_f64", label);
  c.f32_tolerances = tolerances_of(json, "f32_atol");
  c.f64_tolerances = tolerances_of(json, "f64_atol");
  if (json.contains("grad"))
    c.gradient = Gradient{references_of(json["grad"].at("weights")),
                          json["grad"].at("wrt").get<std::map<std::string, std::string>>()};
  if (json.contains("expected_error")) {
    const Json& error = json["expected_error"];
    c.expected_error = error.at("kind").get<std::string>() + ": " + error.at("message").get<std::string>();
  }
  return c;
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
