// Runs golden cases of rotary-embedding-torch through the public interface.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <rotary/rotary.hpp>

#include "support/compiled_kernels.hpp"
#include "support/golden.hpp"

namespace rotary::testing::golden {

/// Which test program runs a case.
enum class Topic { rotate, xpos, angles, apply, errors };

/// Decided by the constructor and the calls, so that every file belongs to exactly one; throws for a call
/// that no program knows.
Topic topic_of(const Case& c);

/// A file of a set.
struct CaseName {
  std::string set, file;
};

/// All the files of the sets of rotary-embedding-torch.
std::vector<CaseName> all_cases();
/// Those of one topic, and those that have gradients.
std::vector<CaseName> cases_of(Topic topic);
std::vector<CaseName> cases_with_gradients();

/// Registers a test for every case, Suite.lucidrains_apply_basic, that calls run with the case. To be called
/// before main; returns true so that a variable can do it. This compiles in a fraction of the time of TEST_P.
using RunCase = void (*)(const Case& c);
bool register_tests(const std::string& suite, const std::vector<CaseName>& cases, RunCase run);

/// The constructor's arguments. The reference takes an odd dim where its cache stays out of the way, we where
/// `allow_odd_dim` says that it is no mistake: in golden cases it is none.
RotaryEmbeddingOptions rotary_options(const Case& c, const Constructor& constructor);
XPosOptions xpos_options(const Case& c, const Constructor& constructor);
bool uses_xpos(const Constructor& constructor);

/// What a call says of where it rotates.
RotateOptions rotate_options(const Arguments& args);
XPosRotateOptions xpos_rotate_options(const Arguments& args);

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
  void set(const Call& call, Tensor value) { set(call.out.at(0), std::move(value)); }

  /// reshape, slice, clone: what stands between the calls. False if it is none of these.
  bool glue(const Call& call);

  /// Compares every result with what it should be, and fails for one that is missing.
  ///
  /// In double with outputs_f64, else with outputs, within the tolerance of the case; 16-bit results also
  /// with the exact ones, since we round only once. Where the reference has a quirk, the intended numbers
  /// take the place of its own, if the case has any. Gradients are not results of calls and are left out.
  void check() const;
  /// The same for the results that have intended numbers, after the calls that were used to make those.
  void check_intended() const;

  /// One result, gradients included.
  void check(const std::string& output, const Tensor& found) const;

 private:
  const Case& case_;
  bool in_double_;
  std::map<std::string, Tensor> tensors_;
};

/// Fails unless the two have the same bits; `how` says what made `found`.
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

/// Calls use(std::integral_constant<int, R>()), R being the rank, which must be one of those listed.
template <int... Ranks, class Use>
void with_rank(const Tensor& x, Use&& use) {
  const bool known = ((x.rank() == Ranks && (use(std::integral_constant<int, Ranks>()), true)) || ...);
  if (!known) wrong_data(x.label + " has a rank that this test does not instantiate");
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

// --- calls, compiled in golden_calls.cpp for T float and double

template <class T>
RotaryEmbedding<T> make_rotary(const Case& c, const Constructor& constructor);

/// rotate_queries_or_keys: through views, in place, and as Eigen tensors, in both storage orders.
template <class T>
Tensor rotated(const RotaryEmbedding<T>& rotary, const Tensor& x, const RotateOptions& options);

/// apply_rotary_emb for angles without a tensor of scales: in place through views, and as Eigen tensors, in
/// both orders.
template <class T>
Tensor applied(const Tensor& freqs, const Tensor& x, const ApplyOptions& options);

/// apply_rotary_emb with a tensor of scales, for [batch, heads, seq, head_dim].
template <class T>
Tensor applied_with_scale(const Tensor& freqs, const Tensor& x, const Tensor& scale,
                          const ApplyOptions& options);

/// self.rotate_queries_or_keys of a RotaryEmbedding.
///
/// The reference also takes a tensor of scales here. Ours takes one number; a tensor of them goes with the
/// angles.
template <class T>
void rotate_queries_or_keys(Session& session, const RotaryEmbedding<T>& rotary, const Call& call);

/// self.forward: the angles of positions of any shape. The arguments seq_len and offset tell the reference
/// where its cache may have them; the positions say it all. 16-bit positions do not compile, since bfloat16
/// cannot tell 256 from 257: they go in as float.
template <class T>
void forward(Session& session, const RotaryEmbedding<T>& rotary, const Call& call);

/// self.get_axial_freqs: of the embedding and of AxialFrequencies with the same frequencies.
template <class T>
void get_axial_freqs(Session& session, const RotaryEmbedding<T>& rotary, const Call& call);

/// A call that turns queries and keys, as [..., heads, seq, head_dim] of three or four axes, in both storage
/// orders.
template <class T, class Turn>
void turn_pair(Session& session, const Call& call, Turn&& turn) {
  const Tensor& q = session.at(call, "q");
  const Tensor& k = session.at(call, "k");
  with_scalar<T>(q, [&]<class S>(S) {
    const auto as_eigen = [&]<int R>(std::integral_constant<int, R>) {
      const auto [q_out, k_out] = turn(to_eigen<S, R>(q), to_eigen<S, R>(k));
      const auto [q_other, k_other] =
          turn(to_eigen<S, R, Eigen::ColMajor>(q), to_eigen<S, R, Eigen::ColMajor>(k));
      expect_same_bits(from_eigen(q_other), from_eigen(q_out), "column-major queries");
      expect_same_bits(from_eigen(k_other), from_eigen(k_out), "column-major keys");
      session.set(call.out.at(0), from_eigen(q_out));
      session.set(call.out.at(1), from_eigen(k_out));
    };
    if constexpr (sizeof(S) == 2) {
      with_rank<4>(q, as_eigen);
    } else {
      with_rank<3, 4>(q, as_eigen);
    }
  });
}

}  // namespace rotary::testing::golden
