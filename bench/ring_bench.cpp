// ring_attend on two ranks of this machine against attend on one: `mpirun -n 2 ring_bench`. Rank 0 measures; rank 1 takes
// part in the calls of ring_attend, and sleeps between them.
#include <rotary/attention/ring.hpp>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

#include "support/buffer.hpp"
#include "support/comparison.hpp"
#include "support/compiled_kernels.hpp"

namespace {

using namespace bench;
using rotary::StridedView;

constexpr Index kHeads = 4, kWidth = 128;  // one head of keys and values, as in the rows of attention_bench

enum class Pass { forward, training, none };

/// Queries, keys, values, result and gradients of `tokens` tokens.
struct Tensors {
  Index tokens;
  Buffer<float> q, k, v, out, log_sum, grad_q, grad_k, grad_v;

  explicit Tensors(Index count)
      : tokens(count),
        q(count * kHeads * kWidth),
        k(count * kWidth),
        v(count * kWidth),
        out(q.size()),
        log_sum(count * kHeads),
        grad_q(q.size()),
        grad_k(k.size()),
        grad_v(v.size()) {}

  /// Of a zig-zag slice of `whole`: the rank-th chunk from the front and from the back.
  Tensors(const Tensors& whole, int rank, int ranks) : Tensors(whole.tokens / ranks) {
    const Index chunk = tokens / 2;
    const auto copy = [&](const Buffer<float>& from, Buffer<float>& to) {
      const Index width = from.size() / whole.tokens;
      std::copy_n(from.data() + rank * chunk * width, chunk * width, to.data());
      std::copy_n(from.data() + (whole.tokens - (rank + 1) * chunk) * width, chunk * width,
                  to.data() + chunk * width);
    };
    copy(whole.q, q), copy(whole.k, k), copy(whole.v, v);
  }

  static StridedView<float> view(Buffer<float>& x, Index tokens, Index heads) {
    return {x.data(), {tokens, heads, kWidth}};
  }

  void attend(Pass pass) {
    const auto queries = view(q, tokens, kHeads), result = view(out, tokens, kHeads),
               of_q = view(grad_q, tokens, kHeads), keys = view(k, tokens, 1), values = view(v, tokens, 1),
               of_k = view(grad_k, tokens, 1), of_v = view(grad_v, tokens, 1);
    const StridedView<float> sums(log_sum.data(), {tokens, kHeads});
    const rotary::AttentionOptions<float> options{.causal = true};
    rotary::attend_with_log_sum(queries, keys, values, result, sums, options);
    if (pass == Pass::training)
      rotary::attend_backward(queries, keys, values, result, sums, of_q, of_k, of_v, options);
  }
  void ring(Pass pass) {
    const auto queries = view(q, tokens, kHeads), result = view(out, tokens, kHeads),
               of_q = view(grad_q, tokens, kHeads), keys = view(k, tokens, 1), values = view(v, tokens, 1),
               of_k = view(grad_k, tokens, 1), of_v = view(grad_v, tokens, 1);
    const StridedView<float> sums(log_sum.data(), {tokens, kHeads});
    const rotary::RingOptions<float> options{.slices = rotary::RingSlices::zig_zag, .causal = true};
    rotary::ring_attend_with_log_sum(queries, keys, values, result, sums, options);
    if (pass == Pass::training)
      rotary::ring_attend_backward(queries, keys, values, result, result, sums, of_q, of_k, of_v, options);
  }
};

struct Ranks {
  int rank = 0, ranks = 1;

  Ranks() {
    int level = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  }
};

/// Tells rank 1 what comes next, and how many tokens there are.
void command(Pass pass, Index tokens) {
  const Index words[] = {static_cast<Index>(pass), tokens};
  MPI_Send(words, 2, MPI_INT64_T, 1, 0, MPI_COMM_WORLD);
}

/// Rank 1: until there is nothing to do.
void serve(int rank, int ranks) {
  std::unique_ptr<Tensors> slice;
  for (Index words[2];;) {
    // A loop that waits for a message takes time from the other rank if they share a processor.
    for (int arrived = 0; !arrived; MPI_Iprobe(0, 0, MPI_COMM_WORLD, &arrived, MPI_STATUS_IGNORE))
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    MPI_Recv(words, 2, MPI_INT64_T, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    const Pass pass = static_cast<Pass>(words[0]);
    if (pass == Pass::none) return;
    if (!slice || slice->tokens != words[1] / ranks)
      slice = std::make_unique<Tensors>(Tensors(words[1]), rank, ranks);
    slice->ring(pass);
  }
}

void add_ring(Pass pass, const char* name, const char* row, const Ranks& world) {
  const auto ranks = world.ranks;
  add({std::string("ring/") + name, row, "attend on one rank", at_least(1.7)}, [=] {
    const Index tokens = settings().smoke ? 256 : settings().quick ? 2048 : 8192;
    const auto whole = std::make_shared<Tensors>(tokens), slice = std::make_shared<Tensors>(*whole, 0, ranks);
    const auto ring = [=] {
      command(pass, tokens);
      slice->ring(pass);
    };
    const auto check = [=]() -> std::string {
      whole->attend(pass);
      ring();
      const Index chunk = slice->out.size() / 2;
      for (const auto& [got, want] : {std::pair{&slice->out, &whole->out}, {&slice->grad_q, &whole->grad_q}})
        for (Index n = 0; n < chunk; ++n)
          if (!(std::fabs(got->data()[n] - want->data()[n]) < 1e-5f))
            return "number " + std::to_string(n) + " is wrong";
      return {};
    };
    const double pairs =
        static_cast<double>(kHeads) * static_cast<double>(tokens) * static_cast<double>(tokens) / 2;
    return Comparison{repeated(ring), repeated([=] { whole->attend(pass); }), check, pairs, pairs, true};
  });
}

}  // namespace

void bench::register_benchmarks() {
  const Ranks world;
  if (world.ranks != 2) {
    std::fprintf(stderr, "ring_bench compares two ranks with one: mpirun -n 2 ring_bench\n");
    MPI_Finalize();
    std::exit(2);
  }
  if (world.rank > 0) {
    serve(world.rank, world.ranks);
    MPI_Finalize();
    std::exit(0);
  }
  std::atexit([] {
    command(Pass::none, 0);
    MPI_Finalize();
  });
  add_ring(Pass::forward, "forward", "ring attention, two ranks: forward, causal", world);
  add_ring(Pass::training, "training", "ring attention, two ranks: forward and backward, causal", world);
}
