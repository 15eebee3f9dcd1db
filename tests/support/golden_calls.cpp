// The calls that several test programs make, compiled once for all of them.
#include <algorithm>

#include "support/golden_run.hpp"

namespace rotary::testing::golden {

namespace {

/// turn(in, out), between views of either storage order and in place: all must give the same bits.
template <class S, class Turn>
Tensor turned_every_way(const Tensor& x, Turn&& turn) {
  Tensor empty = x;
  for (double& value : empty.values) value = 12345;
  Tensor result;
  for (const int from : kOrders) {
    for (const int to : kOrders) {
      const Elements<S> in(x, from);
      const Elements<S> out(empty, to);
      turn(in.const_view(), out.view());
      if (from == Eigen::RowMajor && to == Eigen::RowMajor) result = out.tensor();
      expect_same_bits(out.tensor(), result,
                       to == from ? "views in column-major order" : "views in different orders");
    }
    const Elements<S> both(x, from);
    turn(both.const_view(), both.view());
    expect_same_bits(both.tensor(), result,
                     from == Eigen::RowMajor ? "in place" : "in place, in column-major order");
  }
  return result;
}

}  // namespace

template <class T>
RotaryEmbedding<T> make_rotary(const Case& c, const Constructor& constructor) {
  return RotaryEmbedding<T>(rotary_options(c, constructor));
}

template <class T>
Tensor applied(const Tensor& freqs, const Tensor& x, const ApplyOptions& options) {
  Tensor result;
  const auto apply = [&]<class F, class S>(F, S) {
    for (const int freqs_order : kOrders) {
      const Elements<F> angles(freqs, freqs_order);
      for (const int order : kOrders) {
        const Elements<S> t(x, order);
        apply_rotary_emb_in_place(angles.const_view(), t.view(), options);
        if (result.values.empty()) result = t.tensor();
        expect_same_bits(t.tensor(), result, "in place, in another storage order");
      }
    }
    const auto as_eigen = [&]<int R>(std::integral_constant<int, R>) {
      const Elements<F> angles(freqs);
      expect_same_bits(from_eigen(apply_rotary_emb(angles.const_view(), to_eigen<S, R>(x), options)), result,
                       "row-major tensor");
      expect_same_bits(
          from_eigen(apply_rotary_emb(angles.const_view(), to_eigen<S, R, Eigen::ColMajor>(x), options)),
          result, "column-major tensor");
    };
    if constexpr (sizeof(S) == 2) {
      with_rank<4>(x, as_eigen);
    } else {
      with_rank<3, 4, 5>(x, as_eigen);
    }
  };
  with_scalar<T>(x, [&](auto scalar) {
    if (sizeof scalar != 2 && freqs.dtype == "float64") {
      if constexpr (sizeof scalar != 2) apply(double{}, scalar);
    } else if constexpr (std::is_same_v<T, float>) {
      apply(float{}, scalar);
    }
  });
  return result;
}

template <class T>
Tensor rotated(const RotaryEmbedding<T>& rotary, const Tensor& x, const RotateOptions& options) {
  Tensor result;
  with_scalar<T>(x, [&]<class S>(S) {
    result = turned_every_way<S>(x, [&](const auto& in, const auto& out) {
      if (in.data == out.data) {
        rotary.rotate_in_place(out, options);
      } else {
        rotary.rotate_into(in, out, options);
      }
    });
    const auto as_eigen = [&]<int R>(std::integral_constant<int, R>) {
      expect_same_bits(from_eigen(rotary.rotate_queries_or_keys(to_eigen<S, R>(x), options)), result,
                       "row-major tensor");
      expect_same_bits(from_eigen(rotary.rotate_queries_or_keys(to_eigen<S, R, Eigen::ColMajor>(x), options)),
                       result, "column-major tensor");
    };
    if constexpr (sizeof(S) == 2) {
      with_rank<4>(x, as_eigen);
    } else {
      with_rank<2, 3, 4, 5>(x, as_eigen);
    }
  });
  return result;
}

template <class T>
Tensor applied_with_scale(const Tensor& freqs, const Tensor& x, const Tensor& scale,
                          const ApplyOptions& options) {
  const auto t = to_eigen<T, 4>(x);
  const auto column_major = to_eigen<T, 4, Eigen::ColMajor>(x);
  const Elements<T> scales(scale);
  Tensor result;
  const auto apply = [&](const auto& angles) {
    result = from_eigen(apply_rotary_emb(angles, t, scales.const_view(), options));
    expect_same_bits(from_eigen(apply_rotary_emb(angles, column_major, scales.const_view(), options)), result,
                     "column-major tensor");
  };
  if (freqs.dtype == "float64") {
    apply(Elements<double>(freqs).const_view());
  } else {
    apply(Elements<float>(freqs).const_view());
  }
  return result;
}

template <class T>
void rotate_queries_or_keys(Session& session, const RotaryEmbedding<T>& rotary, const Call& call) {
  const Tensor& x = session.at(call, "t");
  const bool scaled =
      call.args.has("scale") && call.args.find("scale")->second.kind == Value::Kind::reference;
  if (!scaled) return session.set(call, rotated(rotary, x, rotate_options(call.args)));
  const auto positions = rotary.get_seq_pos(x.shape.at(x.shape.size() - 2), call.args.number("offset", 0));
  session.set(call, applied_with_scale<T>(from_eigen(rotary(positions)), x, session.at(call, "scale"), {}));
}

template <class T>
void forward(Session& session, const RotaryEmbedding<T>& rotary, const Call& call) {
  const Tensor& positions = session.at(call, "t");
  if (positions.rank() == 0)
    return session.set(call, from_eigen(rotary(static_cast<T>(positions.values.at(0)))));
  if (positions.rank() == 1) session.set(call, from_eigen(rotary(positions.values)));
  with_rank<1, 2, 3>(positions, [&]<int R>(std::integral_constant<int, R>) {
    const Tensor angles = from_eigen(rotary(to_eigen<T, R>(positions)));
    if (R == 1) expect_same_bits(angles, session.at(call.out.at(0)), "positions in a tensor");
    expect_same_bits(from_eigen(rotary(to_eigen<T, R, Eigen::ColMajor>(positions))), angles,
                     "column-major positions");
    session.set(call, angles);
  });
}

template <class T>
void get_axial_freqs(Session& session, const RotaryEmbedding<T>& rotary, const Call& call) {
  const std::vector<Index> sizes = call.args.integers("dims");
  std::vector<double> offsets;
  if (call.args.has("offsets"))
    offsets = call.args.find("offsets")->second.kind == Value::Kind::reference
                  ? session.at(call, "offsets").values
                  : call.args.numbers("offsets");
  const AxialFrequencies<T> axial(rotary.frequencies(), rotary.options().freqs_for, rotary.options().pairing);
  const auto on_grid = [&]<std::size_t Axes>(std::array<Index, Axes> grid) {
    std::copy(sizes.begin(), sizes.end(), grid.begin());
    const Tensor angles = from_eigen(rotary.get_axial_freqs(grid, offsets));
    expect_same_bits(from_eigen(axial.get_axial_freqs(grid, offsets)), angles, "AxialFrequencies");
    if (offsets.empty())
      expect_same_bits(from_eigen(std::apply([&](auto... n) { return rotary.get_axial_freqs(n...); }, grid)),
                       angles, "sizes one by one");
    session.set(call, angles);
  };
  switch (sizes.size()) {
    case 1:
      return on_grid(std::array<Index, 1>{});
    case 2:
      return on_grid(std::array<Index, 2>{});
    case 3:
      return on_grid(std::array<Index, 3>{});
    default:
      wrong_data("a grid of " + std::to_string(sizes.size()) + " axes");
  }
}

template RotaryEmbedding<double> make_rotary(const Case&, const Constructor&);
template Tensor rotated(const RotaryEmbedding<double>&, const Tensor&, const RotateOptions&);
template Tensor applied<double>(const Tensor&, const Tensor&, const ApplyOptions&);
template Tensor applied_with_scale<double>(const Tensor&, const Tensor&, const Tensor&, const ApplyOptions&);
template void rotate_queries_or_keys(Session&, const RotaryEmbedding<double>&, const Call&);
template void forward(Session&, const RotaryEmbedding<double>&, const Call&);
template void get_axial_freqs(Session&, const RotaryEmbedding<double>&, const Call&);

template RotaryEmbedding<float> make_rotary(const Case&, const Constructor&);
template Tensor rotated(const RotaryEmbedding<float>&, const Tensor&, const RotateOptions&);
template Tensor applied<float>(const Tensor&, const Tensor&, const ApplyOptions&);
template Tensor applied_with_scale<float>(const Tensor&, const Tensor&, const Tensor&, const ApplyOptions&);
template void rotate_queries_or_keys(Session&, const RotaryEmbedding<float>&, const Call&);
template void forward(Session&, const RotaryEmbedding<float>&, const Call&);
template void get_axial_freqs(Session&, const RotaryEmbedding<float>&, const Call&);

}  // namespace rotary::testing::golden
