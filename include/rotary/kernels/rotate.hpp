// The rotation kernel that everything calls.
#pragma once

#include <algorithm>

#include "job_axes.hpp"
#include "rotate_lanes.hpp"
#include "rotate_reference.hpp"
#include "rotate_rows.hpp"
#include "transpose_rows.hpp"

namespace rotary::inline ROTARY_ABI::kernels {

#if ROTARY_VECTOR_EXTENSIONS

/// Table rows that a block of positions may fill, so that they stay in the second level cache while all heads
/// pass by. Smaller blocks would have memory read in shorter pieces, which took twice the time.
inline constexpr Index kBlockBytes = 256 * 1024;

/// Transposed rows for `rotate_lanes`, on the stack: those of a pair share the first level cache with what
/// they turn, and a number of pairs makes their transposition worth its while.
inline constexpr Index kLineBytes = 8 * 1024, kLinePairs = 8;

/// Heads far apart in memory that are turned together, and more of them until their windows are so many
/// bytes: each reads and writes at a place of its own, but fewer of them load a row more often.
inline constexpr Index kHeadsApart = 4, kBytesApart = 2048;

/// What is larger is taken to lie in memory, and windows wider than this to be fetched in order from there.
inline constexpr Index kCachedBytes = 8 * 1024 * 1024;
inline constexpr Index kWideBytes = 512;

/// How far ahead windows in memory are asked for, where that helps: of heads far apart, of which several are
/// on their way at once, and of heads next to each other, which pass by a part of a row so many at a time.
inline constexpr Index kAheadApart = 2048, kAheadNear = 8192;
/// The same of lines of features that lie apart: of tokens, a block of which is no longer than that, and of
/// heads of a token after the other.
inline constexpr Index kAheadOfTokens = 1024, kAheadOfHeads = 4096;

namespace detail {

/// Does every window that is written, and each of its halves, start with a cache line?
template <class X, class Row>
bool starts_on_lines(const RotationJob<X, Row>& job, Pairing pairing) {
  constexpr Index kLine = 64 / static_cast<Index>(sizeof(X));
  bool starts = reinterpret_cast<std::uintptr_t>(job.out) % 64 == 0;
  for (int n = 0; n < job.axis_count; ++n)
    starts = starts && job.axes[static_cast<std::size_t>(n)].out % kLine == 0;
  return starts && stream_length(pairing, job.pairs) % kLine == 0;
}

/// Copies what lies around the windows of a run, features being contiguous.
template <class X, class Row>
void copy_untouched(const RotationJob<X, Row>& job, const WindowRun<X, Row>& run) {
  const auto before = static_cast<std::size_t>(job.untouched_before),
             after = static_cast<std::size_t>(job.untouched_after);
  const JobAxis &tokens = *run.loop.tokens, &heads = *run.loop.heads;
  for (Index n = 0; n < run.count; ++n) {
    for (Index w = 0; w < run.windows; ++w) {
      const X* const in = run.in + n * tokens.in + w * heads.in;
      X* const out = run.out + n * tokens.out + w * heads.out;
      std::memcpy(static_cast<void*>(out - before), in - before, before * sizeof(X));
      std::memcpy(static_cast<void*>(out + 2 * job.pairs), in + 2 * job.pairs, after * sizeof(X));
    }
  }
}

/// How many tokens' rows of `numbers` fill a block.
template <class Row>
Index block_of(Index numbers) {
  return std::max<Index>(1, kBlockBytes / (numbers * static_cast<Index>(sizeof(Row))));
}

/// The loops of `rotate_rows` where one run does not do: `group` heads at a time.
template <class X, class Row, class Turn_>
ROTARY_NOINLINE void rotate_runs(const RotationJob<X, Row>& job, const InnermostAxes& innermost, Index group,
                                 const WindowLoop& loop, Turn_ turn) {
  const JobAxis &tokens = *innermost.tokens, &heads = *innermost.heads;
  const bool copies = !job.in_place() && job.untouched_before + job.untouched_after != 0;
  const Loops<X, Row> loops(job, innermost.taken);
  const bool rows_return = group < heads.extent || loops.sharing > 0;
  loops.run(
      job, tokens, rows_return ? block_of<Row>(2 * job.pairs) : tokens.extent, [](const Row*, Index) {},
      [&](const X* in, X* out, const Row* row, Index count) {
        for (Index n = 0; n < heads.extent; n += group) {
          const WindowRun<X, Row> run{
              loop, in + n * heads.in, out + n * heads.out, row, count, std::min(group, heads.extent - n)};
          turn(&loop, run.in, run.out, run.row, run.count, run.windows);
          if (copies) copy_untouched(job, run);
        }
      });
}

/// Copies what lies around the windows of a whole job, if they went to another tensor.
template <class X, class Row>
void copy_untouched_of(const RotationJob<X, Row>& job, const WindowLoop& loop) {
  if (job.in_place() || job.untouched_before + job.untouched_after == 0) return;
  copy_untouched(job,
                 WindowRun<X, Row>{loop, job.in, job.out, job.rows, loop.tokens->extent, loop.heads->extent});
}

/// What so many windows read, and write elsewhere.
template <class X, class Row>
Index bytes_of(const RotationJob<X, Row>& job, Index windows) {
  return (job.in_place() ? 2 : 4) * job.pairs * static_cast<Index>(sizeof(X)) * windows;
}

/// All windows of a job whose features are contiguous: tokens along the innermost axis of which every index
/// has its row, and for each of them some of the heads that share it.
template <Pairing kPairing, class X, class Row>
ROTARY_NOINLINE void rotate_many_rows(const RotationJob<X, Row>& job) {
  using Kernels = RotateRun<kPairing, X, Row>;
  const InnermostAxes innermost(job);
  const JobAxis &tokens = *innermost.tokens, &heads = *innermost.heads;
  const Index window_bytes = 2 * job.pairs * static_cast<Index>(sizeof(X));
  const bool in_memory = bytes_of(job, tokens.extent * heads.extent * innermost.others) > kCachedBytes;
  const bool near = tokens.extent == 1 || heads.out < tokens.out;
  const bool apart = !near && !in_memory && heads.extent > 1 && can_turn_apart<X, Row>(job.pairs);
  // Heads next to each other pass by all at once; those far apart a few at a time.
  const Index group = near || apart
                          ? heads.extent
                          : std::min(heads.extent, std::max(kHeadsApart, kBytesApart / window_bytes));
  WindowLoop loop{job.pairs, &tokens, &heads, job.negate_sin};
  auto turn = Kernels::template kernel<typename Kernels::Whole>();
  if (in_memory) {
    loop.stream = !job.in_place() && starts_on_lines(job, kPairing);
    if (cores() == Cores::intel) {
      loop.ahead = near ? kAheadNear : kAheadApart;
      loop.pass = near ? std::max<Index>(1, kAheadNear / window_bytes) : group;
    } else {
      loop.fetch_in_order = window_bytes > kWideBytes;
      if (loop.fetch_in_order || loop.stream) loop.pass = near ? 1 : group;  // in the order of memory
    }
    if (loop.ahead > 0 || loop.stream) {
      turn = Kernels::template kernel<typename Kernels::Far>();
    } else if (loop.fetch_in_order) {
      turn = Kernels::template kernel<typename Kernels::InParts>();
    }
  } else if (apart) {
    // The fewer lines are open at once, the better for those that come back where they were; but a row that
    // has to be shuffled is worth more heads, and so are results that go elsewhere, if not to all processors.
    loop.two_apart = job.in_place() ? kPairing == Pairing::half : cores() == Cores::intel;
    turn = Kernels::template kernel<typename Kernels::Apart>();
  }
  const bool all = innermost.taken + 1 == 1u << job.axis_count;
  if (!all || group < heads.extent) return rotate_runs(job, innermost, group, loop, turn);
  turn(&loop, job.in, job.out, job.rows, tokens.extent, heads.extent);
  copy_untouched_of(job, loop);
}

/// The same, and one token's heads without all that there is to decide about more of them.
template <Pairing kPairing, class X, class Row>
void rotate_rows(const RotationJob<X, Row>& job) {
  using Kernels = RotateRun<kPairing, X, Row>;
  const JobAxis& heads = job.axis_count == 0 ? InnermostAxes::kNone : job.axes[0];
  if (job.axis_count > 1 || heads.row != 0 || bytes_of(job, heads.extent) > kCachedBytes)
    return rotate_many_rows<kPairing>(job);
  const WindowLoop loop{job.pairs, &InnermostAxes::kNone, &heads, job.negate_sin};
  Kernels::template kernel<typename Kernels::Whole>()(&loop, job.in, job.out, job.rows, 1, heads.extent);
  copy_untouched_of(job, loop);
}

/// Copies the features outside the window, one line of neighbours after another.
template <class X, class Row>
void copy_untouched_lines(const RotationJob<X, Row>& job, Index length) {
  for (Index j = -job.untouched_before; j < 2 * job.pairs + job.untouched_after; ++j) {
    if (j == 0) j = 2 * job.pairs;  // the window itself
    if (j >= 2 * job.pairs + job.untouched_after) break;
    for_each_index(job.axes.data(), job.axis_count - 1, job.in + j * job.in_feature,
                   job.out + j * job.out_feature, job.rows, [&](const X* in, X* out, const Row*) {
                     std::memcpy(static_cast<void*>(out), in, static_cast<std::size_t>(length) * sizeof(X));
                   });
  }
}

/// Heads that are neighbours while their tokens are elsewhere turn by rows as they are.
template <class X, class Row>
void rotate_lanes_by_rows(const RotationJob<X, Row>& job, const JobAxis& heads, const JobAxis& tokens,
                          const Loops<X, Row>& loops, LaneRun<X, Row>& run) {
  run.coefficient_pairs = pair_strides(job.in_pairing, job.pairs);
  run.in_step = tokens.in, run.out_step = tokens.out, run.coefficient_step = tokens.row;
  run.pairs = job.pairs;
  run.length = run.repeat = heads.extent;
  if (job.in_feature == heads.extent && job.out_feature == heads.extent) {
    if (job.in_pairing == Pairing::half) {  // the heads of all pairs are one line
      run.pairs = 1;
      run.length = job.pairs * heads.extent;
    } else {
      run.by_turns = true;
    }
  }
  const auto turn = compiled<RotateLanes<X, Row>, const LaneRun<X, Row>*>();
  loops.run(
      job, tokens, block_of<Row>(2 * job.pairs), [](const Row*, Index) {},
      [&](const X* in, X* out, const Row* row, Index count) {
        run.in = in, run.out = out, run.coefficients = row, run.lines = count;
        turn(&run);
      });
}

/// Tokens that are neighbours, each of them `repeat` heads, turn by transposed rows: those of a block of
/// tokens and a group of pairs at a time, which serve all that shares them, first of all `heads`.
template <class X, class Row>
void rotate_lanes_by_tokens(const RotationJob<X, Row>& job, Index repeat, const JobAxis& heads,
                            const JobAxis& tokens, const Loops<X, Row>& loops, LaneRun<X, Row>& run) {
  // So few heads, and no power of two, would go one by one: their cosines are repeated in memory.
  const bool few = repeat < 16 / static_cast<Index>(sizeof(X)) && (repeat & (repeat - 1)) != 0;
  const Index copies = few ? repeat : 1;
  constexpr Index kTokens = kLineBytes / (2 * static_cast<Index>(sizeof(Row))), kAligned = 64 / sizeof(Row);
  constexpr Index kNumbers = 2 * kLinePairs * (kTokens + kAligned);
  const Index block = std::min(tokens.extent, kTokens / copies);
  // One cache line more, so that lines are no multiple of 4 KiB apart.
  const Index step = (block * copies + 2 * kAligned - 1) / kAligned * kAligned;
  const Index group = std::min(job.pairs, kNumbers / (2 * step * kLinePairs) * kLinePairs);
  alignas(64) Row lines[kNumbers];
  run.coefficients = lines;
  run.coefficient_pairs = pair_strides(job.in_pairing, group, step);
  run.lines = 1;
  run.repeat = few ? 1 : repeat;
  run.heads = heads.extent, run.in_head = heads.in, run.out_head = heads.out;
  const auto transpose = compiled<TransposeRows<Row>, const Row*, Index, Index, Index, Row*, Index>();
  const auto transpose_numbers = [&](const Row* rows, Index numbers, Index count, Row* to) {
    if (!few) return transpose(rows, tokens.row, numbers, count, to, step);
    for (Index i = 0; i < numbers; ++i)
      for (Index n = 0; n < count; ++n)
        std::fill_n(to + i * step + n * repeat, repeat, rows[n * tokens.row + i]);
  };
  const auto turn = compiled<RotateLanes<X, Row>, const LaneRun<X, Row>*>();
  for (Index first = 0; first < job.pairs; first += group) {
    run.pairs = std::min(group, job.pairs - first);
    loops.run(
        job, tokens, block,
        [&](const Row* rows, Index count) {
          if (job.in_pairing == Pairing::half) {
            transpose_numbers(rows + first, run.pairs, count, lines);
            transpose_numbers(rows + job.pairs + first, run.pairs, count, lines + group * step);
          } else {
            transpose_numbers(rows + 2 * first, 2 * run.pairs, count, lines);
          }
        },
        [&](const X* in, X* out, const Row*, Index count) {
          run.in = in + first * run.in_pairs.pair, run.out = out + first * run.out_pairs.pair;
          run.length = count * repeat;
          turn(&run);
        });
  }
}

/// A job whose features lie apart but whose innermost axis is contiguous; false if it is not of that kind.
template <class X, class Row>
bool rotate_lanes(const RotationJob<X, Row>& job) {
  if (job.axis_count == 0) return false;
  const JobAxis& line = job.axes[static_cast<std::size_t>(job.axis_count - 1)];
  if (line.in != 1 || line.out != 1) return false;

  const InnermostAxes innermost(job);
  const JobAxis &tokens = *innermost.tokens, &heads = *innermost.heads;
  const Loops<X, Row> loops(job, innermost.taken);
  LaneRun<X, Row> run{};
  run.in_pairs = pair_strides(job.in_pairing, job.pairs, job.in_feature);
  run.out_pairs = pair_strides(job.in_pairing, job.pairs, job.out_feature);
  run.backwards = job.negate_sin;
  if (cores() == Cores::intel &&
      bytes_of(job, tokens.extent * heads.extent * innermost.others) > kCachedBytes)
    run.ahead = &line == &tokens ? kAheadOfTokens : kAheadOfHeads;
  if (&line == &tokens) {
    rotate_lanes_by_tokens(job, 1, heads, tokens, loops, run);
  } else if (tokens.in == heads.extent && tokens.out == heads.extent) {
    rotate_lanes_by_tokens(job, heads.extent, InnermostAxes::kNone, tokens, loops, run);
  } else {
    rotate_lanes_by_rows(job, heads, tokens, loops, run);
  }
  if (!job.in_place()) copy_untouched_lines(job, line.extent);
  return true;
}

}  // namespace detail
#endif  // ROTARY_VECTOR_EXTENSIONS

/// out = R in. The same numbers as `rotate_reference`, bit for bit where the instruction set has a fused
/// multiply-add. The axes of the job are put into another order.
template <class X, class Row>
void rotate(RotationJob<X, Row>&& job) {
#if ROTARY_VECTOR_EXTENSIONS
  if (job.second_row == 0 && job.pairs > 0 && job.in_pairing == job.out_pairing &&
      job.in_pairing == job.row_pairing) {
    if (!detail::axes_are_ordered(job)) detail::order_axes(job);
    if (job.in_feature == 1 && job.out_feature == 1) {
      return job.in_pairing == Pairing::half ? detail::rotate_rows<Pairing::half>(job)
                                             : detail::rotate_rows<Pairing::interleaved>(job);
    }
    if (detail::rotate_lanes(job)) return;
  }
#endif
  rotate_reference(job);
}
template <class X, class Row>
void rotate(const RotationJob<X, Row>& job) {
  rotate(RotationJob<X, Row>(job));
}

}  // namespace rotary::inline ROTARY_ABI::kernels
