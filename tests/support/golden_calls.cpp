#include "support/golden_calls.hpp"

#include <algorithm>

namespace rotary::testing::golden {

// ---------------------------------------------------------------- arguments

namespace {

FreqsFor freqs_for(const Arguments& args) {
  const std::string kind = args.has("freqs_for") ? args.text("freqs_for") : "lang";
  if (kind == "lang") return FreqsFor::lang;
  if (kind == "pixel") return FreqsFor::pixel;
  if (kind == "constant") return FreqsFor::constant;
  wrong_data("no test knows frequencies for " + kind);
}

}  // namespace

std::optional<ModuleOptions> module_options(const Case& c, const std::optional<Constructor>& constructor) {
  if (!constructor) return {};
  if (constructor->type != "RotaryEmbedding") wrong_data("no test knows the class " + constructor->type);
  const Arguments& args = constructor->args;
  ModuleOptions options;
  RotaryEmbeddingOptions& rotary = options.rotary;
  const Index dim = args.integer("dim");
  if (args.has("custom_freqs")) rotary.custom_freqs = c.input(args.reference("custom_freqs")).values;
  rotary.freqs_for = freqs_for(args);
  const double theta = args.number("theta", rotary.theta),
               max_freq = args.number("max_freq", rotary.max_freq),
               rescale = args.number("theta_rescale_factor", rotary.theta_rescale_factor);
  const Index num_freqs = args.integer("num_freqs", rotary.num_freqs);
  // Ours takes only what the frequencies depend on; the reference takes the rest as well, without effect.
  const bool custom = !rotary.custom_freqs.empty();
  const bool lang = !custom && rotary.freqs_for == FreqsFor::lang;
  const bool pixel = !custom && rotary.freqs_for == FreqsFor::pixel;
  if (lang || pixel) {
    rotary.dim = dim;
  } else {
    args.without_effect({"dim"});
  }
  if (lang) {
    rotary.theta = theta, rotary.theta_rescale_factor = rescale;
  } else {
    args.without_effect({"theta", "theta_rescale_factor"});
  }
  if (pixel) {
    rotary.max_freq = max_freq;
  } else {
    args.without_effect({"max_freq"});
  }
  if (!custom && rotary.freqs_for == FreqsFor::constant) {
    rotary.num_freqs = num_freqs;
  } else {
    args.without_effect({"num_freqs"});
  }
  rotary.learned_freq = args.flag("learned_freq", rotary.learned_freq);
  rotary.interpolate_factor = args.number("interpolate_factor", rotary.interpolate_factor);
  rotary.seq_before_head_dim = args.flag("seq_before_head_dim", rotary.seq_before_head_dim);
  rotary.cache_if_possible = args.flag("cache_if_possible", rotary.cache_if_possible);
  rotary.cache_max_seq_len = args.integer("cache_max_seq_len", rotary.cache_max_seq_len);
  rotary.allow_odd_dim = dim % 2 != 0 && !c.expected_error;

  XPosOptions xpos;
  xpos.xpos_scale_base = args.number("xpos_scale_base", xpos.xpos_scale_base);
  if (args.flag("use_xpos", false)) {
    options.xpos = xpos;
  } else {
    args.without_effect({"xpos_scale_base"});
  }
  // A result is the same with and without the cache, and with frequencies that are trained.
  args.without_effect({"cache_if_possible", "cache_max_seq_len", "learned_freq"});
  return options;
}

template <class T>
Module<T>::Module(const ModuleOptions& options) {
  if (options.xpos) {
    xpos_.emplace(options.rotary, *options.xpos);
  } else {
    rotary_.emplace(options.rotary);
  }
}

RotateOptions RotateArguments::options(Direction direction) const {
  RotateOptions options;
  options.seq_dim = seq_dim;
  options.offset = offset;
  options.scale = scale;
  options.direction = direction;
  return options;
}

XPosRotateOptions RotateArguments::xpos_options(Direction direction) const {
  XPosRotateOptions options;
  options.seq_dim = seq_dim;
  options.offset = offset;
  options.direction = direction;
  return options;
}

RotateArguments rotate_arguments(const Arguments& args) {
  RotateArguments result;
  if (args.has("seq_dim")) result.seq_dim = args.integer("seq_dim");
  result.offset = args.number("offset", 0);
  if (!args.has_tensor("scale")) result.scale = args.number("scale", 1);
  return result;
}

ApplyOptions apply_options(const Arguments& args) {
  ApplyOptions options;
  options.start_index = args.integer("start_index", 0);
  options.seq_dim = args.integer("seq_dim", -2);
  if (args.has("freqs_seq_dim")) options.freqs_seq_dim = args.integer("freqs_seq_dim");
  if (!args.has_tensor("scale")) options.scale = args.number("scale", 1);
  options.separate_angles = true;  // which the reference always allows
  return options;
}

// ---------------------------------------------------------------- calls

namespace {

/// Calls use(std::integral_constant<int, R>()) with the rank, for the tensors that are also tried as Eigen
/// tensors. Views take any rank; the 16-bit scalars are instantiated for one, which is quicker to compile.
template <class S, class Use>
void as_eigen_too(const Tensor& x, Use&& use) {
  if constexpr (sizeof(S) == 2) {
    if_rank<4>(x.rank(), use);
  } else {
    if_rank<2, 3, 4, 5, 6>(x.rank(), use);
  }
}

/// rotate(in, out), between views of either storage order and in place: all must give the same bits.
template <class S, class Rotate>
Tensor rotated_every_way(const Tensor& x, Rotate&& rotate) {
  Tensor empty = x;
  for (double& value : empty.values) value = 12345;
  Tensor result;
  for (const int from : kOrders) {
    for (const int to : kOrders) {
      const Elements<S> in(x, from);
      const Elements<S> out(empty, to);
      rotate(in.const_view(), out.view());
      if (from == Eigen::RowMajor && to == Eigen::RowMajor) result = out.tensor();
      expect_same_bits(out.tensor(), result,
                       to == from ? "views in column-major order" : "views in different orders");
    }
    const Elements<S> both(x, from);
    rotate(both.const_view(), both.view());
    expect_same_bits(both.tensor(), result,
                     from == Eigen::RowMajor ? "in place" : "in place, in column-major order");
  }
  return result;
}

/// rotate_queries_or_keys: through views, in place, and as Eigen tensors, in both storage orders.
template <class T>
Tensor rotated(const RotaryEmbedding<T>& rotary, const Tensor& x, const RotateOptions& options) {
  Tensor result;
  with_scalar<T>(x, [&]<class S>(S) {
    result = rotated_every_way<S>(x, [&](const auto& in, const auto& out) {
      if (in.data == out.data) {
        rotary.rotate_in_place(out, options);
      } else {
        rotary.rotate_into(in, out, options);
      }
    });
    as_eigen_too<S>(x, [&]<int R>(std::integral_constant<int, R>) {
      expect_same_bits(from_eigen(rotary.rotate_queries_or_keys(to_eigen<S, R>(x), options)), result,
                       "row-major tensor");
      expect_same_bits(from_eigen(rotary.rotate_queries_or_keys(to_eigen<S, R, Eigen::ColMajor>(x), options)),
                       result, "column-major tensor");
    });
  });
  return result;
}

/// rotate_queries_or_keys with a tensor of scales, in both storage orders.
template <class T>
Tensor rotated_with_scale(const RotaryEmbedding<T>& rotary, const Tensor& x, const Tensor& scale,
                          const RotateOptions& options) {
  const Elements<T> scales(scale);
  Tensor result;
  with_scalar<T>(x, [&]<class S>(S) {
    with_rank<2, 3, 4, 5, 6>(x, [&]<int R>(std::integral_constant<int, R>) {
      result = from_eigen(rotary.rotate_queries_or_keys(to_eigen<S, R>(x), options, scales.const_view()));
      expect_same_bits(from_eigen(rotary.rotate_queries_or_keys(to_eigen<S, R, Eigen::ColMajor>(x), options,
                                                                scales.const_view())),
                       result, "column-major tensor");
    });
  });
  return result;
}

/// use(angles as a view) in the type that they have.
template <class T, class Use>
void with_angles(const Tensor& freqs, int order, Use&& use) {
  if (std::is_same_v<T, double> || freqs.dtype == "float64") {
    const Elements<double> angles(freqs, order);
    use(angles.const_view());
  } else {
    const Elements<float> angles(freqs, order);
    use(angles.const_view());
  }
}

/// apply_rotary_emb: in place through views, and as Eigen tensors, in both orders.
template <class T>
Tensor applied(const Tensor& freqs, const Tensor& x, const ApplyOptions& options) {
  Tensor result;
  with_scalar<T>(x, [&]<class S>(S) {
    for (const int freqs_order : kOrders)
      with_angles<T>(freqs, freqs_order, [&](const auto& angles) {
        for (const int order : kOrders) {
          const Elements<S> t(x, order);
          apply_rotary_emb_in_place(angles, t.view(), options);
          if (result.shape.empty()) result = t.tensor();
          expect_same_bits(t.tensor(), result, "in place, in another storage order");
        }
        if (freqs_order == Eigen::ColMajor) return;
        as_eigen_too<S>(x, [&]<int R>(std::integral_constant<int, R>) {
          expect_same_bits(from_eigen(apply_rotary_emb(angles, to_eigen<S, R>(x), options)), result,
                           "row-major tensor");
          expect_same_bits(from_eigen(apply_rotary_emb(angles, to_eigen<S, R, Eigen::ColMajor>(x), options)),
                           result, "column-major tensor");
        });
      });
  });
  return result;
}

/// apply_rotary_emb with a tensor of scales.
template <class T>
Tensor applied_with_scale(const Tensor& freqs, const Tensor& x, const Tensor& scale,
                          const ApplyOptions& options) {
  const Elements<T> scales(scale);
  Tensor result;
  with_scalar<T>(x, [&]<class S>(S) {
    with_angles<T>(freqs, Eigen::RowMajor, [&](const auto& angles) {
      with_rank<2, 3, 4, 5, 6>(x, [&]<int R>(std::integral_constant<int, R>) {
        result = from_eigen(apply_rotary_emb(angles, to_eigen<S, R>(x), scales.const_view(), options));
        expect_same_bits(from_eigen(apply_rotary_emb(angles, to_eigen<S, R, Eigen::ColMajor>(x),
                                                     scales.const_view(), options)),
                         result, "column-major tensor");
      });
    });
  });
  return result;
}

/// A call that rotates queries and keys: as new tensors and in place, in both storage orders.
template <class T, class Rotate, class RotateInPlace>
void rotate_pair(Session& session, const std::string& q_name, const std::string& k_name,
                 const std::vector<std::string>& out, const Rotate& rotate,
                 const RotateInPlace& rotate_in_place) {
  const Tensor q = session.at(q_name), k = session.at(k_name);
  if (out.size() != 2) wrong_data("queries and keys are two results");
  with_scalar<T>(q, [&]<class S>(S) {
    const auto as_eigen = [&]<int R>(std::integral_constant<int, R>) {
      const auto [q_out, k_out] = rotate(to_eigen<S, R>(q), to_eigen<S, R>(k));
      const auto [q_other, k_other] =
          rotate(to_eigen<S, R, Eigen::ColMajor>(q), to_eigen<S, R, Eigen::ColMajor>(k));
      expect_same_bits(from_eigen(q_other), from_eigen(q_out), "column-major queries");
      expect_same_bits(from_eigen(k_other), from_eigen(k_out), "column-major keys");
      session.set(out[0], from_eigen(q_out));
      session.set(out[1], from_eigen(k_out));
    };
    if constexpr (sizeof(S) == 2) {
      with_rank<3, 4>(q, as_eigen);
    } else {
      with_rank<2, 3, 4, 5, 6>(q, as_eigen);
    }
    if constexpr (!std::is_null_pointer_v<RotateInPlace>)
      for (const int order : kOrders) {
        const Elements<S> q_there(q, order), k_there(k, order);
        rotate_in_place(q_there.view(), k_there.view());
        expect_same_bits(q_there.tensor(), session.at(out[0]), "queries in place");
        expect_same_bits(k_there.tensor(), session.at(out[1]), "keys in place");
      }
  });
}

template <class T>
AxialFrequencies<T> axial_of(const RotaryEmbedding<T>& rotary, Index start_index = 0) {
  return AxialFrequencies<T>(rotary.frequencies(), rotary.freqs_for(),
                             {.start_index = start_index, .pairing = rotary.pairing()});
}

/// The angles of a grid, of the embedding and of AxialFrequencies with the same frequencies.
template <class T>
Tensor axial_angles(const RotaryEmbedding<T>& rotary, const Grid& on) {
  Tensor angles;
  const AxialFrequencies<T> axial = axial_of(rotary);
  with_rank<1, 2, 3, 4>(static_cast<int>(on.sizes.size()), [&]<int A>(std::integral_constant<int, A>) {
    std::array<Index, A> grid{};
    std::copy(on.sizes.begin(), on.sizes.end(), grid.begin());
    angles = from_eigen(rotary.get_axial_freqs(grid, on.offsets));
    expect_same_bits(from_eigen(axial.get_axial_freqs(grid, on.offsets)), angles, "AxialFrequencies");
    if (on.offsets.empty())
      expect_same_bits(from_eigen(std::apply([&](auto... n) { return rotary.get_axial_freqs(n...); }, grid)),
                       angles, "sizes one by one");
  });
  return angles;
}

/// A table of the same grid rotates a tensor as the angles do.
template <class T>
Tensor rotated_by_table(const RotaryEmbedding<T>& rotary, const Grid& on, const Tensor& x,
                        Index start_index) {
  Tensor result;
  with_rank<1, 2, 3, 4>(static_cast<int>(on.sizes.size()), [&]<int A>(std::integral_constant<int, A>) {
    std::array<Index, A> grid{};
    std::copy(on.sizes.begin(), on.sizes.end(), grid.begin());
    with_scalar<T>(x, [&]<class S>(S) {
      const Elements<S> t(x);
      apply_rotary_emb_in_place(axial_of(rotary, start_index).table(grid, on.offsets), t.view());
      result = t.tensor();
    });
  });
  return result;
}

template <class T>
Tensor angles_of(const RotaryEmbedding<T>& rotary, const Tensor& positions) {
  if (positions.rank() == 0) return from_eigen(rotary(static_cast<T>(positions.values.at(0))));
  Tensor angles;
  with_rank<1, 2, 3, 4, 5, 6>(positions, [&]<int R>(std::integral_constant<int, R>) {
    angles = from_eigen(rotary(to_eigen<T, R>(positions)));
    expect_same_bits(from_eigen(rotary(to_eigen<T, R, Eigen::ColMajor>(positions))), angles,
                     "column-major positions");
  });
  if (positions.rank() == 1)
    expect_same_bits(from_eigen(rotary(positions.values)), angles, "positions in a vector");
  return angles;
}

/// A tensor with axes of extent 1 added in front.
Tensor with_axes_in_front(Tensor x, int rank) {
  while (x.rank() < rank) x.shape.insert(x.shape.begin(), 1);
  return x;
}

/// apply_learned_rotations. Rotations of two axes belong to the sequence; others are broadcast from the last
/// axis, so that they may as well have all axes of `t`.
template <class T>
Tensor with_learned_rotations(const Tensor& rotations, const Tensor& x, const LearnedRotationOptions& options,
                              const std::vector<double>* ranges) {
  Tensor result;
  with_rank<2, 3, 4, 5, 6>(x, [&]<int X>(std::integral_constant<int, X>) {
    const Tensor learned = rotations.rank() == 2 ? rotations : with_axes_in_front(rotations, X);
    with_rank<2, X>(learned, [&]<int R>(std::integral_constant<int, R>) {
      const auto rotate = [&](const auto& angles, const auto& t) {
        return from_eigen(ranges ? apply_learned_rotations(angles, t, options, *ranges)
                                 : apply_learned_rotations(angles, t, options));
      };
      result = rotate(to_eigen<T, R>(learned), to_eigen<T, X>(x));
      expect_same_bits(rotate(to_eigen<T, R, Eigen::ColMajor>(learned), to_eigen<T, X, Eigen::ColMajor>(x)),
                       result, "column-major tensors");
    });
  });
  return result;
}

template <class T>
Tensor concatenated(const std::vector<Tensor>& tensors, const BroadcatOptions& options) {
  int rank = 0;
  for (const Tensor& x : tensors) rank = std::max(rank, x.rank());
  Tensor result;
  const auto join = [&](const auto&... t) { return from_eigen(broadcat(options, t...)); };
  // Axes are broadcast from the last, so that axes of extent 1 may be added in front.
  with_rank<1, 2, 3, 4, 5, 6>(rank, [&]<int R>(std::integral_constant<int, R>) {
    std::vector<Eigen::Tensor<T, R, Eigen::RowMajor>> same;
    for (const Tensor& x : tensors) same.push_back(to_eigen<T, R>(with_axes_in_front(x, R)));
    result = from_eigen(broadcat(same, options));
    if_rank<1, 2, 3, 4>(static_cast<int>(same.size()), [&]<int N>(std::integral_constant<int, N>) {
      [&]<std::size_t... Each>(std::index_sequence<Each...>) {
        expect_same_bits(join(same[Each]...), result, "one by one");
      }
      (std::make_index_sequence<N>());
    });
    if (options.dim == -1 && same.size() == 1)
      expect_same_bits(from_eigen(broadcat(same[0])), result, "without options");
  });
  // And as they are, in both storage orders, where few axes keep the program small.
  if (tensors.size() == 2)
    if_rank<1, 2, 3>(tensors[0].rank(), [&]<int A>(std::integral_constant<int, A>) {
      if_rank<1, 2, 3>(tensors[1].rank(), [&]<int B>(std::integral_constant<int, B>) {
        expect_same_bits(join(to_eigen<T, A>(tensors[0]), to_eigen<T, B, Eigen::ColMajor>(tensors[1])),
                         result, "of its own rank, column-major");
      });
    });
  return result;
}

template <class T>
Tensor half_rotated(const Tensor& x) {
  Tensor result;
  with_scalar<T>(x, [&]<class S>(S) {
    with_rank<1, 2, 3, 4, 5, 6>(x, [&]<int R>(std::integral_constant<int, R>) {
      result = from_eigen(rotate_half(to_eigen<S, R>(x)));
      expect_same_bits(from_eigen(rotate_half(to_eigen<S, R, Eigen::ColMajor>(x))), result,
                       "column-major tensor");
    });
  });
  return result;
}

template <class T>
const Module<T>& needed(const Module<T>* module) {
  if (!module) wrong_data("a method is called, and the case constructs nothing");
  return *module;
}

void only_one_result(const Call& call) {
  if (call.out.size() != 1) wrong_data(call.function + " has one result");
}

// ---------------------------------------------------------------- steps

template <class T>
Step<T> prepare_rotate(const Call& call) {
  const std::string t = call.args.reference("t"), out = call.out.at(0);
  const RotateArguments at = rotate_arguments(call.args);
  if (!call.args.has_tensor("scale")) {
    const bool scaled = call.args.has("scale");
    return [=](Session& session, const Module<T>* module) {
      if (needed(module).has_xpos() && !scaled)
        throw NotOffered("rotary: XPos::rotate_queries_or_keys is a static_assert");
      session.set(out, rotated(module->rotary(), session.at(t), at.options()));
    };
  }
  const std::string scale = call.args.reference("scale");
  return [=](Session& session, const Module<T>* module) {
    session.set(out,
                rotated_with_scale(needed(module).rotary(), session.at(t), session.at(scale), at.options()));
  };
}

template <class T>
Step<T> prepare_pair(const Call& call) {
  const std::string q = call.args.reference("q"), k = call.args.reference("k");
  const std::vector<std::string> out = call.out;
  const RotateArguments at = rotate_arguments(call.args);
  return [=](Session& session, const Module<T>* module) {
    if (needed(module).has_xpos()) {
      if (at.scale != 1) wrong_data("no test knows XPos with one scale");
      rotate_pair<T>(
          session, q, k, out,
          [&](const auto& a, const auto& b) {
            return module->xpos().rotate_queries_and_keys(a, b, at.xpos_options());
          },
          [&](const auto& a, const auto& b) {
            module->xpos().rotate_queries_and_keys_in_place(a, b, at.xpos_options());
          });
    } else {
      rotate_pair<T>(
          session, q, k, out,
          [&](const auto& a, const auto& b) {
            return module->rotary().rotate_queries_and_keys(a, b, at.options());
          },
          [&](const auto& a, const auto& b) {
            module->rotary().rotate_queries_and_keys_in_place(a, b, at.options());
          });
    }
  };
}

template <class T>
Step<T> prepare_cached_keys(const Call& call) {
  const std::string q = call.args.reference("q"), k = call.args.reference("k");
  const std::vector<std::string> out = call.out;
  const RotateArguments at = rotate_arguments(call.args);
  return [=](Session& session, const Module<T>* module) {
    if (needed(module).has_xpos()) {
      if (at.scale != 1) wrong_data("no test knows XPos with one scale");
      rotate_pair<T>(
          session, q, k, out,
          [&](const auto& a, const auto& b) {
            return module->xpos().rotate_queries_with_cached_keys(a, b, at.xpos_options());
          },
          nullptr);
    } else {
      rotate_pair<T>(
          session, q, k, out,
          [&](const auto& a, const auto& b) {
            return module->rotary().rotate_queries_with_cached_keys(a, b, at.options());
          },
          nullptr);
    }
  };
}

template <class T>
Step<T> prepare_axial(const Call& call) {
  const std::string out = call.out.at(0);
  const std::vector<Index> sizes = call.args.integers("dims");
  const bool by_name = call.args.has_tensor("offsets");
  const std::string offsets_name = by_name ? call.args.reference("offsets") : "";
  std::vector<double> offsets;
  if (!by_name && call.args.has("offsets")) offsets = call.args.numbers("offsets");
  return [=](Session& session, const Module<T>* module) {
    const Grid grid{sizes, by_name ? session.at(offsets_name).values : offsets};
    session.set(out, axial_angles(needed(module).rotary(), grid));
    session.set_grid(out, grid);
  };
}

template <class T>
Step<T> prepare_apply(const Call& call) {
  const std::string freqs = call.args.reference("freqs"), t = call.args.reference("t"), out = call.out.at(0);
  const ApplyOptions options = apply_options(call.args);
  const bool places = call.args.has("seq_dim") || call.args.has("freqs_seq_dim") || options.scale != 1;
  const std::string scale = call.args.has_tensor("scale") ? call.args.reference("scale") : "";
  return [=](Session& session, const Module<T>* module) {
    const Tensor angles = session.at(freqs), x = session.at(t);
    session.set(out, scale.empty() ? applied<T>(angles, x, options)
                                   : applied_with_scale<T>(angles, x, session.at(scale), options));
    const Grid* const grid = session.grid(freqs);
    if (grid && !places && scale.empty() && session.is_output(out))
      session.check(out, rotated_by_table(needed(module).rotary(), *grid, x, options.start_index));
  };
}

template <class T>
Step<T> prepare_learned(const Call& call) {
  const std::string rotations = call.args.reference("rotations"), t = call.args.reference("t"),
                    out = call.out.at(0);
  const LearnedRotationOptions options{.start_index = call.args.integer("start_index", 0)};
  const std::optional<std::string> ranges = call.args.optional_reference("freq_ranges");
  return [=](Session& session, const Module<T>*) {
    session.set(out, with_learned_rotations<T>(session.at(rotations), session.at(t), options,
                                               ranges ? &session.at(*ranges).values : nullptr));
  };
}

}  // namespace

template <class T>
Step<T> prepare(const Call& call) {
  const std::string& name = call.function;
  const Arguments& args = call.args;
  if (name == "self.rotate_queries_and_keys") return prepare_pair<T>(call);
  if (name == "self.rotate_queries_with_cached_keys") return prepare_cached_keys<T>(call);
  only_one_result(call);
  const std::string out = call.out[0];
  if (name == "self.rotate_queries_or_keys") return prepare_rotate<T>(call);
  if (name == "self.get_axial_freqs") return prepare_axial<T>(call);
  if (name == "apply_rotary_emb") return prepare_apply<T>(call);
  if (name == "apply_learned_rotations") return prepare_learned<T>(call);
  if (name == "self.forward") {
    // seq_len and offset tell the reference where its cache may have them; the positions say it all. 16-bit
    // positions do not compile, since bfloat16 cannot tell 256 from 257: they go in as float.
    const std::string t = args.reference("t");
    args.without_effect({"seq_len", "offset"});
    return [=](Session& session, const Module<T>* module) {
      session.set(out, angles_of(needed(module).rotary(), session.at(t)));
    };
  }
  if (name == "self.get_scale") {
    const std::string t = args.reference("t");
    args.without_effect({"seq_len", "offset"});
    return [=](Session& session, const Module<T>* module) {
      const Tensor& positions = session.at(t);
      if (positions.rank() != 1) wrong_data("get_scale takes positions on one axis");
      session.set(out, from_eigen(needed(module).xpos().get_scale(positions.values)));
    };
  }
  if (name == "self.get_seq_pos") {
    const Index seq_len = args.integer("seq_len");
    const double offset = args.number("offset", 0);
    return [=](Session& session, const Module<T>* module) {
      session.set(out, from_eigen(needed(module).rotary().get_seq_pos(seq_len, offset)));
    };
  }
  if (name == "broadcat") {
    const std::vector<std::string> names = args.references("tensors");
    const BroadcatOptions options{.dim = args.integer("dim", -1)};
    return [=](Session& session, const Module<T>*) {
      std::vector<Tensor> tensors;
      for (const std::string& each : names) tensors.push_back(session.at(each));
      session.set(out, concatenated<T>(tensors, options));
    };
  }
  if (name == "rotate_half") {
    const std::string x = args.reference("x");
    return [=](Session& session, const Module<T>*) { session.set(out, half_rotated<T>(session.at(x))); };
  }
  const Call* const glue = &call;
  return [=](Session& session, const Module<T>*) {
    if (!session.glue(*glue)) wrong_data("no test knows the call " + glue->function);
  };
}

template <class T>
void run(Session& session, const Case& c, const std::optional<Constructor>& constructor,
         const std::vector<Call>& calls) {
  const std::optional<ModuleOptions> options = module_options(c, constructor);
  std::vector<Step<T>> steps;
  for (const Call& call : calls) steps.push_back(prepare<T>(call));
  std::optional<Module<T>> module;
  if (options) module.emplace(*options);
  for (const Step<T>& step : steps) step(session, module ? &*module : nullptr);
}

template class Module<float>;
template class Module<double>;
template void run<float>(Session&, const Case&, const std::optional<Constructor>&, const std::vector<Call>&);
template void run<double>(Session&, const Case&, const std::optional<Constructor>&, const std::vector<Call>&);

}  // namespace rotary::testing::golden
