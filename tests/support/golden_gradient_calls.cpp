#include "support/golden_calls.hpp"

#include <algorithm>

namespace rotary::testing::golden {

// ---------------------------------------------------------------- the tape

Tensor Tape::of(const std::string& name) const {
  if (const auto found = gradients_.find(name); found != gradients_.end()) return found->second;
  Tensor zeros = session_.at(name);
  std::fill(zeros.values.begin(), zeros.values.end(), 0);
  return zeros;
}

void Tape::add(const std::string& name, Tensor gradient) {
  Tensor sum = of(name);
  if (sum.size() != gradient.size()) wrong_data("a gradient of " + name + " has another shape");
  for (std::size_t n = 0; n < sum.values.size(); ++n) sum.values[n] += gradient.values[n];
  gradients_[name] = std::move(sum);
}

void Tape::add_to_freqs(const std::vector<double>& gradient) {
  if (freqs_.empty()) freqs_.resize(gradient.size());
  for (std::size_t n = 0; n < freqs_.size(); ++n) freqs_[n] += gradient.at(n);
}

Tensor Tape::with_respect_to(const std::string& name) const {
  if (name.starts_with('@')) return of(name.substr(1));
  if (name != "self.freqs") wrong_data("no test knows gradients with respect to " + name);
  return {name, "float64", {static_cast<Index>(freqs_.size())}, freqs_};
}

namespace {

// ---------------------------------------------------------------- calls

/// A tensor with axes of extent 1 added in front.
Tensor with_axes_in_front(Tensor x, int rank) {
  while (x.rank() < rank) x.shape.insert(x.shape.begin(), 1);
  return x;
}

template <class T>
const Module<T>& needed(const Module<T>* module) {
  if (!module) wrong_data("a method is called, and the case constructs nothing");
  return *module;
}

/// The gradient with respect to what was rotated is the gradient of the result, rotated by the transposed
/// matrix.
template <class T>
Tensor transposed(const RotaryEmbedding<T>& rotary, const Tensor& grad, const RotateArguments& at) {
  const Elements<T> elements(grad);
  rotary.rotate_in_place(elements.view(), at.options(Direction::transpose));
  return elements.tensor();
}

template <class T>
std::vector<double> frequency_gradient(const RotaryEmbedding<T>& rotary, const Tensor& x, const Tensor& grad,
                                       const RotateArguments& at) {
  const Elements<T> before(x, Eigen::ColMajor), of_result(grad);
  return rotary.frequency_gradient(before.const_view(), of_result.const_view(), at.options());
}

struct ApplyBack {
  Tensor t, freqs, scale;
};

/// apply_rotary_emb_backward, in both storage orders. Angles and scales of two axes belong to the sequence;
/// others are broadcast from the last axis, so that they may as well have all axes of `t`.
template <class T>
ApplyBack applied_back(const Tensor& freqs, const Tensor& t, const Tensor* scale, const Tensor& grad,
                       ApplyOptions options) {
  ApplyBack back;
  if (options.freqs_seq_dim && *options.freqs_seq_dim >= 0) *options.freqs_seq_dim -= freqs.rank();
  with_rank<2, 3, 4, 5, 6>(t, [&]<int R>(std::integral_constant<int, R>) {
    const auto as = [](const Tensor& x) { return x.rank() == 2 ? x : with_axes_in_front(x, R); };
    const Tensor angles = as(freqs), scales = scale ? as(*scale) : Tensor{};
    const auto in_order = [&]<int Order>(std::integral_constant<int, Order>) {
      const auto x = to_eigen<T, R, Order>(t);
      const auto g = to_eigen<T, R>(grad);
      const auto keep = [&](const auto& found) {
        ApplyBack other{from_eigen(found.t), from_eigen(found.freqs), {}};
        if constexpr (requires { found.scale; }) other.scale = from_eigen(found.scale);
        if (Order == Eigen::RowMajor) {
          back = other;
          return;
        }
        expect_same_bits(other.t, back.t, "column-major tensors");
        expect_same_bits(other.freqs, back.freqs, "column-major tensors");
        if (scale) expect_same_bits(other.scale, back.scale, "column-major tensors");
      };
      const auto with = [&]<class A, int F>(A, std::integral_constant<int, F>) {
        const auto f = to_eigen<A, F, Order>(angles);
        if (!scale) return keep(apply_rotary_emb_backward(f, x, g, options));
        if (scales.rank() == 2)
          return keep(apply_rotary_emb_backward(f, x, to_eigen<T, 2, Order>(scales), g, options));
        keep(apply_rotary_emb_backward(f, x, to_eigen<T, R, Order>(scales), g, options));
      };
      // A gradient with respect to angles has their type.
      const auto with_type = [&](auto rank) {
        freqs.dtype == "float64" ? with(double{}, rank) : with(T{}, rank);
      };
      angles.rank() == 2 ? with_type(std::integral_constant<int, 2>())
                         : with_type(std::integral_constant<int, R>());
    };
    in_order(std::integral_constant<int, Eigen::RowMajor>());
    in_order(std::integral_constant<int, Eigen::ColMajor>());
  });
  return back;
}

template <class T>
std::vector<double> axial_frequency_gradient(const RotaryEmbedding<T>& rotary, const Grid& on,
                                             const Tensor& grad) {
  const AxialFrequencies<T> axial(rotary.frequencies(), rotary.freqs_for(), {.pairing = rotary.pairing()});
  std::vector<double> result;
  with_rank<1, 2, 3, 4>(static_cast<int>(on.sizes.size()), [&]<int A>(std::integral_constant<int, A>) {
    std::array<Index, A> grid{};
    std::copy(on.sizes.begin(), on.sizes.end(), grid.begin());
    result = axial.frequency_gradient(grid, to_eigen<double, A + 1>(grad), on.offsets);
  });
  return result;
}

// ---------------------------------------------------------------- steps

/// apply_rotary_emb, with what its angles and scales are called.
template <class T>
void apply_back(Tape& tape, const std::string& freqs, const std::string& t,
                const std::optional<std::string>& scale, const std::string& out,
                const ApplyOptions& options) {
  const Session& values = tape.values();
  const ApplyBack back = applied_back<T>(values.at(freqs), values.at(t), scale ? &values.at(*scale) : nullptr,
                                         tape.of(out), options);
  tape.add(t, back.t);
  tape.add(freqs, back.freqs);
  if (scale) tape.add(*scale, back.scale);
}

template <class T>
BackwardStep<T> prepare_rotate(const Call& call) {
  const std::string t = call.args.reference("t"), out = call.out.at(0);
  const RotateArguments at = rotate_arguments(call.args);
  if (!call.args.has_tensor("scale"))
    return [=](Tape& tape, const Module<T>* module) {
      const RotaryEmbedding<T>& rotary = needed(module).rotary();
      const Tensor grad = tape.of(out);
      tape.add_to_freqs(frequency_gradient(rotary, tape.values().at(t), grad, at));
      tape.add(t, transposed(rotary, grad, at));
    };
  // A tensor of scales goes with the angles, and the gradient comes back through them.
  const std::string scale = call.args.reference("scale");
  return [=](Tape& tape, const Module<T>* module) {
    const RotaryEmbedding<T>& rotary = needed(module).rotary();
    const Tensor& x = tape.values().at(t);
    const Index axis = at.seq_dim.value_or(rotary.layout().seq_dim);
    const auto positions = rotary.get_seq_pos(
        x.shape.at(static_cast<std::size_t>(axis < 0 ? axis + x.rank() : axis)), at.offset);
    const ApplyBack back = applied_back<T>(from_eigen(rotary(positions)), x, &tape.values().at(scale),
                                           tape.of(out), {.seq_dim = axis});
    tape.add_to_freqs(rotary.angles_backward(positions, to_eigen<double, 2>(back.freqs)).freqs);
    tape.add(t, back.t);
    tape.add(scale, back.scale);
  };
}

/// Queries and keys, in whatever way they are placed.
template <class T>
BackwardStep<T> prepare_pair(const Call& call, bool cached_keys) {
  const std::string q = call.args.reference("q"), k = call.args.reference("k");
  const std::string q_out = call.out.at(0), k_out = call.out.at(1);
  const RotateArguments at = rotate_arguments(call.args);
  return [=](Tape& tape, const Module<T>* module) {
    const Tensor &queries = tape.values().at(q), &keys = tape.values().at(k);
    const Tensor q_grad = tape.of(q_out), k_grad = tape.of(k_out);
    if (needed(module).has_xpos()) {
      if (cached_keys || at.scale != 1)
        wrong_data("no test knows the gradients of XPos with cached keys or one scale");
      const XPos<T>& xpos = module->xpos();
      const Elements<T> q_in(queries), k_in(keys), q_back(q_grad), k_back(k_grad);
      tape.add_to_freqs(xpos.parameter_gradient(q_in.const_view(), k_in.const_view(), q_back.const_view(),
                                                k_back.const_view(), at.xpos_options())
                            .freqs);
      xpos.rotate_queries_and_keys_in_place(q_back.view(), k_back.view(),
                                            at.xpos_options(Direction::transpose));
      tape.add(q, q_back.tensor());
      tape.add(k, k_back.tensor());
      return;
    }
    const RotaryEmbedding<T>& rotary = module->rotary();
    RotateArguments of_queries = at, of_keys = at;
    if (cached_keys) {
      // Queries come after the keys, and the offset is added to their positions only.
      const Index axis = at.seq_dim.value_or(rotary.layout().seq_dim);
      const auto length = [&](const Tensor& x) {
        return x.shape.at(static_cast<std::size_t>(axis < 0 ? axis + x.rank() : axis));
      };
      of_queries.offset += static_cast<double>(length(keys) - length(queries));
      of_keys.offset = 0;
    }
    tape.add_to_freqs(frequency_gradient(rotary, queries, q_grad, of_queries));
    tape.add_to_freqs(frequency_gradient(rotary, keys, k_grad, of_keys));
    with_rank<2, 3, 4, 5, 6>(queries, [&]<int R>(std::integral_constant<int, R>) {
      const RotateOptions back = at.options(Direction::transpose);
      const auto g = to_eigen<T, R>(q_grad), h = to_eigen<T, R>(k_grad);
      const auto [q_back, k_back] = cached_keys ? rotary.rotate_queries_with_cached_keys(g, h, back)
                                                : rotary.rotate_queries_and_keys(g, h, back);
      tape.add(q, from_eigen(q_back));
      tape.add(k, from_eigen(k_back));
    });
  };
}

template <class T>
BackwardStep<T> prepare_learned(const Call& call) {
  const std::string rotations = call.args.reference("rotations"), t = call.args.reference("t"),
                    out = call.out.at(0);
  const LearnedRotationOptions options{.start_index = call.args.integer("start_index", 0)};
  const std::optional<std::string> ranges = call.args.optional_reference("freq_ranges");
  return [=](Tape& tape, const Module<T>*) {
    const Tensor &angles = tape.values().at(rotations), &x = tape.values().at(t);
    const Tensor grad = tape.of(out);
    with_rank<2, 3, 4, 5, 6>(x, [&]<int X>(std::integral_constant<int, X>) {
      const Tensor learned = angles.rank() == 2 ? angles : with_axes_in_front(angles, X);
      with_rank<2, X>(learned, [&]<int R>(std::integral_constant<int, R>) {
        const auto r = to_eigen<T, R>(learned);
        const auto in = to_eigen<T, X>(x), g = to_eigen<T, X>(grad);
        const auto back =
            ranges ? apply_learned_rotations_backward(r, in, g, options, tape.values().at(*ranges).values)
                   : apply_learned_rotations_backward(r, in, g, options);
        tape.add(t, from_eigen(back.t));
        tape.add(rotations, from_eigen(back.rotations));
        if (ranges)
          tape.add(*ranges, {"", "float64", {static_cast<Index>(back.freq_ranges.size())}, back.freq_ranges});
      });
    });
  };
}

/// The gradient of the steps between the calls, which are not part of this library.
template <class T>
BackwardStep<T> prepare_glue(const Call& call) {
  const std::string out = call.out.at(0);
  if (call.function == "clone" || call.function == "reshape") {
    const std::string x = call.args.reference("x");
    return [=](Tape& tape, const Module<T>*) {
      Tensor grad = tape.of(out);
      grad.shape = tape.values().at(x).shape;
      tape.add(x, std::move(grad));
    };
  }
  if (call.function == "slice") {
    const std::string x = call.args.reference("x");
    const Index dim = call.args.integer("dim"), start = call.args.integer("start");
    return [=](Tape& tape, const Module<T>*) {
      const Tensor part = tape.of(out);
      Tensor grad = tape.values().at(x);
      std::fill(grad.values.begin(), grad.values.end(), 0);
      const auto axis = static_cast<std::size_t>(dim < 0 ? dim + grad.rank() : dim);
      Index inner = 1;
      for (std::size_t a = axis + 1; a < grad.shape.size(); ++a) inner *= grad.shape[a];
      const Index row = part.shape[axis] * inner, whole = grad.shape[axis] * inner;
      for (Index n = 0; n < part.size(); ++n)
        grad.values[static_cast<std::size_t>(n / row * whole + start * inner + n % row)] =
            part.values[static_cast<std::size_t>(n)];
      tape.add(x, std::move(grad));
    };
  }
  wrong_data("no test knows the gradients of " + call.function);
}

}  // namespace

template <class T>
BackwardStep<T> prepare_backward(const Call& call) {
  const std::string& name = call.function;
  const Arguments& args = call.args;
  if (name == "self.rotate_queries_or_keys") return prepare_rotate<T>(call);
  if (name == "self.rotate_queries_and_keys") return prepare_pair<T>(call, false);
  if (name == "self.rotate_queries_with_cached_keys") return prepare_pair<T>(call, true);
  if (name == "apply_learned_rotations") return prepare_learned<T>(call);
  const std::string out = call.out.at(0);
  if (name == "apply_rotary_emb") {
    const std::string freqs = args.reference("freqs"), t = args.reference("t");
    const std::optional<std::string> scale =
        args.has_tensor("scale") ? std::optional(args.reference("scale")) : std::nullopt;
    const ApplyOptions options = apply_options(args);
    return [=](Tape& tape, const Module<T>*) { apply_back<T>(tape, freqs, t, scale, out, options); };
  }
  if (name == "self.forward") {
    const std::string t = args.reference("t");
    args.without_effect({"seq_len", "offset"});
    return [=](Tape& tape, const Module<T>* module) {
      const Tensor& positions = tape.values().at(t);
      const Tensor grad = tape.of(out);
      const auto back = needed(module).rotary().angles_backward(
          positions.values,
          to_eigen<T, 2>({grad.label, grad.dtype, {positions.size(), grad.shape.back()}, grad.values}));
      Tensor of_positions = positions;
      of_positions.values = back.positions;
      tape.add(t, std::move(of_positions));
      tape.add_to_freqs(back.freqs);
    };
  }
  if (name == "self.get_axial_freqs") {
    args.known({"dims", "offsets"});  // the grid that the forward run left has them
    return [=](Tape& tape, const Module<T>* module) {
      tape.add_to_freqs(
          axial_frequency_gradient(needed(module).rotary(), *tape.values().grid(out), tape.of(out)));
    };
  }
  if (name == "self.get_seq_pos") {
    args.known({"seq_len", "offset"});  // positions depend on nothing that has a gradient
    return [](Tape&, const Module<T>*) {};
  }
  if (name == "rotate_half") {
    const std::string x = args.reference("x");
    return [=](Tape& tape, const Module<T>*) {  // transposed, it is rotate_half negated
      Tensor grad = tape.of(out);
      for (std::size_t i = 0; i + 1 < grad.values.size(); i += 2) {
        std::swap(grad.values[i], grad.values[i + 1]);
        grad.values[i + 1] = -grad.values[i + 1];
      }
      tape.add(x, std::move(grad));
    };
  }
  if (name == "broadcat") {
    const std::vector<std::string> names = args.references("tensors");
    const Index dim = args.integer("dim", -1);
    return [=](Tape& tape, const Module<T>*) {
      const Tensor grad = tape.of(out);
      const auto axis = static_cast<std::size_t>(dim < 0 ? dim + grad.rank() : dim);
      const Index each = grad.shape.at(axis) / static_cast<Index>(names.size());
      for (std::size_t part = 0; part < names.size(); ++part) {
        const Tensor& x = tape.values().at(names[part]);
        const Tensor wide = with_axes_in_front(x, grad.rank());
        Tensor sum = x;
        std::fill(sum.values.begin(), sum.values.end(), 0);
        for (Index n = 0; n < grad.size(); ++n) {
          Index to = 0, stride = 1, rest = n;
          bool inside = true;
          for (std::size_t a = grad.shape.size(); a-- > 0;) {
            Index index = rest % grad.shape[a];
            rest /= grad.shape[a];
            if (a == axis) {
              index -= static_cast<Index>(part) * each;
              inside = inside && index >= 0 && index < each;
            }
            if (wide.shape[a] != 1) to += index * stride;
            stride *= wide.shape[a];
          }
          if (inside) sum.values[static_cast<std::size_t>(to)] += grad.values[static_cast<std::size_t>(n)];
        }
        tape.add(names[part], std::move(sum));
      }
    };
  }
  return prepare_glue<T>(call);
}

template <class T>
void run_gradients(const Case& c) {
  if (!c.gradient) wrong_data(c.set + '/' + c.name + " has no gradients");
  constexpr bool kInDouble = std::is_same_v<T, double>;
  Session session(c, kInDouble);
  run<T>(session, c, c.constructor, c.calls);
  c.forget_arguments();  // going back must read them too
  const std::optional<ModuleOptions> options = module_options(c, c.constructor);
  std::vector<BackwardStep<T>> steps;
  for (const Call& call : c.calls) steps.push_back(prepare_backward<T>(call));
  std::optional<Module<T>> module;
  if (options) module.emplace(*options);
  Tape tape(session);
  for (const auto& [output, weight] : c.gradient->weights) tape.add(output, session.at(weight));
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) (*step)(tape, module ? &*module : nullptr);
  for (const auto& [output, wrt] : c.gradient->wrt) session.check(output, tape.with_respect_to(wrt));
}

template void run_gradients<float>(const Case&);
template void run_gradients<double>(const Case&);

}  // namespace rotary::testing::golden
