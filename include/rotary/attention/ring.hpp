// ring_attend: attention of a sequence that is split among the ranks of an MPI communicator, forward and backward.
#pragma once

// The C++ functions that MPI 3 has removed are not used; without them its header compiles faster and without warnings.
#if !defined(OMPI_SKIP_MPICXX)
/// Leaves the C++ functions out of the header of Open MPI.
#define OMPI_SKIP_MPICXX 1
#endif
#if !defined(MPICH_SKIP_MPICXX)
/// Leaves the C++ functions out of the header of MPICH.
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>

#include <exception>
#include <memory>

#include "ring_pass.hpp"

namespace rotary::inline ROTARY_ABI {

/// The options of `ring_attend` and `ring_attend_backward`. All but the rows must be equal on all ranks.
///
/// Rows belong to the caller, and are read during the call only.
template <RowScalar T>
struct RingOptions {
  MPI_Comm comm = MPI_COMM_WORLD;              ///< its ranks hold the slices of the sequence, in this order
  RingSlices slices = RingSlices::contiguous;  ///< which tokens a rank holds
  std::optional<double> scale = {};            ///< multiplies scores; left out, 1 / √d
  bool causal = false;                         ///< a query sees no later key of the whole sequence
  std::optional<Index> window = {};  ///< at least 1: how many keys a query sees on a side, its own included
  std::optional<double> soft_cap = {};  ///< scores s become soft_cap · tanh(s / soft_cap)
  /// Rows by which this rank's queries are rotated while they are read, for the positions of its tokens;
  /// their layout has `.seq_dim = -3`. Null: they are rotated already, or not at all. Gradients are those of
  /// the queries before rotation.
  const CosSinTable<T>* query_rows = nullptr;
  /// Rows by which this rank's keys are rotated while they are read, for the positions of its tokens; their
  /// layout has `.seq_dim = -3`. Null: they are rotated already, or not at all. Gradients are those of the
  /// keys before rotation.
  const CosSinTable<T>* key_rows = nullptr;

  /// The options for `attend` on this rank: all of these but `comm` and `slices`, which it does not have.
  AttentionOptions<T> attention() const {
    AttentionOptions<T> options;
    options.scale = scale, options.causal = causal, options.window = window, options.soft_cap = soft_cap;
    options.query_rows = query_rows, options.key_rows = key_rows;
    return options;
  }
};

namespace detail {

/// Throws unless an MPI function has succeeded.
inline void check_mpi(int code, const char* function) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING + 1] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(function, " failed: ", std::string_view(text));
}

/// The ranks of a communicator in a circle.
struct Ring {
  MPI_Comm comm;
  int rank = 0, ranks = 1;

  explicit Ring(MPI_Comm of) : comm(of) {
    int running = 0, finished = 0;
    MPI_Initialized(&running);
    MPI_Finalized(&finished);
    if (!running || finished)
      fail("MPI is not running: call between MPI_Init and MPI_Finalize");  // not covered: it runs in tests
    if (comm == MPI_COMM_NULL) fail("the communicator is MPI_COMM_NULL");
    int between = 0;
    check_mpi(MPI_Comm_test_inter(comm, &between), "MPI_Comm_test_inter");
    if (between) fail("the communicator is between two groups of ranks, it must be of one");
    check_mpi(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm, &ranks), "MPI_Comm_size");
  }

  /// What all ranks passed, after `check` has checked what this one did. If it throws on one rank, all ranks throw.
  template <class Check>
  std::vector<RingCall> agree(const Check& check) const {
    RingCall own;
#if ROTARY_EXCEPTIONS
    std::exception_ptr error;
    try {
      own = check();
    } catch (...) {
      error = std::current_exception();
      own.wrong = 1;
    }
#else
    own = check();
#endif
    std::vector<RingCall> calls(static_cast<std::size_t>(ranks));
    constexpr int kNumbers = sizeof(RingCall) / sizeof(double);
    check_mpi(MPI_Allgather(&own, kNumbers, MPI_DOUBLE, calls.data(), kNumbers, MPI_DOUBLE, comm),
              "MPI_Allgather");
#if ROTARY_EXCEPTIONS
    if (error) std::rethrow_exception(error);
#endif
    check_ring_calls(calls);
    return calls;
  }
};

/// Messages to the next rank and from the one before, and the memory that they are sent from.
template <RowScalar T>
class RingMessages {
 public:
  explicit RingMessages(const Ring& ring) : ring_(ring) {}
  RingMessages(const RingMessages&) = delete;
  RingMessages& operator=(const RingMessages&) = delete;
  ~RingMessages() {
    // After an exception MPI may still read and write the buffers, so that they must not be freed.
    if (!pending_.empty()) static_cast<void>(new auto(std::move(buffers_)));
  }

  T* buffer(Index count) {
    buffers_.emplace_back(checked_elements<T>(count));
    return buffers_.back().data();
  }

  void send(RingTag tag, const T* data, Index count) {
    in_parts(count, [&](Index at, int part) {
      return MPI_Isend(data + at, part, type(), (ring_.rank + 1) % ring_.ranks, kTags + static_cast<int>(tag),
                       ring_.comm, request());
    });
  }
  void receive(RingTag tag, T* data, Index count) {
    in_parts(count, [&](Index at, int part) {
      return MPI_Irecv(data + at, part, type(), (ring_.rank + ring_.ranks - 1) % ring_.ranks,
                       kTags + static_cast<int>(tag), ring_.comm, request());
    });
  }
  /// Gives MPI an occasion to move messages.
  void poll() {
    int done = 0;
    if (!pending_.empty())
      check_mpi(MPI_Testall(count(), pending_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
  }
  void wait() {
    if (!pending_.empty())
      check_mpi(MPI_Waitall(count(), pending_.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
    pending_.clear();
  }

 private:
  static constexpr int kTags = 7101;

  static MPI_Datatype type() { return std::is_same_v<T, double> ? MPI_DOUBLE : MPI_FLOAT; }
  int count() const { return static_cast<int>(pending_.size()); }
  MPI_Request* request() { return &pending_.emplace_back(MPI_REQUEST_NULL); }

  /// MPI counts in int.
  template <class Start>
  void in_parts(Index count, const Start& start) {
    constexpr Index kMost = Index{1} << 27;
    for (Index at = 0; at < count; at += kMost)
      check_mpi(start(at, static_cast<int>(std::min(kMost, count - at))), "a message to another rank");
  }

  const Ring& ring_;
  std::vector<AlignedVector<T>> buffers_;
  std::vector<MPI_Request> pending_;
};

// Views are made inside `agree`: what is wrong with one is an error of all ranks.

template <class T, class Q, class K, class V, class Y, class L, class Device>
void run_ring(const Q& queries, const K& keys, const V& values, Y& result, L* log_sum,
              const RingOptions<T>& options, const Device& device) {
  const Ring ring(options.comm);
  std::optional<AttentionCall<T>> call;
  std::optional<TokenOutput<T>> out, sums;
  const auto calls = ring.agree([&] {
    const auto q = const_view_of(queries);
    const auto k = const_view_of(keys);
    const auto v = const_view_of(values);
    const auto y = writable_view_of(result);
    std::optional<StridedView<T>> l;
    if (log_sum) l = writable_view_of(*log_sum);
    call.emplace(attention_call<T>(q, k, v, options.attention()));
    check_results(call->sizes, q, y, l ? &*l : nullptr, k, v);
    out = TokenOutput<T>::of(y);
    if (l) sums = TokenOutput<T>::of(with_one_feature(*l, q));
    return ring_call(call->sizes, call->options, options.slices);
  });
  RingMessages<T> messages(ring);
  RingPass<T>(*call, options.slices, calls, ring.rank)
      .attend(*out, sums ? &*sums : nullptr, messages, device);
}

template <class T, class Q, class K, class V, class Y, class G, class L, class GQ, class GK, class GV,
          class Device>
void run_ring_backward(const Q& queries, const K& keys, const V& values, const Y& result,
                       const G& grad_result, const L& sums, GQ& grad_queries, GK& grad_keys, GV& grad_values,
                       const RingOptions<T>& options, const Device& device) {
  const Ring ring(options.comm);
  std::optional<AttentionCall<T>> call;
  std::optional<typename RingPass<T>::Gradients> tensors;
  const auto calls = ring.agree([&] {
    const auto q = const_view_of(queries);
    const auto k = const_view_of(keys);
    const auto v = const_view_of(values);
    const auto out = const_view_of(result);
    const auto grad_out = const_view_of(grad_result);
    const auto log_sum = const_view_of(sums);
    const auto grad_q = writable_view_of(grad_queries);
    const auto grad_k = writable_view_of(grad_keys);
    const auto grad_v = writable_view_of(grad_values);
    call.emplace(attention_call<T>(q, k, v, options.attention()));
    check_shape_like(out, q, call->sizes.d_v, "the result");
    check_gradients(call->sizes, q, k, v, grad_out, log_sum, grad_q, grad_k, grad_v);
    check_separate("the result", out, grad_q, grad_k, grad_v);
    const auto input = [](const auto& x) { return TokenInput<T>::of(x, nullptr, ""); };
    tensors = {input(out),
               input(grad_out),
               input(with_one_feature(log_sum, q)),
               TokenOutput<T>::of(grad_q),
               TokenOutput<T>::of(grad_k),
               TokenOutput<T>::of(grad_v)};
    return ring_call(call->sizes, call->options, options.slices);
  });
  RingMessages<T> messages(ring);
  RingPass<T>(*call, options.slices, calls, ring.rank).backward(*tensors, messages, device);
}

}  // namespace detail

/// Attention of one sequence that is split among the ranks of an MPI communicator: context parallelism.
///
/// Each rank passes the queries, keys and values of its own tokens, in the shapes of `attend`, and receives the result of its
/// queries over the keys of all ranks, as if `attend` had been called with the whole sequence. Keys and values travel around the ring
/// while the previous ones are computed, and results are merged by log-sum-exp:
///
///     contiguous, 3 ranks            rank 0     rank 1     rank 2
///                          step 0     K0  →      K1  →      K2  → rank 0
///                          step 1     K2  →      K0  →      K1  → rank 0
///                          step 2     K1         K2         K0
///
/// Blocks that a causal mask or a window hides are sent on, but not computed. With contiguous slices and a causal mask the last
/// rank computes all of its blocks and rank 0 one; `RingSlices::zig_zag` gives all ranks as much.
///
/// All ranks of `options.comm` call it, with the same options and sizes, but for seq, which may differ between contiguous slices.
/// Messages have tags 7101 and 7102; only the calling thread calls MPI. Throws std::invalid_argument as `attend` does, and if
/// the ranks do not agree, on all ranks and before anything is written; also if an MPI function returns an error, which it
/// does only if the communicator's error handler is MPI_ERRORS_RETURN.
///
/// Cost: the operations of `attend`. A rank sends its keys and values ranks − 1 times, as float, or double for double. Memory
/// beside the tensors: a copy of the queries, two results and two blocks of keys and values. The bits depend on the number of ranks
/// and on how the sequence is split, not on timing or threads.
///
/// @code
///   #include <rotary/attention/ring.hpp>
///   int rank = 0, ranks = 1;                                                            // after MPI_Init
///   MPI_Comm_rank(MPI_COMM_WORLD, &rank), MPI_Comm_size(MPI_COMM_WORLD, &ranks);
///   rotary::Tensor<float, 3> q(6, 8, 16), k(6, 2, 16), v(6, 2, 16), out(6, 8, 16);      // 6 tokens of each rank
///   q.setRandom(), k.setRandom(), v.setRandom();
///   const auto ids = rotary::context_parallel_position_ids({.seq_len = 6 * ranks, .ranks = ranks, .rank = rank});
///   const rotary::CosSinTable<float> rows(rotary::language_frequencies(16), rotary::Positions::listed(ids), {.seq_dim = -3});
///   rotary::ring_attend(q, k, v, out, {.slices = rotary::RingSlices::zig_zag, .causal = true, .query_rows = &rows,
///                                      .key_rows = &rows});
/// @endcode
///
/// Source: Liu et al. 2023, Ring Attention with Blockwise Transformers; Brandon et al. 2023 for balanced slices.
template <class Q, class K, class V, class Y, ParallelDevice Device = CallingThread>
void ring_attend(const Q& queries, const K& keys, const V& values, Y&& out,
                 const RingOptions<detail::AttentionScalar<Q>>& options = {}, const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  if constexpr (detail::check_attention_types<T, Q, K, V, Y>() && detail::check_writable<Y>())
    detail::run_ring<T>(queries, keys, values, out, static_cast<StridedView<T>*>(nullptr), options, device);
}

/// `ring_attend` that also writes `log_sum`, [.., seq_q, heads] of float or double: for the queries of this rank, the logarithm of the
/// sum of exponentials over the keys of all ranks. `ring_attend_backward` needs it. Shapes, errors and cost are those of
/// `ring_attend`.
template <class Q, class K, class V, class Y, class L, ParallelDevice Device = CallingThread>
void ring_attend_with_log_sum(const Q& queries, const K& keys, const V& values, Y&& out, L&& log_sum,
                              const RingOptions<detail::AttentionScalar<Q>>& options = {},
                              const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  static_assert(std::is_same_v<detail::Scalar<L>, T>, "rotary: log_sum is of float, or of double for double");
  if constexpr (detail::check_attention_types<T, Q, K, V, Y, L>() && detail::check_writable<Y>() &&
                detail::check_writable<L>())
    detail::run_ring<T>(queries, keys, values, out, &log_sum, options, device);
}

/// The gradients of a loss with respect to the queries, keys and values of this rank: `attend_backward` for `ring_attend`.
///
/// `out` and `log_sum` are what `ring_attend_with_log_sum` wrote, `grad_out` the gradient with respect to `out`. The gradients of
/// keys and values travel with their block, from rank to rank, and return to its owner. Formulas are those of `attend_backward`, with
///
///     δ_i = ⟨out_i, ∂out_i⟩
///
/// since no rank has all probabilities of a row; in 16 bits `out` limits the accuracy of δ. Gradients are written, not added.
/// Throws std::invalid_argument as `ring_attend` does, on all ranks and before anything is written.
///
/// Cost: the operations of `attend_backward`. A rank sends keys and values ranks − 1 times, and gradients of them ranks times.
/// Memory beside the tensors: copies of queries, result and its gradient, two gradients of queries, and six blocks of keys and
/// values. The bits depend on the number of ranks and on how the sequence is split, not on timing or threads.
///
/// @code
///   #include <rotary/attention/ring.hpp>
///   rotary::Tensor<double, 3> q(5, 2, 8), k(5, 2, 8), v(5, 2, 8), out(5, 2, 8), grad_q(5, 2, 8), grad_k(5, 2, 8),
///       grad_v(5, 2, 8);
///   rotary::Tensor<double, 2> log_sum(5, 2);
///   q.setRandom(), k.setRandom(), v.setRandom();
///   const rotary::RingOptions<double> options{.comm = MPI_COMM_WORLD, .causal = true};             // after MPI_Init
///   rotary::ring_attend_with_log_sum(q, k, v, out, log_sum, options);
///   rotary::ring_attend_backward(q, k, v, out, out, log_sum, grad_q, grad_k, grad_v, options);     // of |out|²/2
/// @endcode
template <class Q, class K, class V, class Y, class G, class L, class GQ, class GK, class GV,
          ParallelDevice Device = CallingThread>
void ring_attend_backward(const Q& queries, const K& keys, const V& values, const Y& out, const G& grad_out,
                          const L& log_sum, GQ&& grad_queries, GK&& grad_keys, GV&& grad_values,
                          const RingOptions<detail::AttentionScalar<Q>>& options = {},
                          const Device& device = {}) {
  using T = detail::AttentionScalar<Q>;
  static_assert(std::is_same_v<detail::Scalar<L>, T>, "rotary: log_sum is of float, or of double for double");
  if constexpr (detail::check_attention_types<T, Q, K, V, Y, G, L, GQ, GK, GV>() &&
                detail::check_writable<GQ>() && detail::check_writable<GK>() && detail::check_writable<GV>())
    detail::run_ring_backward<T>(queries, keys, values, out, grad_out, log_sum, grad_queries, grad_keys,
                                 grad_values, options, device);
}

}  // namespace rotary::inline ROTARY_ABI
