// ring_attend on the ranks that mpirun starts, against the whole sequence on one.
#include <gtest/gtest.h>

#include <chrono>
#include <rotary/attention/ring.hpp>
#include <thread>

#include "support/errors.hpp"
#include "support/ring_case.hpp"

namespace rotary::testing {
namespace {

struct World {
  int rank = 0, ranks = 1;
  World() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  }
};

struct TwoThreads {
  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost&, const Work& work) const {
    std::thread half([&] { work(Index{0}, count / 2); });
    work(count / 2, count);
    half.join();
  }
};

template <class T>
RingOptions<T> options_of(const RingCase& c) {
  return {.slices = c.slices,
          .scale = c.a.scale,
          .causal = c.a.causal,
          .window = c.a.window,
          .soft_cap = c.a.soft_cap};
}

template <class T, class Device = CallingThread>
RankTensors<T> run(const RingCase& c, const RingOptions<T>& options, const Device& device = {}) {
  RankTensors<T> r = c.inputs<T>(World().rank);
  ring_attend_with_log_sum(r.q, r.k, r.v, r.out, r.log_sum, options, device);
  ring_attend_backward(r.q, r.k, r.v, r.out, r.grad_out, r.log_sum, r.grad_q, r.grad_k, r.grad_v, options,
                       device);
  return r;
}

TEST(Ring, EqualsTheWholeSequence) {
  const World world;
  Random random(1651);
  SCOPED_TRACE(random.replay());
  for (unsigned which = 0; which < kRingCases; ++which) {
    const RingCase c = random_ring_case(random, world.ranks, which, 40);
    SCOPED_TRACE(describe(c.a, which));
    EXPECT_LE(c.error(run<double>(c, options_of<double>(c)), world.rank), 1e-12);
    EXPECT_LE(c.error(run<float>(c, options_of<float>(c)), world.rank), 1e-5);
  }
}

// Messages beyond what MPI sends at once, and ranks that arrive late.
TEST(Ring, LongSlices) {
  const World world;
  Random random(1652);
  SCOPED_TRACE(random.replay());
  // Every rank computes the whole sequence too, in plain loops.
  const std::vector<Index> tokens(static_cast<std::size_t>(world.ranks), std::min(128, 256 / world.ranks));
  const RingCase c(random, {.heads = 4, .kv_heads = 2, .d = 64, .d_v = 64, .causal = true},
                   RingSlices::zig_zag, tokens, tokens);
  const auto first = run<float>(c, options_of<float>(c));
  EXPECT_LE(c.error(first, world.rank), 1e-5);
  for (int late = 0; late < world.ranks; ++late) {
    if (late == world.rank) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto again = run<float>(c, options_of<float>(c), TwoThreads());
    EXPECT_EQ(farthest(again.out, first.out), 0);
    EXPECT_EQ(farthest(again.grad_q, first.grad_q), 0);
    EXPECT_EQ(farthest(again.grad_k, first.grad_k), 0);
    EXPECT_EQ(farthest(again.grad_v, first.grad_v), 0);
  }
}

// Each rank rotates at the positions of its own tokens.
TEST(Ring, RotatesAtItsOwnPositions) {
  const World world;
  Random random(1653);
  SCOPED_TRACE(random.replay());
  for (const RingSlices slices : {RingSlices::contiguous, RingSlices::zig_zag}) {
    const std::vector<Index> tokens(static_cast<std::size_t>(world.ranks), 10);
    const RingCase c(random, {.heads = 4, .kv_heads = 2, .d = 8, .d_v = 6, .causal = true}, slices, tokens,
                     tokens);
    const HeadLayout layout{.pairing = Pairing::half, .seq_dim = -3};
    const auto ids = c.key_positions(world.rank);
    const CosSinTable<double> own(language_frequencies(8), Positions::listed(ids), layout),
        all(language_frequencies(8), Positions::consecutive(c.a.seq_q), layout);
    RingOptions<double> options = options_of<double>(c);
    options.query_rows = options.key_rows = &own;
    const auto got = run<double>(c, options);

    Tensor<double, 4> out(c.want.out.dimensions()), grad_q(c.q.dimensions()), grad_k(c.k.dimensions()),
        grad_v(c.v.dimensions());
    Tensor<double, 3> log_sum(c.want.log_sum.dimensions());
    const AttentionOptions<double> whole{.causal = true, .query_rows = &all, .key_rows = &all};
    attend_with_log_sum(c.q, c.k, c.v, out, log_sum, whole);
    attend_backward(c.q, c.k, c.v, c.grad_out, log_sum, grad_q, grad_k, grad_v, whole);
    EXPECT_LE(farthest(got.out, RingCase::slice<double>(out, ids)), 1e-12);
    EXPECT_LE(farthest(got.grad_q, RingCase::slice<double>(grad_q, ids)), 1e-12);
    EXPECT_LE(farthest(got.grad_k, RingCase::slice<double>(grad_k, ids)), 1e-12);
    EXPECT_LE(farthest(got.grad_v, RingCase::slice<double>(grad_v, ids)), 1e-12);
  }
}

// bfloat16 is widened to float before it travels, and rounded once at the end.
TEST(Ring, SixteenBits) {
  const World world;
  Random random(1654);
  SCOPED_TRACE(random.replay());
  const std::vector<Index> tokens(static_cast<std::size_t>(world.ranks), 12);
  const RingCase c(random, {.heads = 2, .d = 8, .d_v = 8, .causal = true}, RingSlices::contiguous, tokens,
                   tokens);
  const auto r = c.inputs<float>(world.rank);
  const Tensor<Eigen::bfloat16, 4> q = r.q.cast<Eigen::bfloat16>(), k = r.k.cast<Eigen::bfloat16>(),
                                   v = r.v.cast<Eigen::bfloat16>();
  Tensor<Eigen::bfloat16, 4> out(r.out.dimensions());
  Tensor<float, 4> widened(r.out.dimensions());
  ring_attend(q, k, v, out, options_of<float>(c));
  ring_attend(Tensor<float, 4>(q.cast<float>()), Tensor<float, 4>(k.cast<float>()),
              Tensor<float, 4>(v.cast<float>()), widened, options_of<float>(c));
  EXPECT_EQ(farthest(out, Tensor<Eigen::bfloat16, 4>(widened.cast<Eigen::bfloat16>())), 0);
}

// A wrong call on one rank throws on all, so that no rank waits for another, and the next call works.
TEST(RingErrors, ThrowOnAllRanks) {
  const World world;
  Random random(1655);
  const std::vector<Index> tokens(static_cast<std::size_t>(world.ranks), 4);
  const RingCase c(random, {.heads = 2, .d = 8, .d_v = 8}, RingSlices::contiguous, tokens, tokens);
  const auto refused = [&](auto change, std::string_view own, std::string_view others) {
    RankTensors<float> r = c.inputs<float>(world.rank);
    RingOptions<float> options;
    const bool wrong = world.rank == world.ranks - 1;
    if (wrong) change(r, options);
    expect_error([&] { ring_attend_with_log_sum(r.q, r.k, r.v, r.out, r.log_sum, options); },
                 {wrong ? own : others});
    expect_error(
        [&] {
          ring_attend_backward(r.q, r.k, r.v, r.out, r.grad_out, r.log_sum, r.grad_q, r.grad_k, r.grad_v,
                               options);
        },
        {wrong ? own : others});
    for (const auto* x : {&r.out, &r.grad_q, &r.grad_k, &r.grad_v}) EXPECT_EQ(x->data()[0], 77);
  };
  const std::string last = "rank " + std::to_string(world.ranks - 1);
  using R = RankTensors<float>&;
  using O = RingOptions<float>&;
  refused([](R r, O) { r.k.resize(1, 4, 1, 7), r.k.setZero(); }, "as many features",
          last + " has wrong arguments");
  refused([](R, O options) { options.window = 0; }, "window is 0", last + " has wrong arguments");
  refused([](R r, O) { r.out.resize(1, 3, 2, 8), r.out.setConstant(77); },
          "the result has shape [1, 3, 2, 8]", last + " has wrong arguments");
  if (world.ranks > 1) {
    refused([](R, O options) { options.causal = true; }, "agree on causal", last);
    refused([](R, O options) { options.scale = 3; }, "agree on scale", last);
  }
  RankTensors<float> bad = c.inputs<float>(world.rank);
  const bool wrong = world.rank == world.ranks - 1;
  const StridedView<float> shared(bad.out.data(), {1, 4, 2, 8}, {64, wrong ? 0 : 16, 8, 1});
  expect_error([&] { ring_attend(bad.q, bad.k, bad.v, shared, RingOptions<float>()); },
               {wrong ? std::string_view("share memory") : std::string_view("wrong arguments")});
  EXPECT_EQ(bad.out.data()[0], 77);

  RingOptions<float> none;
  none.comm = MPI_COMM_NULL;
  RankTensors<float> r = c.inputs<float>(world.rank);
  expect_error([&] { ring_attend(r.q, r.k, r.v, r.out, none); }, {"MPI_COMM_NULL"});
  EXPECT_LE(c.error(run<float>(c, {}), world.rank), 1e-5);
}

// After an exception MPI may still write to a buffer, so its memory must not be used for anything else.
TEST(RingMessages, LeaveMemoryToWhatIsPending) {
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  const detail::Ring ring(comm);
  const float* received = nullptr;
  {
    detail::RingMessages<float> messages(ring);
    float* const buffer = messages.buffer(1);
    *buffer = 0;
    messages.receive(detail::RingTag::keys, buffer, 1);
    received = buffer;
  }
  detail::RingMessages<float> messages(ring);
  float* const sent = messages.buffer(1);
  *sent = 5;
  messages.send(detail::RingTag::keys, sent, 1);
  messages.wait();
  MPI_Barrier(comm);
  for (int n = 0, arrived = 0; n < 1000 && *const_cast<const volatile float*>(received) != 5; ++n)
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &arrived, MPI_STATUS_IGNORE);  // lets MPI proceed
  EXPECT_EQ(*const_cast<const volatile float*>(received), 5);
}

TEST(RingErrors, OfMpi) {
  expect_error([] { detail::check_mpi(MPI_ERR_RANK, "MPI_Isend"); }, {"MPI_Isend failed: ", "rank"});
  const World world;
  if (world.ranks != 2) return;
  MPI_Comm between = MPI_COMM_NULL;
  MPI_Intercomm_create(MPI_COMM_SELF, 0, MPI_COMM_WORLD, 1 - world.rank, 0, &between);
  expect_error([&] { detail::Ring ring(between); }, {"between two groups of ranks"});
}

}  // namespace
}  // namespace rotary::testing
