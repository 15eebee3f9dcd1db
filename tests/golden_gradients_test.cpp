// Golden gradients: of every call with respect to its tensors, frequencies, scales and positions.
#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

/// A case with gradients has one loss: the results of its last call, weighed by inputs and summed up.
class Gradients {
 public:
  Gradients(const Case& c, bool in_double) : case_(c), session_(c, in_double) {}

  const Case& of() const { return case_; }
  const Tensor& at(const std::string& name) const { return session_.at(name); }
  const Tensor& at(const Call& call, std::string_view argument) const { return session_.at(call, argument); }
  /// The gradient of the loss with respect to the n-th result of a call.
  const Tensor& of_result(const Call& call, std::size_t n = 0) const {
    return at(case_.gradient->weights.at(call.out.at(n)));
  }

  /// Compares the gradient with respect to "@input" or "self.parameter" with the one that is stored, if it
  /// is.
  void check(const std::string& wrt, const Tensor& found) {
    for (const auto& [output, name] : case_.gradient->wrt)
      if (name == wrt) {
        session_.check(output, found);
        checked_.push_back(output);
      }
  }
  void check(const std::string& wrt, const std::vector<double>& found) {
    check(wrt, Tensor{{}, "float64", {static_cast<Index>(found.size())}, found});
  }

  /// Fails for a stored gradient that was not looked at.
  void check_complete() const {
    for (const auto& [output, name] : case_.gradient->wrt)
      EXPECT_EQ(std::count(checked_.begin(), checked_.end(), output), 1)
          << case_.name << ": " << output << " of " << name;
  }

 private:
  const Case& case_;
  Session session_;
  std::vector<std::string> checked_;
};

std::vector<double> sum_of(std::vector<double> a, const std::vector<double>& b) {
  for (std::size_t n = 0; n < a.size(); ++n) a[n] += b.at(n);
  return a;
}

/// The gradient with respect to what was rotated is the gradient of the result, rotated by the transposed
/// matrix.
template <class T>
Tensor transposed(const RotaryEmbedding<T>& rotary, const Tensor& grad, RotateOptions options) {
  options.direction = Direction::transpose;
  const Elements<T> elements(grad);
  rotary.rotate_in_place(elements.view(), options);
  return elements.tensor();
}

template <class T>
std::vector<double> frequency_gradient(const RotaryEmbedding<T>& rotary, const Tensor& x, const Tensor& grad,
                                       const RotateOptions& options) {
  const Elements<T> before(x, Eigen::ColMajor), of_result(grad);
  return rotary.frequency_gradient(before.const_view(), of_result.const_view(), options);
}

template <class T>
void rotate(Gradients& gradients, const RotaryEmbedding<T>& rotary, const Call& call) {
  const Tensor& x = gradients.at(call, "t");
  const Tensor& grad = gradients.of_result(call);
  const bool scales = call.args.has("scale");
  if (!scales) {
    const RotateOptions options = rotate_options(call.args);
    gradients.check("@t", transposed(rotary, grad, options));
    gradients.check("self.freqs", frequency_gradient(rotary, x, grad, options));
    return;
  }
  // A tensor of scales goes with the angles, and the gradient comes back through them.
  const auto positions = rotary.get_seq_pos(x.shape.at(2), call.args.number("offset", 0));
  const auto back =
      apply_rotary_emb_backward(rotary(positions), to_eigen<T, 4>(x),
                                to_eigen<T, 2>(gradients.at(call, "scale")), to_eigen<T, 4>(grad), {});
  gradients.check("@t", from_eigen(back.t));
  gradients.check("@scale", from_eigen(back.scale));
  gradients.check("self.freqs", rotary.angles_backward(positions, back.freqs).freqs);
}

template <class T>
void rotate_with_cached_keys(Gradients& gradients, const RotaryEmbedding<T>& rotary, const Call& call) {
  const Tensor& q = gradients.at(call, "q");
  const Tensor& k = gradients.at(call, "k");
  const Tensor& q_grad = gradients.of_result(call, 0);
  const Tensor& k_grad = gradients.of_result(call, 1);
  RotateOptions options = rotate_options(call.args);
  options.direction = Direction::transpose;
  const auto [q_back, k_back] =
      rotary.rotate_queries_with_cached_keys(to_eigen<T, 4>(q_grad), to_eigen<T, 4>(k_grad), options);
  gradients.check("@q", from_eigen(q_back));
  gradients.check("@k", from_eigen(k_back));
  const Index ahead = k.shape.at(2) - q.shape.at(2);
  gradients.check("self.freqs", sum_of(frequency_gradient(rotary, q, q_grad, {.offset = ahead}),
                                       frequency_gradient(rotary, k, k_grad, {})));
}

template <class T>
void rotate_xpos(Gradients& gradients, const XPos<T>& xpos, const Call& call) {
  XPosRotateOptions options = xpos_rotate_options(call.args);
  const Elements<T> q(gradients.at(call, "q")), k(gradients.at(call, "k"));
  const Elements<T> q_grad(gradients.of_result(call, 0)), k_grad(gradients.of_result(call, 1));
  gradients.check("self.freqs", xpos.gradients(q.const_view(), k.const_view(), q_grad.const_view(),
                                               k_grad.const_view(), options)
                                    .freqs);
  options.direction = Direction::transpose;
  xpos.rotate_queries_and_keys_in_place(q_grad.view(), k_grad.view(), options);
  gradients.check("@q", q_grad.tensor());
  gradients.check("@k", k_grad.tensor());
}

template <class T>
void apply(Gradients& gradients, const Call& call) {
  const auto backward = [&]<int Order>(std::integral_constant<int, Order>) {
    return apply_rotary_emb_backward(
        to_eigen<T, 2, Order>(gradients.at(call, "freqs")), to_eigen<T, 4, Order>(gradients.at(call, "t")),
        to_eigen<T, 2, Order>(gradients.at(call, "scale")), to_eigen<T, 4>(gradients.of_result(call)),
        {.start_index = call.args.integer("start_index", 0)});
  };
  const auto back = backward(std::integral_constant<int, Eigen::RowMajor>());
  gradients.check("@t", from_eigen(back.t));
  gradients.check("@freqs", from_eigen(back.freqs));
  gradients.check("@scale", from_eigen(back.scale));
  const auto other = backward(std::integral_constant<int, Eigen::ColMajor>());
  expect_same_bits(from_eigen(other.t), from_eigen(back.t), "column-major tensors");
  expect_same_bits(from_eigen(other.freqs), from_eigen(back.freqs), "column-major tensors");
  expect_same_bits(from_eigen(other.scale), from_eigen(back.scale), "column-major tensors");
}

template <class T>
void axial(Gradients& gradients, const RotaryEmbedding<T>& rotary, const Call& of_angles,
           const Call& of_tensor) {
  const std::vector<Index> sizes = of_angles.args.integers("dims");
  const std::array<Index, 2> grid{sizes.at(0), sizes.at(1)};
  const AxialFrequencies<T> frequencies(rotary.frequencies(), rotary.options().freqs_for,
                                        rotary.options().pairing);
  const auto back = apply_rotary_emb_backward(frequencies.get_axial_freqs(grid),
                                              to_eigen<T, 4>(gradients.at(of_tensor, "t")),
                                              to_eigen<T, 4>(gradients.of_result(of_tensor)));
  gradients.check("@t", from_eigen(back.t));
  gradients.check("self.freqs", frequencies.frequency_gradient(grid, back.freqs));
}

template <class T>
void learned_rotations(Gradients& gradients, const Call& call) {
  const auto rotations = to_eigen<T, 2>(gradients.at(call, "rotations"));
  const auto t = to_eigen<T, 4>(gradients.at(call, "t")), grad = to_eigen<T, 4>(gradients.of_result(call));
  const LearnedRotationOptions options{.start_index = call.args.integer("start_index", 0)};
  const auto back = call.args.has("freq_ranges")
                        ? apply_learned_rotations_backward(rotations, t, grad, options,
                                                           gradients.at(call, "freq_ranges").values)
                        : apply_learned_rotations_backward(rotations, t, grad, options);
  gradients.check("@t", from_eigen(back.t));
  gradients.check("@rotations", from_eigen(back.rotations));
  gradients.check("@freq_ranges", back.freq_ranges);
}

template <class T>
void check_case(const Case& c) {
  Gradients gradients(c, std::is_same_v<T, double>);
  const Call& call = c.calls.back();
  if (call.function == "apply_learned_rotations") {
    learned_rotations<T>(gradients, call);
  } else if (call.function == "apply_rotary_emb" && c.calls.size() == 1) {
    apply<T>(gradients, call);
  } else if (uses_xpos(c.constructor.value())) {
    ASSERT_EQ(call.function, "self.rotate_queries_and_keys");
    rotate_xpos(gradients, XPos<T>(xpos_options(c, *c.constructor)), call);
  } else {
    const auto rotary = make_rotary<T>(c, *c.constructor);
    if (call.function == "self.rotate_queries_or_keys") {
      rotate(gradients, rotary, call);
    } else if (call.function == "self.rotate_queries_with_cached_keys") {
      rotate_with_cached_keys(gradients, rotary, call);
    } else if (call.function == "self.forward") {
      const auto back =
          rotary.angles_backward(gradients.at(call, "t").values, to_eigen<T, 2>(gradients.of_result(call)));
      gradients.check("@t", back.positions);
      gradients.check("self.freqs", back.freqs);
    } else {
      ASSERT_EQ(c.calls.at(0).function, "self.get_axial_freqs");
      axial(gradients, rotary, c.calls[0], call);
    }
  }
  gradients.check_complete();
}

[[maybe_unused]] const bool registered =
    register_tests("GoldenGradientsInDouble", cases_with_gradients(), check_case<double>) &&
    register_tests("GoldenGradientsInFloat", cases_with_gradients(), check_case<float>);

}  // namespace
}  // namespace rotary::testing::golden
