// Golden cases: calls of reference implementations and their results, as tests read them.
// tests/golden/README.md describes their origin and their fields.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <rotary/tensor/tensor.hpp>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rotary::testing::golden {

/// A tensor of any rank: row-major values, each exactly the number that the reference's type held.
///
/// Numbers of the 32-bit and 16-bit types are rounded to the nearest float before they are widened: the files
/// carry nine digits of them, which name the float but are not its value in double.
struct Tensor {
  std::string label;  ///< set, case and tensor, for messages
  std::string dtype;  ///< "float64", "float32", "float16", "bfloat16" or "int64"
  std::vector<Index> shape;
  std::vector<double> values;

  int rank() const { return static_cast<int>(shape.size()); }
  Index size() const { return static_cast<Index>(values.size()); }
};

/// An argument: a flag, a number, a text, the name of a tensor ("@x" in the files), or a list of those.
struct Value {
  enum class Kind { none, flag, number, text, reference, list };

  Kind kind = Kind::none;
  double number = 0;        ///< also of a flag: 0 or 1
  std::string text;         ///< also of a reference: the name without the @
  std::vector<Value> list;  ///< its entries
};

/// Arguments by name. They remember which of them were read: a case that passes without reading an argument
/// proves nothing about it. A change of an argument that was read must change a result, unless the argument is
/// declared to have no effect.
class Arguments {
 public:
  void add(const std::string& name, Value value) { values_.emplace(name, std::move(value)); }

  /// Whether it is given; Python's None counts as left out.
  bool has(std::string_view name) const;
  /// Whether it is given as a tensor, "@x".
  bool has_tensor(std::string_view name) const;
  /// The argument; it must be there and of that kind.
  double number(std::string_view name) const;
  Index integer(std::string_view name) const;
  bool flag(std::string_view name) const;  ///< true, false, 1 or 0
  const std::string& text(std::string_view name) const;
  const std::string& reference(std::string_view name) const;
  std::vector<double> numbers(std::string_view name) const;
  std::vector<Index> integers(std::string_view name) const;
  std::vector<std::string> references(std::string_view name) const;
  /// The argument, or the reference's default.
  double number(std::string_view name, double otherwise) const;
  Index integer(std::string_view name, Index otherwise) const;
  bool flag(std::string_view name, bool otherwise) const;
  std::optional<std::string> optional_reference(std::string_view name) const;
  /// Declares arguments that cannot change our result as known. Whoever does so says why.
  void without_effect(std::initializer_list<std::string_view> names) const;
  /// Counts arguments as read whose value comes from elsewhere.
  void known(std::initializer_list<std::string_view> names) const;
  /// Counts all arguments as unread.
  void forget() const { read_.clear(); }

  std::vector<std::string> names() const;
  std::vector<std::string> unread() const;
  /// Whether a change of the argument must change a result.
  bool has_effect(const std::string& name) const { return !without_effect_.contains(name); }
  /// Whether the argument was found to be what the reference takes by default.
  bool is_default(const std::string& name) const { return defaults_.contains(name); }
  /// Calls visit(name) for every "@name" in the arguments, and reads nothing.
  void for_each_reference(const std::function<void(const std::string&)>& visit) const;

 private:
  const Value& read(std::string_view name, Value::Kind kind) const;
  template <class X>
  X or_default(std::string_view name, X value, X otherwise) const;

  std::map<std::string, Value, std::less<>> values_;
  mutable std::set<std::string, std::less<>> read_, without_effect_, defaults_;
};

struct Constructor {
  std::string type;
  Arguments args;
};

struct Call {
  std::string function;  ///< "self.method", "self.forward" for calling the object, or a free function
  Arguments args;
  std::vector<std::string> out;  ///< the names of its results
};

/// The loss is Σ over outputs o of Σ weights[o] · o.
struct Gradient {
  std::map<std::string, std::string> weights;  ///< output → the input that weighs it
  std::map<std::string, std::string> wrt;      ///< name in the outputs → "@input" or "self.parameter"
};

/// The reference raises.
struct ExpectedError {
  std::string kind, type, message;

  /// A check that is there on purpose, and not a mismatch inside, which others may well support.
  bool deliberate() const { return kind != "accidental"; }
};

struct Case {
  std::string set, name, notes, dtype;
  std::vector<std::string> tags;
  std::optional<Constructor> constructor, intended_constructor;
  Arguments params;  ///< "query.linear.weight" → the input that holds it
  std::vector<Call> calls, intended_calls;
  std::map<std::string, Tensor> inputs, outputs, outputs_f64, intended_outputs_f64;
  std::map<std::string, double> f32_tolerances, f64_tolerances;
  std::optional<Gradient> gradient;
  std::optional<ExpectedError> expected_error;

  /// What a run has compared so far, to be filled by it; `expect_all_read` looks at them.
  mutable std::set<std::string> compared, compared_intended;
  mutable bool compared_error = false;
  /// Counts all arguments as unread.
  void forget_arguments() const;

  bool has_tag(std::string_view tag) const;
  /// Whether an output is a gradient.
  bool is_gradient(const std::string& output) const { return gradient && gradient->wrt.contains(output); }
  /// Each fails the test program with a message if the case has no such tensor or tolerance.
  const Tensor& input(const std::string& tensor) const;
  const Tensor& output(const std::string& tensor) const;      ///< of the run in `dtype`
  const Tensor& output_f64(const std::string& tensor) const;  ///< of the run in double
  const Tensor& intended_f64(const std::string& tensor) const;
  double f32_atol(const std::string& tensor) const;  ///< to compare with `output`
  double f64_atol(const std::string& tensor) const;  ///< to compare with `output_f64`
};

/// Which outputs a test program compares.
enum class Part { all, results, gradients };

/// Adds a test failure for every argument of the constructors and calls that was not read, and for every
/// output, intended output and expected error that was not compared.
void expect_all_read(const Case& c, Part part);

/// The folders of golden cases and the files in one of them, sorted.
std::vector<std::string> sets();
std::vector<std::string> files(const std::string& set);

/// One case: load("lucidrains", "apply_basic.json"), the ".json" being optional.
Case load(const std::string& set, const std::string& file);
/// One case, from the text of its file. Throws on a field, a type or a name that is not part of the format,
/// on a name that occurs twice in one object, on a tensor that is not used, and on a name without a tensor.
Case parse(const std::string& set, const std::string& name, const std::string& json);

/// A case with something wrong in it, and a word that the failure must contain. If it was altered in several
/// ways, one that fails will do.
struct Altered {
  enum class Kind { unknown_name, missing_field, argument, missing_argument, number, number_in_float };

  Kind kind;
  std::string path;  ///< of what was altered, as a JSON pointer
  std::vector<std::string> jsons;
  std::string word;
};
/// A case altered in every way that a test must notice:
///   - an unknown name in any object of the file, and so an unknown field or argument;
///   - a field left out, unless it is there for the reader alone;
///   - another value of an argument, or none, unless the run declared that the argument has no effect or is
///     the default;
///   - a wrong number in an output of `part`, in double and in float.
/// `ran` is the case after a run in double that passed.
std::vector<Altered> alterations(const std::string& set, const std::string& file, Part part, const Case& ran);

/// Reports a failure of the running test for a shape that differs, for the entry that is farthest off, with
/// set, case, tensor, index, what was found and what was wanted, and for NaN anywhere. Differences of `atol`
/// are allowed.
void compare(const Tensor& found, const Tensor& wanted, double atol);
void compare(const std::vector<double>& found, const Tensor& wanted, double atol);  ///< wanted has one axis

/// The tensor in Eigen, rounded to `S`; its rank must be `Rank`.
template <class S, int Rank, int Order = Eigen::RowMajor>
Eigen::Tensor<S, Rank, Order> to_eigen(const Tensor& x);

/// Any Eigen tensor or matrix, or a rotary::StridedView, widened to double.
template <class X>
Tensor from_eigen(const X& x);

/// Adds a test failure for a shape that differs, for the entry that is farthest off, and for NaN, where
/// `found` is no golden::Tensor.
template <class X>
requires(detail::is_stored<X>()) void compare(const X& found, const Tensor& wanted, double atol) {
  compare(from_eigen(found), wanted, atol);
}

// --- implementation

/// Throws std::runtime_error: the data or the test's use of it is wrong, which is not a result of the test.
[[noreturn]] void wrong_data(const std::string& message);

/// Writes all elements of `x`, rounded to S, to a view of its shape; reads all of a view. Compiled in
/// golden.cpp.
template <class S>
void fill(const StridedView<S>& view, const Tensor& x);
template <class S>
Tensor from_view(const StridedView<const S>& view);

template <class S, int Rank, int Order>
Eigen::Tensor<S, Rank, Order> to_eigen(const Tensor& x) {
  if (x.rank() != Rank)
    wrong_data(x.label + " has rank " + std::to_string(x.rank()) + ", not " + std::to_string(Rank));
  std::array<Index, Rank> shape{};
  for (std::size_t axis = 0; axis < shape.size(); ++axis) shape[axis] = x.shape[axis];
  Eigen::Tensor<S, Rank, Order> result(shape);
  fill(view_of(result), x);
  return result;
}

template <class X>
Tensor from_eigen(const X& x) {
  return from_view(detail::const_view_of(x));
}

}  // namespace rotary::testing::golden
