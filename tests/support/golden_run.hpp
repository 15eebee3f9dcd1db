// Runs golden cases: which test program runs which file, and the tensors of a run.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <rotary/rotary.hpp>
#include <stdexcept>

#include "support/compiled_kernels.hpp"
#include "support/golden.hpp"

namespace rotary::testing::golden {

/// A test program that runs golden cases. Which ones follows from the folder of a case and from what it
/// expects, so that every file belongs to exactly one.
struct Runner {
  const char* folder;  ///< what the name of the folder starts with
  const char* program;
  bool (*runs)(const Case& c);
};
const std::vector<Runner>& runners();

/// A file of a set.
struct CaseName {
  std::string set, file;
};

/// The files that a program runs: all that it claims, found when it starts. A file that cannot be read is
/// claimed by the first program of its folder, whose test then fails and says why.
std::vector<CaseName> cases_of(const std::string& program);
/// Those among the cases of rotary-embedding-torch that have gradients.
std::vector<CaseName> cases_with_gradients();

/// A sentence for every file below `root` that is not run by exactly one program. A file beside the folders
/// is no case: it is a document, or some test program must name it.
std::vector<std::string> unclaimed(const std::filesystem::path& root);

/// Registers a test for every case, Suite.lucidrains_apply_basic, that calls run with the case, and then
/// expect_all_read. To be called before main; returns true so that a variable can do it. This compiles in a
/// fraction of the time of TEST_P.
using RunCase = void (*)(const Case& c);
bool register_tests(const std::string& suite, const std::vector<CaseName>& cases, RunCase run,
                    Part part = Part::all);

/// An argument that in one case may have another value, or be left out, without a change of the results.
struct Unnoticed {
  const char* name;  ///< of the case, with its set
  const char* path;  ///< of the argument
};
const std::vector<Unnoticed>& unnoticed_arguments();

/// Registers tests for the same cases that pass if the run of every altered case fails, see alterations, but for
/// unnoticed_arguments, which must pass.
bool register_altered(const std::string& suite, const std::vector<CaseName>& cases, RunCase run_in_double,
                      RunCase run_in_float, Part part = Part::all);

/// What a run of a case reports: failures of the test, or the message of an exception. Empty if it passes.
/// The case that ran is left in `ran`.
std::string report_of(const std::function<Case()>& make, RunCase run, Part part = Part::all,
                      std::optional<Case>* ran = nullptr);

/// A call that this library does not have for the object of a case: a program that makes it does not compile.
struct NotOffered : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// What this library does with a case that the reference refuses.
enum class Outcome {
  refused,      ///< with std::invalid_argument
  not_offered,  ///< see NotOffered
  returned,     ///< there is no reason to refuse it
};
struct Decision {
  const char* name;  ///< of the case, with its set
  Outcome outcome;
  const char* word;  ///< part of the sentence that refuses, so that it is refused for the right reason
};
const std::vector<Decision>& decisions();
/// The decision for a case; there must be one.
const Decision& decision_for(const Case& c);

/// Runs a case that the reference refuses. What the reference checks on purpose must be refused here too. Where
/// something inside it fails, the decision holds; `works` checks what we return then.
void expect_refused(const Case& c, const Decision& decision, const std::function<void()>& call,
                    const std::function<void()>& works);

/// The grid that angles were made for.
struct Grid {
  std::vector<Index> sizes;
  std::vector<double> offsets;  ///< one for each axis, or none
};

/// The tensors of one run of a case, by name: its inputs, and then the results of one call after another.
class Session {
 public:
  /// In double all tensors are double; else they are what the reference's were, and the angles that we make
  /// double.
  Session(const Case& c, bool in_double);

  const Tensor& at(const std::string& name) const;
  /// The tensor that an argument names.
  const Tensor& at(const Call& call, std::string_view argument) const {
    return at(call.args.reference(argument));
  }
  void set(const std::string& name, Tensor value);
  void set(const Call& call, Tensor value) {
    if (call.out.size() != 1) wrong_data(call.function + " has one result");
    set(call.out[0], std::move(value));
  }
  bool in_double() const { return in_double_; }
  bool is_output(const std::string& name) const { return case_.outputs.contains(name); }

  /// The grid of a tensor of angles, null if it has none.
  void set_grid(const std::string& name, const Grid& grid) { grids_[name] = grid; }
  const Grid* grid(const std::string& name) const {
    const auto found = grids_.find(name);
    return found == grids_.end() ? nullptr : &found->second;
  }

  /// reshape, slice, clone: the steps between the calls. False if it is another step.
  bool glue(const Call& call);

  /// Compares every result with the expected one. A missing result is a test failure.
  ///
  /// In double with outputs_f64, else with outputs, within the tolerance of the case; 16-bit results also
  /// with the exact ones, since we round only once. Where the reference has a quirk, the intended numbers
  /// take the place of its own, if the case has any. Gradients are not results of calls and are left out.
  void check() const;
  /// Compares the results that have intended numbers, after the calls that produced them.
  void check_intended() const;
  /// The results in double that have intended numbers, against what the reference gave instead.
  void check_quirk() const;

  /// One result, gradients included.
  void check(const std::string& output, const Tensor& found) const;

 private:
  const Case& case_;
  bool in_double_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, Grid> grids_;
};

/// Expects the same bits in both; `how` names what computed `found`.
void expect_same_bits(const Tensor& found, const Tensor& wanted, const char* how);

// --- tensors of any rank as arguments

/// Calls use(S{}) with the scalar that a tensor has when cosines and sines are held in T.
template <class T, class Use>
void with_scalar(const Tensor& x, Use&& use) {
  if constexpr (std::is_same_v<T, double>) {
    use(double{});
  } else if (x.dtype == "float32") {
    use(float{});
  } else if (x.dtype == "float16") {
    use(Eigen::half{});
  } else if (x.dtype == "bfloat16") {
    use(Eigen::bfloat16{});
  } else {
    wrong_data(x.label + " cannot be rotated in float");
  }
}

/// Calls use(std::integral_constant<int, R>()), R being the rank, if it is one of those listed.
template <int... Ranks, class Use>
bool if_rank(int rank, Use&& use) {
  return ((rank == Ranks && (use(std::integral_constant<int, Ranks>()), true)) || ...);
}
/// Calls use(std::integral_constant<int, R>()) with the rank R, which must be one of those listed.
template <int... Ranks, class Use>
void with_rank(int rank, Use&& use) {
  if (!if_rank<Ranks...>(rank, use))
    wrong_data("a tensor has " + std::to_string(rank) + " axes, which no test can express");
}
template <int... Ranks, class Use>
void with_rank(const Tensor& x, Use&& use) {
  with_rank<Ranks...>(x.rank(), use);
}

/// The strides of contiguous elements in a storage order.
std::vector<Index> strides_of(const std::vector<Index>& shape, int order);

/// The elements of a tensor in memory, in either storage order, behind a view.
template <class S>
class Elements {
 public:
  explicit Elements(const Tensor& x, int order = Eigen::RowMajor)
      : elements_(x.values.size()), view_(elements_.data(), x.shape, strides_of(x.shape, order)) {
    fill(view_, x);
  }
  Elements(const Elements&) = delete;

  const StridedView<S>& view() const { return view_; }
  StridedView<const S> const_view() const { return view_; }
  Tensor tensor() const { return from_view(const_view()); }

 private:
  std::vector<S> elements_;
  StridedView<S> view_;
};

inline constexpr int kOrders[] = {Eigen::RowMajor, Eigen::ColMajor};

}  // namespace rotary::testing::golden
