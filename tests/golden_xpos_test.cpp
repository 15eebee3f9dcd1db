// Golden cases of XPos.
#include "support/golden_run.hpp"

namespace rotary::testing::golden {
namespace {

// What we decided where the reference has a quirk:
//
//   xpos_cached_keys_*           queries and keys share a centre, half the keys: decoding agrees with a full
//   pass xpos_interpolate             as the reference: the centre is counted in positions divided by
//   interpolate_factor xpos_stale_scale_cache       a result never depends on the calls before it half_xpos_*
//   scales are not rounded to 16 bits xpos_get_scale_odd_dim       as the reference: a scale for the half
//   pair too, though it never rotates
//
// rotate_queries_or_keys of XPos does not compile. Whoever brings scales of his own gives them to
// apply_rotary_emb with the angles, which is how that call of the reference is made here.
template <class T>
void run(Session& session, const std::vector<Call>& calls, const XPos<T>& xpos) {
  for (const Call& call : calls) {
    if (call.function == "self.rotate_queries_and_keys") {
      const XPosRotateOptions options = xpos_rotate_options(call.args);
      turn_pair<T>(session, call,
                   [&](const auto& q, const auto& k) { return xpos.rotate_queries_and_keys(q, k, options); });
      with_scalar<T>(session.at(call, "q"), [&]<class S>(S) {
        for (const int order : kOrders) {
          const Elements<S> q(session.at(call, "q"), order), k(session.at(call, "k"), order);
          xpos.rotate_queries_and_keys_in_place(q.view(), k.view(), options);
          expect_same_bits(q.tensor(), session.at(call.out.at(0)), "queries in place");
          expect_same_bits(k.tensor(), session.at(call.out.at(1)), "keys in place");
        }
      });
    } else if (call.function == "self.rotate_queries_with_cached_keys") {
      turn_pair<T>(session, call, [&](const auto& q, const auto& k) {
        return xpos.rotate_queries_with_cached_keys(q, k, xpos_rotate_options(call.args));
      });
    } else if (call.function ==
               "self.get_scale") {  // seq_len and offset say where the reference's cache may have it
      session.set(call, from_eigen(xpos.get_scale(session.at(call, "t").values)));
    } else if (call.function == "self.get_seq_pos") {
      session.set(call, from_eigen(xpos.rotary().get_seq_pos(call.args.integer("seq_len"),
                                                             call.args.number("offset", 0))));
    } else if (call.function == "self.rotate_queries_or_keys") {
      rotate_queries_or_keys(session, xpos.rotary(), call);
    } else if (!session.glue(call)) {
      wrong_data("golden_xpos_test does not know " + call.function);
    }
  }
}

template <class T>
void check_case(const Case& c) {
  constexpr bool kInDouble = std::is_same_v<T, double>;
  Session session(c, kInDouble);
  run(session, c.calls, XPos<T>(xpos_options(c, *c.constructor)));
  session.check();
  if (c.intended_calls.empty() && !c.intended_constructor) return;
  Session intended(c, kInDouble);
  run(intended, c.calls, XPos<T>(xpos_options(c, c.intended_constructor.value_or(*c.constructor))));
  if (!c.intended_calls.empty()) run(intended, c.intended_calls, XPos<T>(xpos_options(c, *c.constructor)));
  intended.check_intended();
}

[[maybe_unused]] const bool registered =
    register_tests("GoldenXPosInDouble", cases_of(Topic::xpos), check_case<double>) &&
    register_tests("GoldenXPosInFloat", cases_of(Topic::xpos), check_case<float>);

}  // namespace
}  // namespace rotary::testing::golden
