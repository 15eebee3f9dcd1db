// Golden cases of angles: of positions, grids, and what is done with them.
#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

// What we decided where the reference has a quirk:
//
//   axial_lang_offsets_cached   every axis has its own offset; a result never depends on the calls before it
template <class T>
void run(Session& session, const std::vector<Call>& calls, const RotaryEmbedding<T>& rotary) {
  for (const Call& call : calls) {
    if (call.function == "self.forward") {
      forward(session, rotary, call);
    } else if (call.function == "self.get_axial_freqs") {
      get_axial_freqs(session, rotary, call);
    } else if (call.function == "self.get_seq_pos") {
      session.set(call,
                  from_eigen(rotary.get_seq_pos(call.args.integer("seq_len"), call.args.number("offset"))));
    } else if (call.function == "apply_rotary_emb") {
      session.set(call, applied<T>(session.at(call, "freqs"), session.at(call, "t"), {}));
    } else if (call.function ==
               "broadcat") {  // of the angles of rows and of columns, as in the reference's README
      const auto of_axes = call.args.references("tensors");
      session.set(call, from_eigen(broadcat({.dim = call.args.integer("dim")},
                                            to_eigen<double, 3>(session.at(of_axes.at(0))),
                                            to_eigen<double, 3>(session.at(of_axes.at(1))))));
    } else if (!session.glue(call)) {
      wrong_data("golden_angles_test does not know " + call.function);
    }
  }
}

/// A table of a grid turns a tensor as its angles do.
template <class T>
void check_table(const Case& c, const RotaryEmbedding<T>& rotary, const Session& session) {
  if (c.calls.size() != 2 || c.calls[0].function != "self.get_axial_freqs" ||
      c.calls[1].function != "apply_rotary_emb")
    return;
  const AxialFrequencies<T> axial(rotary.frequencies(), rotary.options().freqs_for, rotary.options().pairing);
  const auto sizes = c.calls[0].args.integers("dims");
  const auto apply = [&]<std::size_t Axes>(std::array<Index, Axes> grid) {
    std::copy(sizes.begin(), sizes.end(), grid.begin());
    const Elements<T> t(session.at(c.calls[1], "t"));
    apply_rotary_emb_in_place(axial.table(grid), t.view());
    session.check("out", t.tensor());
  };
  sizes.size() == 3 ? apply(std::array<Index, 3>{}) : apply(std::array<Index, 2>{});
}

template <class T>
void check_case(const Case& c) {
  constexpr bool kInDouble = std::is_same_v<T, double>;
  const auto rotary = make_rotary<T>(c, *c.constructor);
  Session session(c, kInDouble);
  run(session, c.calls, rotary);
  session.check();
  check_table(c, rotary, session);
  if (!c.intended_constructor) return;
  Session intended(c, kInDouble);
  run(intended, c.calls, make_rotary<T>(c, *c.intended_constructor));
  intended.check_intended();
}

[[maybe_unused]] const bool registered =
    register_tests("GoldenAnglesInDouble", cases_of(Topic::angles), check_case<double>) &&
    register_tests("GoldenAnglesInFloat", cases_of(Topic::angles), check_case<float>);

}  // namespace
}  // namespace rotary::testing::golden
