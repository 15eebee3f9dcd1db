// The rotation kernel that everything calls: order the axes, plan, dispatch.
#pragma once

#include <algorithm>
#include <utility>

#include "rotate_lanes.hpp"
#include "rotate_mixed.hpp"
#include "rotate_reference.hpp"
#include "rotate_rows.hpp"
#include "transpose_rows.hpp"
#include "tuning.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

#if ROTARY_VECTOR_EXTENSIONS
/// A token with fewer pairs is in cache: there is nothing to plan.
inline constexpr Index kPlannedPairs = Index{1} << 17;

namespace detail {

using WindowKernel = void (*)(const JobShape*, const WindowLoop*);

/// The kernel that a plan names, for contiguous features.
template <Pairing kPairing, class X, class Row>
WindowKernel window_kernel_of(Kernel kernel, InstructionSet set) {
  using Rows = RotateRows<kPairing, X, Row>;
  if (kernel == Kernel::fixed_width) [[likely]]
    return dispatch<typename Rows::FixedWidth, const JobShape*, const WindowLoop*>(set);
  if constexpr (sizeof(X) > 2)
    if (kernel == Kernel::strided_heads)
      return dispatch<RotateStridedHeads<kPairing, X, Row>, const JobShape*, const WindowLoop*>(set);
  if (kernel == Kernel::in_order)
    return dispatch<typename Rows::InOrder, const JobShape*, const WindowLoop*>(set);
  return dispatch<typename Rows::AnyWidth, const JobShape*, const WindowLoop*>(set);
}
template <class X, class Row>
WindowKernel window_kernel(const JobShape& job, Kernel kernel, InstructionSet set) {
  if (kernel == Kernel::mixed_pairings)
    return dispatch<RotateMixed<X, Row>, const JobShape*, const WindowLoop*>(set);
  return job.in_pairing == Pairing::half ? window_kernel_of<Pairing::half, X, Row>(kernel, set)
                                         : window_kernel_of<Pairing::interleaved, X, Row>(kernel, set);
}

/// Memory that a kernel reads and writes, whatever the scalars.
struct JobMemory {
  const char *in, *rows;
  char* out;
  Index scalar_bytes, row_bytes;
};

/// Calls the kernel for every group of heads of every block of tokens.
inline void run_windows(const JobShape& job, const InnermostAxes& axes, const Plan& plan,
                        const JobMemory& memory, WindowKernel kernel) {
  WindowLoop loop;
  loop.tokens = axes.tokens, loop.heads = axes.heads;
  loop.heads_per_pass = plan.heads_per_pass, loop.heads_together = plan.heads_together;
  loop.prefetch = plan.prefetch, loop.prefetch_windows = plan.prefetch_windows;
  loop.nontemporal = plan.nontemporal;
  const Loops loops(job, axes.taken);
  const Index heads = axes.heads.extent, group = plan.heads_per_group;
  const bool rows_return = group < heads || loops.sharing > 0;
  loops.run(
      axes.tokens, rows_return ? plan.tokens_per_block : axes.tokens.extent, [](Index, Index) {},
      [&](const Offsets& block, Index count) {
        loop.tokens.extent = count;
        loop.rows = memory.rows + block.row * memory.row_bytes;
        for (Index n = 0; n < heads; n += group) {
          const Offsets at = block.plus(axes.heads, n);
          loop.heads.extent = std::min(group, heads - n);
          loop.in = memory.in + at.in * memory.scalar_bytes;
          loop.out = memory.out + at.out * memory.scalar_bytes;
          kernel(&job, &loop);
        }
      });
}

/// Copies the features outside the window, one contiguous run of `length` elements after another.
template <class X, class Row>
void copy_untouched_runs(const RotationJob<X, Row>& job, Index length) {
  for (Index j = -job.untouched_before; j < 2 * job.pairs + job.untouched_after; ++j) {
    if (j == 0) j = 2 * job.pairs;  // the window itself
    if (j >= 2 * job.pairs + job.untouched_after) break;
    const X* const in = job.in + j * job.in_feature;
    X* const out = job.out + j * job.out_feature;
    for_each_index(job.axes.data(), job.axis_count - 1, {}, [&](const Offsets& at) {
      std::memcpy(static_cast<void*>(out + at.out), in + at.in, static_cast<std::size_t>(length) * sizeof(X));
    });
  }
}

/// Transposed rows for `rotate_by_tokens`, on the stack: those of a pair share the first level cache with what
/// they rotate, and so many pairs make their transposition worth its while.
inline constexpr Index kTransposedBytes = 8 * 1024, kTransposedPairs = 8;

/// Adjacent heads whose tokens are elsewhere: rows are used as they are.
template <class X, class Row>
void rotate_by_heads(const RotationJob<X, Row>& job, const InnermostAxes& axes, const Plan& plan,
                     const Loops& loops, LaneRun<X, Row>& run, InstructionSet set) {
  const JobAxis &heads = axes.heads, &tokens = axes.tokens;
  run.coefficient_pairs = pair_strides(job.row_pairing, job.pairs);
  run.in_step = tokens.in, run.out_step = tokens.out, run.coefficient_step = tokens.row;
  run.pairs = job.pairs;
  run.length = run.repeat = heads.extent;
  if (job.has_one_pairing() && job.in_feature == heads.extent && job.out_feature == heads.extent) {
    if (job.in_pairing == Pairing::half) {  // the heads of all pairs are one run
      run.pairs = 1;
      run.length = job.pairs * heads.extent;
    } else {
      run.alternating = true;
    }
  }
  const auto rotate = dispatch<RotateLanes<X, Row>, const LaneRun<X, Row>*>(set);
  loops.run(
      tokens, plan.tokens_per_block, [](Index, Index) {},
      [&](const Offsets& at, Index count) {
        run.in = job.in + at.in, run.out = job.out + at.out, run.coefficients = job.rows + at.row;
        run.runs = count;
        rotate(&run);
      });
}

/// Adjacent tokens, each of them `repeat` heads, take transposed rows: those of a block of tokens and a group
/// of pairs at a time, which serve all that shares them, first of all `heads`.
template <class X, class Row>
void rotate_by_tokens(const RotationJob<X, Row>& job, Index repeat, const JobAxis& heads,
                      const JobAxis& tokens, const Loops& loops, LaneRun<X, Row>& run, InstructionSet set) {
  // So few heads, and no power of two, would go one by one: their cosines are repeated in memory.
  const bool few = repeat < 16 / static_cast<Index>(sizeof(X)) && (repeat & (repeat - 1)) != 0;
  const Index copies = few ? repeat : 1;
  constexpr Index kTokens = kTransposedBytes / (2 * static_cast<Index>(sizeof(Row))),
                  kAligned = 64 / sizeof(Row);
  constexpr Index kNumbers = 2 * kTransposedPairs * (kTokens + kAligned);
  const Index block = std::min(tokens.extent, kTokens / copies);
  // One cache line more, so that runs are no multiple of 4 KiB apart.
  const Index step = (block * copies + 2 * kAligned - 1) / kAligned * kAligned;
  const Index group = std::min(job.pairs, kNumbers / (2 * step * kTransposedPairs) * kTransposedPairs);
  alignas(64) Registers<Row, kNumbers> transposed;
  run.coefficients = transposed;
  run.coefficient_pairs = pair_strides(job.row_pairing, group, step);
  run.runs = 1;
  run.repeat = few ? 1 : repeat;
  run.heads = heads.extent, run.in_head = heads.in, run.out_head = heads.out;
  const auto transpose = dispatch<TransposeRows<Row>, const Row*, Index, Index, Index, Row*, Index>(set);
  const auto transpose_numbers = [&](const Row* rows, Index numbers, Index count, Row* to) {
    if (!few) return transpose(rows, tokens.row, numbers, count, to, step);
    for (Index i = 0; i < numbers; ++i)
      for (Index n = 0; n < count; ++n)
        std::fill_n(to + i * step + n * repeat, repeat, rows[n * tokens.row + i]);
  };
  const auto rotate = dispatch<RotateLanes<X, Row>, const LaneRun<X, Row>*>(set);
  for (Index first = 0; first < job.pairs; first += group) {
    run.pairs = std::min(group, job.pairs - first);
    loops.run(
        tokens, block,
        [&](Index row, Index count) {
          const Row* const rows = job.rows + row;
          if (job.row_pairing == Pairing::half) {
            transpose_numbers(rows + first, run.pairs, count, transposed);
            transpose_numbers(rows + job.pairs + first, run.pairs, count, transposed + group * step);
          } else {
            transpose_numbers(rows + 2 * first, 2 * run.pairs, count, transposed);
          }
        },
        [&](const Offsets& at, Index count) {
          run.in = job.in + at.in + first * run.in_pairs.pair;
          run.out = job.out + at.out + first * run.out_pairs.pair;
          run.length = count * repeat;
          rotate(&run);
        });
  }
}

/// A job whose features are strided but whose innermost axis is contiguous.
template <class X, class Row>
ROTARY_NOINLINE void rotate_strided_features(const RotationJob<X, Row>& job, const InnermostAxes& axes,
                                             const Plan& plan, InstructionSet set) {
  const JobAxis &tokens = axes.tokens, &heads = axes.heads;
  const Loops loops(job, axes.taken);
  LaneRun<X, Row> run{};
  run.in_pairs = pair_strides(job.in_pairing, job.pairs, job.in_feature);
  run.out_pairs = pair_strides(job.out_pairing, job.pairs, job.out_feature);
  run.negate = job.negate_sin;
  run.prefetch = plan.prefetch;
  if (axes.tokens_inside) {
    rotate_by_tokens(job, 1, heads, tokens, loops, run, set);
  } else if (tokens.in == heads.extent && tokens.out == heads.extent) {
    rotate_by_tokens(job, heads.extent, JobAxis{1, 0, 0, 0}, tokens, loops, run, set);
  } else {
    rotate_by_heads(job, axes, plan, loops, run, set);
  }
  if (!job.in_place()) copy_untouched_runs(job, axes.tokens_inside ? tokens.extent : heads.extent);
}

/// A job with contiguous features.
template <class X, class Row>
ROTARY_NOINLINE void rotate_planned(RotationJob<X, Row>& job, const Machine& machine) {
  if (!axes_are_ordered(job)) order_axes(job);
  const InnermostAxes axes(job);
  const Plan how = plan(job, axes, scalars_of(job), tuning_of(machine.vendor), machine.instruction_set);
  if (how.kernel == Kernel::reference) return rotate_reference(job);
  run_windows(job, axes, how,
              {reinterpret_cast<const char*>(job.in), reinterpret_cast<const char*>(job.rows),
               reinterpret_cast<char*>(job.out), sizeof(X), sizeof(Row)},
              window_kernel<X, Row>(job, how.kernel, machine.instruction_set));
}

/// A job with strided features.
template <class X, class Row>
ROTARY_NOINLINE void rotate_strided(RotationJob<X, Row>& job, const Machine& machine) {
  if (!axes_are_ordered(job)) order_axes(job);
  const InnermostAxes axes(job);
  const Plan how = plan(job, axes, scalars_of(job), tuning_of(machine.vendor), machine.instruction_set);
  if (how.kernel != Kernel::strided_features) return rotate_reference(job);
  rotate_strided_features(job, axes, how, machine.instruction_set);
}

}  // namespace detail
#endif  // ROTARY_VECTOR_EXTENSIONS

#if ROTARY_VECTOR_EXTENSIONS
/// The kernel for the heads of one token, (first window, row, pairs, heads, stride of the heads). Null without a fused
/// multiply-add, and before the first rotation has looked at the processor.
template <class X, class Row>
auto one_token_kernel(Pairing pairing) -> void (*)(X*, const Row*, Index, Index, Index) {
  const InstructionSet set = known_instruction_set();
  if (!is_fused(set)) return nullptr;
  return pairing == Pairing::half ? dispatch<typename RotateRows<Pairing::half, X, Row>::OneToken, X*,
                                             const Row*, Index, Index, Index>(set)
                                  : dispatch<typename RotateRows<Pairing::interleaved, X, Row>::OneToken, X*,
                                             const Row*, Index, Index, Index>(set);
}
#endif

/// Rotates the heads of one token forward in place, if they are in cache and their windows are whole vectors. Else nothing
/// is done and the result is false: `rotate_contiguous` takes any job.
template <class X, class Row>
ROTARY_ALWAYS_INLINE bool rotate_one_token([[maybe_unused]] X* x, [[maybe_unused]] const Row* row,
                                           [[maybe_unused]] Pairing pairing, [[maybe_unused]] Index pairs,
                                           [[maybe_unused]] Index heads, [[maybe_unused]] Index head_stride) {
#if ROTARY_VECTOR_EXTENSIONS
  // The features of the widest vectors: those of 16-bit scalars may be two vectors of floats.
  constexpr Index kWidest = 64 / sizeof(rotary::detail::Arithmetic<X, Row>) * (sizeof(X) == 2 ? 2 : 1);
  if (stream_length(pairing, pairs) % kWidest != 0 || heads * pairs >= kPlannedPairs) [[unlikely]]
    return false;
  const auto kernel = one_token_kernel<X, Row>(pairing);
  if (kernel == nullptr) [[unlikely]]
    return false;
  kernel(x, row, pairs, heads, head_stride);
  return true;
#else
  return false;
#endif
}

/// out = R in for a job whose features are contiguous, with the bits of `rotate_reference`: `rotate` without the kernels
/// for strided features, which are a third of the code. The axes of the job are put into another order.
template <class X, class Row>
void rotate_contiguous(RotationJob<X, Row>&& job) {
#if ROTARY_VECTOR_EXTENSIONS
  const Machine machine = kernels::machine();
  // One token in cache: nothing to plan, and every instruction counts.
  const bool one_token = job.axis_count == 0 || (job.axis_count == 1 && job.axes[0].row == 0 &&
                                                 job.axes[0].extent * job.pairs < kPlannedPairs);
  if (one_token && job.second_row == 0) [[likely]] {
    Kernel kernel = Kernel::fixed_width;
    if (!job.in_place() || !job.has_one_pairing())
      kernel = detail::kernel_in_cache(job, job.axis_count == 0 ? 1 : job.axes[0].extent, sizeof(X),
                                       job.in_place(), tuning_of(machine.vendor));
    if (kernel != Kernel::reference) [[likely]]
      return detail::window_kernel<X, Row>(job, kernel, machine.instruction_set)(&job, nullptr);
  }
  detail::rotate_planned(job, machine);
#else
  rotate_reference(job);
#endif
}

/// out = R in, with the bits of `rotate_reference`. The axes of the job are put into another order.
template <class X, class Row>
void rotate(RotationJob<X, Row>&& job) {
  if (job.in_feature == 1 && job.out_feature == 1) return rotate_contiguous(std::move(job));
#if ROTARY_VECTOR_EXTENSIONS
  detail::rotate_strided(job, kernels::machine());
#else
  rotate_reference(job);
#endif
}
template <class X, class Row>
void rotate(const RotationJob<X, Row>& job) {
  rotate(RotationJob<X, Row>(job));
}

}  // namespace rotary::inline ROTARY_ABI::kernels
