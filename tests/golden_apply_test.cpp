// Golden cases of free functions: apply_rotary_emb, apply_learned_rotations, broadcat, rotate_half.
#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

// What we decided where the reference has a quirk:
//
//   learned_rotations_batch_slice   three axes of angles are broadcast; only [seq, rotary_dim] is cut to the
//   last rows

ApplyOptions apply_options(const Arguments& args) {
  ApplyOptions options;
  options.start_index = args.integer("start_index", 0);
  options.seq_dim = args.integer("seq_dim", -2);
  if (args.has("freqs_seq_dim")) options.freqs_seq_dim = args.integer("freqs_seq_dim");
  if (args.has("scale") && args.find("scale")->second.kind == Value::Kind::number)
    options.scale = args.number("scale");
  return options;
}

template <class T>
void apply(Session& session, const Call& call) {
  const ApplyOptions options = apply_options(call.args);
  const Tensor& freqs = session.at(call, "freqs");
  const Tensor& t = session.at(call, "t");
  const bool scales =
      call.args.has("scale") && call.args.find("scale")->second.kind == Value::Kind::reference;
  session.set(call, scales ? applied_with_scale<T>(freqs, t, session.at(call, "scale"), options)
                           : applied<T>(freqs, t, options));
}

template <class T>
void learned_rotations(Session& session, const Call& call) {
  const Tensor& rotations = session.at(call, "rotations");
  const Tensor& x = session.at(call, "t");
  const LearnedRotationOptions options{.start_index = call.args.integer("start_index", 0)};
  const bool has_ranges = call.args.has("freq_ranges");
  with_rank<2, 3, 4>(rotations, [&]<int R>(std::integral_constant<int, R>) {
    with_rank<3, 4>(x, [&]<int X>(std::integral_constant<int, X>) {
      const auto turn = [&](const auto& angles, const auto& t) {
        return from_eigen(
            has_ranges ? apply_learned_rotations(angles, t, options, session.at(call, "freq_ranges").values)
                       : apply_learned_rotations(angles, t, options));
      };
      const Tensor result = turn(to_eigen<T, R>(rotations), to_eigen<T, X>(x));
      expect_same_bits(turn(to_eigen<T, R, Eigen::ColMajor>(rotations), to_eigen<T, X, Eigen::ColMajor>(x)),
                       result, "column-major tensors");
      session.set(call, result);
    });
  });
}

template <class T>
void concatenate(Session& session, const Call& call) {
  std::vector<Tensor> tensors;
  for (const std::string& name : call.args.references("tensors")) tensors.push_back(session.at(name));
  const BroadcatOptions options{.dim = call.args.integer("dim", -1)};
  const auto join = [&](const auto&... t) {
    const Tensor result = from_eigen(broadcat(options, t...));
    if (!call.args.has("dim")) expect_same_bits(from_eigen(broadcat(t...)), result, "without options");
    session.set(call, result);
  };
  if (tensors.size() == 1) return join(to_eigen<T, 2>(tensors[0]));
  if (tensors.size() == 3)
    return join(to_eigen<T, 4>(tensors[0]), to_eigen<T, 4, Eigen::ColMajor>(tensors[1]),
                to_eigen<T, 4>(tensors[2]));
  ASSERT_EQ(tensors.size(), 2u);
  if (tensors[0].rank() == 1) return join(to_eigen<T, 1>(tensors[0]), to_eigen<T, 2>(tensors[1]));
  with_rank<2, 3>(tensors[0], [&]<int R>(std::integral_constant<int, R>) {
    join(to_eigen<T, R>(tensors[0]), to_eigen<T, R, Eigen::ColMajor>(tensors[1]));
  });
}

template <class T>
void run(Session& session, const std::vector<Call>& calls) {
  for (const Call& call : calls) {
    if (call.function == "apply_rotary_emb") {
      apply<T>(session, call);
    } else if (call.function == "apply_learned_rotations") {
      learned_rotations<T>(session, call);
    } else if (call.function == "broadcat") {
      concatenate<T>(session, call);
    } else if (call.function == "rotate_half") {
      with_rank<2, 4>(session.at(call, "x"), [&]<int R>(std::integral_constant<int, R>) {
        const Tensor result = from_eigen(rotate_half(to_eigen<T, R>(session.at(call, "x"))));
        expect_same_bits(from_eigen(rotate_half(to_eigen<T, R, Eigen::ColMajor>(session.at(call, "x")))),
                         result, "column-major tensor");
        session.set(call, result);
      });
    } else if (!session.glue(call)) {
      wrong_data("golden_apply_test does not know " + call.function);
    }
  }
}

template <class T>
void check_case(const Case& c) {
  constexpr bool kInDouble = std::is_same_v<T, double>;
  Session session(c, kInDouble);
  run<T>(session, c.calls);
  session.check();
  if (c.intended_calls.empty()) return;
  Session intended(c, kInDouble);
  run<T>(intended, c.intended_calls);
  intended.check_intended();
}

[[maybe_unused]] const bool registered =
    register_tests("GoldenApplyInDouble", cases_of(Topic::apply), check_case<double>) &&
    register_tests("GoldenApplyInFloat", cases_of(Topic::apply), check_case<float>);

}  // namespace
}  // namespace rotary::testing::golden
