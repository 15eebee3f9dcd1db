// The calls that an inference engine makes, against loops written by hand for each case; and ways to name
// positions against a plain offset. These are the goals of speed that bench/run.sh prints first.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <rotary/frequencies/mrope_axes.hpp>
#include <rotary/positions/token_positions.hpp>

#include "support/hand_loops.hpp"
#include "support/measured_tensor.hpp"

namespace {

using namespace bench;
using rotary::HeadLayout;
using rotary::Positions;
using rotary::StridedView;

template <class X>
constexpr HandScalar hand_scalar() {
  if (std::is_same_v<X, float>) return HandScalar::float32;
  if (std::is_same_v<X, double>) return HandScalar::float64;
  return std::is_same_v<X, Eigen::half> ? HandScalar::half : HandScalar::bfloat16;
}

/// What a case of a model looks like: its tensors and the features that rotate.
struct Setting {
  const char* name;
  Index batch, heads, seq, head_dim, rotary_dim, start = 0;
  Index key_heads = 0;  ///< with keys, in the same call
  Pairing pairing = Pairing::half;
  bool writes_half = false, in_place = true;
  Order order = Order::heads_first;
  std::vector<std::int32_t> positions = {0};  ///< of the first token, or of that of every sequence

  int seq_axis() const { return order == Order::heads_first ? 2 : 1; }
  HeadLayout layout() const {
    HeadLayout layout{
        .start_index = start, .pairing = pairing, .seq_dim = order == Order::heads_first ? -2 : -3};
    if (writes_half) layout.output_pairing = Pairing::half;
    return layout;
  }
};

/// The tensors of a setting, the rows that the hand loops have, and an embedding.
template <class X>
struct Engine {
  using Row = RowOf<X>;
  using Map = Eigen::TensorMap<rotary::Tensor<X, 4>>;

  Setting is;
  Buffer<X> q, k, q_out;
  std::vector<Row> cos, sin;
  std::vector<std::int32_t> first_rows;
  rotary::RotaryEmbedding<Row> rotary_emb;

  explicit Engine(const Setting& setting)
      : is(setting),
        q(setting.batch * setting.heads * setting.seq * setting.head_dim),
        k(setting.batch * setting.key_heads * setting.seq * setting.head_dim),
        q_out(setting.in_place ? 0 : q.size()),
        rotary_emb(rotary::language_frequencies(setting.rotary_dim), setting.layout()) {
    for (std::size_t b = 0; b < is.positions.size(); ++b) {
      first_rows.push_back(static_cast<std::int32_t>(static_cast<Index>(b) * is.seq));
      const rotary::CosSinTable<Row> table(rotary::language_frequencies(is.rotary_dim),
                                           Positions::consecutive(is.seq, is.positions[b]));
      for (Index n = 0; n < is.seq; ++n) {
        for (Index i = 0; i < is.rotary_dim / 2; ++i) {
          cos.push_back(table.cos(n, i));
          sin.push_back(table.sin(n, i));
        }
      }
    }
  }

  Map map(Buffer<X>& buffer, Index heads) const {
    return is.order == Order::heads_first ? Map(buffer.data(), is.batch, heads, is.seq, is.head_dim)
                                          : Map(buffer.data(), is.batch, is.seq, heads, is.head_dim);
  }
  Map queries() { return map(q, is.heads); }
  Map keys() { return map(k, is.key_heads); }
  Map output() { return map(is.in_place ? q : q_out, is.heads); }

  double bytes() const {
    const Index tokens = is.batch * is.seq, rotated = is.in_place ? is.rotary_dim : is.head_dim;
    return 2.0 * sizeof(X) * static_cast<double>(tokens * (is.heads + is.key_heads) * rotated);
  }

  /// A hand loop for both tensors, or nothing where there is none.
  std::function<void(Index)> by_hand(HandLoop (*maker)(const HandCase&)) {
    const HandLoop loop = maker({.scalar = hand_scalar<X>(),
                                 .half_pairs = is.pairing == Pairing::half,
                                 .writes_half = is.writes_half,
                                 .in_place = is.in_place,
                                 .tokens_first = is.order == Order::seq_first,
                                 .head_dim = static_cast<int>(is.head_dim),
                                 .rotary_dim = static_cast<int>(is.rotary_dim),
                                 .start = static_cast<int>(is.start)});
    if (loop == nullptr) return {};
    const auto tensor = [this](Buffer<X>& from, Buffer<X>& to, Index heads) {
      return HandTensor{.in = from.data(),
                        .out = to.data(),
                        .batch = is.batch,
                        .heads = heads,
                        .seq = is.seq,
                        .cos = cos.data(),
                        .sin = sin.data(),
                        .first_rows = is.positions.size() > 1 ? first_rows.data() : nullptr};
    };
    const HandTensor of_q = tensor(q, is.in_place ? q : q_out, is.heads), of_k = tensor(k, k, is.key_heads);
    if (is.key_heads == 0) return repeated([loop, of_q] { loop(of_q); });
    return repeated([loop, of_q, of_k] {
      loop(of_q);
      loop(of_k);
    });
  }

  /// What is wrong with the result of one call of `work`, or nothing; restores the tensors.
  std::string check(const std::function<void(Index)>& work) {
    const Buffer<X> q_before(q), k_before(k);
    Buffer<X> want_q(q), want_k(k);
    rotate_by_reference(want_q, is.heads);
    rotate_by_reference(want_k, is.key_heads);
    std::fill_n(q_out.data(), q_out.size(), static_cast<X>(0));
    work(1);
    std::string wrong = difference(is.in_place ? q : q_out, want_q);
    if (wrong.empty()) wrong = difference(k, want_k);
    q = q_before;
    k = k_before;
    return wrong;
  }

 private:
  void rotate_by_reference(Buffer<X>& x, Index heads) const {
    if (heads == 0) return;
    auto tensor = map(x, heads);
    const auto view = rotary::view_of(tensor);
    for (Index b = 0; b < is.batch; ++b) {
      const StridedView<X> sequence = view.slice(0, b, 1).slice(3, is.start, is.rotary_dim);
      const Rotation how{is.pairing, is.rotary_dim, is.seq_axis(),
                         is.positions[is.positions.size() > 1 ? static_cast<std::size_t>(b) : 0]};
      bench::rotate_by_reference(sequence, how);
      if (is.writes_half) write_half(sequence);
    }
  }
  /// Interleaved pairs made halves.
  void write_half(const StridedView<X>& x) const {
    std::vector<X> head(static_cast<std::size_t>(is.rotary_dim));
    for (Index h = 0; h < x.extent(1); ++h) {
      for (Index n = 0; n < x.extent(2); ++n) {
        X* const at = x.data + h * x.stride(1) + n * x.stride(2);
        for (Index i = 0; i < is.rotary_dim; ++i)
          head[static_cast<std::size_t>(i / 2 + i % 2 * (is.rotary_dim / 2))] = at[i];
        std::copy(head.begin(), head.end(), at);
      }
    }
  }
};

/// `ours(engine)` is called again and again, against the hand loops of all compilers that were found.
template <class X, class F>
void add_by_hand(const std::string& name, const std::string& row, Goal goal, const Setting& setting, F ours) {
  add({"hand/" + name, row, "the hand loop", goal}, [=] {
    const auto of = std::make_shared<Engine<X>>(setting);
    const auto measured = repeated([of, ours]() mutable { ours(*of); });
    std::vector<std::function<void(Index)>> loops;
    const auto found = [&](HandLoop (*maker)(const HandCase&)) {
      if (auto loop = of->by_hand(maker)) loops.push_back([of, loop](Index times) { loop(times); });
    };
#if ROTARY_BENCH_HAND_GCC
    found(hand_loop_gcc);
#endif
#if ROTARY_BENCH_HAND_CLANG
    found(hand_loop_clang);
#endif
    if (loops.empty()) {
      std::fprintf(stderr, "%s: there is no hand loop\n", name.c_str());
      std::abort();
    }
    Comparison comparison{measured, loops[0], {}, of->bytes(), of->bytes()};
    comparison.more_baselines.assign(loops.begin() + 1, loops.end());
    comparison.check = [of, measured, loops] {
      std::string wrong = of->check(measured);
      for (const auto& loop : loops)
        if (const std::string other = of->check(loop); !other.empty()) wrong += " the hand loop: " + other;
      return wrong;
    };
    return comparison;
  });
}

template <class X>
std::string text(const Setting& is) {
  return name_of(is.pairing) + "/" + kName<X> + (is.in_place ? "/in_place/" : "/out_of_place/") + is.name +
         suffix(is.order);
}

/// One call by offset, in place or not.
template <class X>
void rotate_all(Engine<X>& of) {
  auto x = of.queries();
  if (of.is.in_place) {
    of.rotary_emb.rotate_in_place(x, of.is.positions[0]);
  } else {
    of.rotary_emb.rotate_into(x, of.output(), of.is.positions[0]);
  }
}

template <class X>
void add_contiguous() {
  const Shape memory = memory_shape();
  for (const Shape& shape : {kDecode, kSmall, kCache, memory}) {
    for (const Order order : kOrders) {
      for (const Pairing pairing : kPairings) {
        for (const bool in_place : {true, false}) {
          Setting is{shape.name, shape.batch, shape.heads, shape.seq, shape.head_dim, shape.head_dim};
          is.pairing = pairing, is.in_place = in_place, is.order = order;
          is.positions = {static_cast<std::int32_t>(shape.offset)};
          add_by_hand<X>("contiguous/" + text<X>(is), "contiguous, all scalars (1, less the noise)",
                         at_least(0.97), is, rotate_all<X>);
        }
      }
    }
  }
}

/// Windows of 64 features: out of place, and in place in 16 bits.
template <class X>
void add_windows(bool in_place) {
  for (Setting is :
       {Setting{"64_of_128", 1, 8, 1024, 128, 64}, Setting{"64_of_192", 1, 16, 1024, 192, 64, 128}}) {
    for (const Order order : kOrders) {
      if (in_place && order == Order::seq_first) continue;
      for (const Pairing pairing : kPairings) {
        is.pairing = pairing, is.in_place = in_place, is.order = order;
        add_by_hand<X>("windows/" + text<X>(is),
                       in_place ? "bfloat16 and half in place, strided heads, cache"
                                : "out of place, 64 of 128 and of 192 features, all scalars",
                       at_least(1), is, rotate_all<X>);
      }
    }
  }
}

template <class X>
void add_strided_heads() {
  for (const Pairing pairing : kPairings) {
    Setting is{kCache.name, kCache.batch, kCache.heads, kCache.seq, kCache.head_dim, kCache.head_dim};
    is.pairing = pairing;
    add_by_hand<X>("strided_heads/" + text<X>(is), "bfloat16 and half in place, strided heads, cache",
                   at_least(1), is, rotate_all<X>);
  }
  add_windows<X>(true);
}

Setting decode(const char* name, Index batch, std::vector<std::int32_t> positions, Pairing pairing) {
  Setting is{name, batch, 32, 1, 128, 128, 0, 8};
  is.pairing = pairing;
  is.positions = std::move(positions);
  return is;
}

template <class X>
void add_listed(Pairing pairing) {
  const Setting one = decode("token_at_listed_id", 1, {1000}, pairing);
  const auto by_id = [](Engine<X>& of) {
    auto q = of.queries(), k = of.keys();
    of.rotary_emb.rotate_queries_and_keys_in_place(q, k, of.is.positions);
  };
  add_by_hand<X>(text<X>(one), "one token of 32 + 8 heads at a listed id", at_least(1), one, by_id);
  add({"hand/" + text<X>(one) + "/of_offset", "one token of 32 + 8 heads at a listed id",
       "our call by offset", at_most(1.15)},
      [=] {
        const auto of = std::make_shared<Engine<X>>(one);
        const auto measured = repeated([of, by_id] { by_id(*of); });
        const auto offset_call = repeated([of, q = of->queries(), k = of->keys()]() mutable {
          of->rotary_emb.rotate_queries_and_keys_in_place(q, k, of->is.positions[0]);
        });
        return Comparison{measured, offset_call, [of, measured] { return of->check(measured); }, of->bytes(),
                          of->bytes()};
      });
  const Setting eight = decode("8_sequences", 8, {1000, 17, 4096, 333, 2048, 5, 8000, 1234}, pairing);
  add_by_hand<X>(text<X>(eight), "8 sequences at their own positions, 32 + 8 heads in one call", at_least(1),
                 eight, [](Engine<X>& of) {
                   auto q = of.queries(), k = of.keys();
                   of.rotary_emb.rotate_queries_and_keys_in_place(q, k,
                                                                  Positions::per_sequence(of.is.positions));
                 });
}

template <class X>
void add_one_head(Pairing pairing) {
  Setting is{"one_head", 1, 1, 1, 128, 128};
  is.pairing = pairing;
  is.positions = {1000};
  const std::string row = "one head of one token";
  add_by_hand<X>(text<X>(is) + "/rotate_in_place", row, at_least(0.7), is, [](Engine<X>& of) {
    of.rotary_emb.rotate_in_place(StridedView<X>(of.q.data(), {1, 128}), 1000);
  });
  add_by_hand<X>(text<X>(is) + "/rotate_token_in_place", row, at_least(0.7), is, [](Engine<X>& of) {
    of.rotary_emb.rotate_token_in_place(StridedView<X>(of.q.data(), {1, 128}), 1000);
  });
}

void add_deepseek() {
  for (const Index seq : {1, 1024}) {
    Setting is{
        seq == 1 ? "64_of_192_128_heads" : "64_of_192_128_heads_1024_tokens", 1, 128, seq, 192, 64, 128};
    is.pairing = Pairing::interleaved;
    is.writes_half = true;
    add_by_hand<float>("read_interleaved_write_half/" + text<float>(is),
                       "read interleaved, write half, 64 of 192, 128 heads", at_least(0.9), is,
                       rotate_all<float>);
  }
}

// --- our own calls against each other ----------------------------------------------------------------------------

/// Positions of a loop over tokens: every call has a new one, or 32 layers share each.
struct Steps {
  Index per_token = 1, calls = 0;
  Index first = 0, count = 4096;

  Index next() { return first + calls++ / per_token % count; }
};
constexpr Index kLayers = 32;

/// `special(engine, position)` against `plain(engine, position)`, decoding one token of 32 heads in place.
/// Both are checked at position 1000, which `special` gets as `at_1000`.
template <class F, class G>
void add_decode(const std::string& name, const std::string& row, const std::string& baseline, double bound,
                Index per_token, Index first, F special, G plain) {
  for (const Pairing pairing : kPairings) {
    add({"hand/" + name + "/" + name_of(pairing) + (per_token == 1 ? "/new_position" : "/32_layers"),
         row + (per_token == 1 ? ", every call" : ", 32 layers"), baseline, at_most(bound)},
        [=] {
          Setting is = decode("decode", 1, {1000}, pairing);
          is.key_heads = 0;
          const auto of = std::make_shared<Engine<float>>(is);
          const auto state = std::make_shared<decltype(special(pairing))>(special(pairing));
          auto measured = repeated([of, state, steps = Steps{per_token, 0, first}]() mutable {
            state->rotate(*of, steps.next());
          });
          const auto baseline_steps =
              repeated([of, plain, steps = Steps{per_token, 0, 0}]() mutable { plain(*of, steps.next()); });
          const auto check = [of, state] { return of->check([&](Index) { state->rotate(*of, 1000); }); };
          return Comparison{measured, baseline_steps, check, of->bytes(), of->bytes()};
        });
  }
}

void by_offset(Engine<float>& of, Index position) {
  auto x = of.queries();
  of.rotary_emb.rotate_in_place(x, position);
}

/// An embedding of three axes, and tokens that have a time, a height and a width. Checked with all the same.
struct Mrope {
  rotary::RotaryEmbedding<float> rotary_emb;

  explicit Mrope(Pairing pairing)
      : rotary_emb(
            rotary::on_axes(rotary::language_frequencies(128), rotary::mrope_axes_chunked({16, 24, 24}), 3),
            {.pairing = pairing}) {}

  void rotate(Engine<float>& of, Index position) const {
    const std::int64_t t = position, h = position + (position == 1000 ? 0 : 3),
                       w = position + (position == 1000 ? 0 : 7);
    const std::array axes{rotary::AxisPositions::listed(std::span<const std::int64_t>(&t, 1)),
                          rotary::AxisPositions::listed(std::span<const std::int64_t>(&h, 1)),
                          rotary::AxisPositions::listed(std::span<const std::int64_t>(&w, 1))};
    auto x = of.queries();
    rotary_emb.rotate_in_place(x, Positions::together(axes));
  }
};

struct Uncached {
  rotary::RotaryEmbedding<float> rotary_emb;

  /// Rows from 0 to 7 alone are cached.
  explicit Uncached(Pairing pairing)
      : rotary_emb(rotary::language_frequencies(128), {.pairing = pairing}, 8) {}

  void rotate(Engine<float>& of, Index position) const {
    auto x = of.queries();
    rotary_emb.rotate_in_place(x, position);
  }
};

/// A scale of −1, which does not change the size of numbers. Two calls are checked, whose scale is 1.
struct Scaled {
  explicit Scaled(Pairing) {}

  void rotate(Engine<float>& of, Index position) const {
    auto x = of.queries();
    of.rotary_emb.rotate_in_place(x, position, {.scale = -1});
    if (position == 1000)
      for (Index i = 0; i < of.q.size(); ++i) of.q.data()[i] = -of.q.data()[i];
  }
};

/// A tensor of many tokens, one way against another.
template <class F, class G>
void add_prefill(const std::string& name, const std::string& row, const std::string& baseline, double bound,
                 const Shape& shape, F special, G plain) {
  for (const Pairing pairing : kPairings) {
    add({"hand/" + name + "/" + name_of(pairing) + "/" + shape.name, row, baseline, at_most(bound)}, [=] {
      Setting is{shape.name, shape.batch, shape.heads, shape.seq, shape.head_dim, shape.head_dim};
      is.pairing = pairing;
      const auto of = std::make_shared<Engine<float>>(is);
      const auto measured = repeated([of, special] { special(*of); });
      const auto check = [of, measured] { return of->check(measured); };
      return Comparison{measured, repeated([of, plain] { plain(*of); }), check, of->bytes(), of->bytes()};
    });
  }
}

void add_positions() {
  for (const Index per_token : {Index{1}, kLayers}) {
    add_decode(
        "mrope_decode", "M-RoPE decode, three coordinates", "our call by offset", 1.6, per_token, 1001,
        [](Pairing pairing) { return Mrope(pairing); }, by_offset);
    add_decode(
        "beyond_cached_rows", "position beyond the cached rows", "with a cached row", 1.25, per_token,
        1'000'001, [](Pairing pairing) { return Uncached(pairing); }, by_offset);
    add_decode(
        "scale", ".scale other than 1", "scale 1", 1.05, per_token, 1001,
        [](Pairing pairing) { return Scaled(pairing); }, by_offset);
  }
  add_prefill(
      "scale", ".scale other than 1, 1024 tokens", "scale 1", 1.05, kCache,
      [](Engine<float>& of) {
        auto x = of.queries();
        of.rotary_emb.rotate_in_place(x, {.scale = 1.0000001});
      },
      [](Engine<float>& of) { by_offset(of, 0); });
  const Index heads = settings().quick || settings().smoke ? 8 : 32;
  const auto ids = std::make_shared<std::vector<std::int32_t>>();
  for (std::int32_t n = 0; n < 2048; ++n) ids->push_back(n);
  add_prefill(
      "prefill_of_ids", "prefill of 2048 tokens from a list of ids", "consecutive positions", 1.1,
      {"prefill", 1, heads, 2048, 128},
      [ids](Engine<float>& of) {
        auto x = of.queries();
        of.rotary_emb.rotate_in_place(x, *ids);
      },
      [](Engine<float>& of) { by_offset(of, 0); });
}

void add_rows_of_double() {
  for (const Pairing pairing : kPairings) {
    add({"hand/rows_of_double/" + name_of(pairing), "rows in double, 1024 positions × 64 pairs",
         "rows in float", at_most(5)},
        [=] {
          constexpr Index kRows = 1024, kPairs = 64;
          struct Rows {
            rotary::TurnSteps steps{rotary::language_frequencies(2 * kPairs)};
            Buffer<double> wide{kRows * 2 * kPairs};
            Buffer<float> narrow{kRows * 2 * kPairs};
          };
          const auto of = std::make_shared<Rows>();
          const auto fill = [of, pairing](auto& rows) {
            rotary::kernels::cos_sin_rows(of->steps, Positions::consecutive(kRows, 1000), 0, kRows, {},
                                          pairing, rows.data());
          };
          const auto wide = repeated([of, fill] { fill(of->wide); });
          const auto check = [of, wide, pairing] {
            wide(1);
            const auto rows = reference_rows<double>(rotary::language_frequencies(2 * kPairs),
                                                     Positions::consecutive(kRows, 1000), pairing);
            Buffer<double> want(of->wide.size());
            std::copy(rows.begin(), rows.end(), want.data());
            return difference(of->wide, want);
          };
          const double values = static_cast<double>(of->wide.size());
          return Comparison{wide, repeated([of, fill] { fill(of->narrow); }), check, 8 * values, 4 * values};
        });
  }
}

// --- growth of the row cache ---------------------------------------------------------------------------------------

std::atomic<Index> bytes_held = 0;

constexpr Index kGrowthTokens = 8192, kGrowthDim = 128;

/// Decodes `kGrowthTokens` tokens of one head by a new embedding: the longest step in seconds, and the bytes
/// that the embedding holds at the end.
template <class Seconds>
std::pair<double, Index> grow(Seconds seconds) {
  const Index before = bytes_held;
  const rotary::RotaryEmbedding<float> rotary_emb({.dim = kGrowthDim});
  std::vector<float> head(static_cast<std::size_t>(kGrowthDim), 0.5f);
  const StridedView<float> view(head.data(), {1, kGrowthDim});
  double longest = 0;
  for (Index n = 0; n < kGrowthTokens; ++n) {
    const double start = seconds();
    rotary_emb.rotate_token_in_place(view, n);
    longest = std::max(longest, seconds() - start);
  }
  return {longest, bytes_held - before};
}

void add_growth() {
  add_number({"hand/growth/longest_step", "decode of 8192 tokens: longest step", "1 ms", at_most(1), "ms"},
             [] { return grow(thread_seconds).first * 1e3; });
  add_number({"hand/growth/bytes_held", "decode of 8192 tokens: bytes held", "bytes of the rows",
              at_most(1.1), "× the bytes"},
             [] {
               return static_cast<double>(grow([] { return 0.0; }).second) /
                      static_cast<double>(kGrowthTokens * kGrowthDim * Index{sizeof(float)});
             });
}

}  // namespace

// Counts what is allocated, for the growth of the row cache. The size is stored in front of the memory.
namespace {

void* counted(std::size_t size, std::size_t alignment) {
  const std::size_t room = std::max<std::size_t>(alignment, 2 * sizeof(std::size_t));
  auto* const memory =
      static_cast<unsigned char*>(std::aligned_alloc(room, (size + room + room - 1) / room * room));
  if (memory == nullptr) throw std::bad_alloc();
  std::memcpy(memory + room - sizeof(size), &size, sizeof(size));
  bytes_held += static_cast<Index>(size);
  return memory + room;
}
void uncounted(void* pointer, std::size_t alignment) noexcept {
  if (pointer == nullptr) return;
  const std::size_t room = std::max<std::size_t>(alignment, 2 * sizeof(std::size_t));
  std::size_t size = 0;
  std::memcpy(&size, static_cast<unsigned char*>(pointer) - sizeof(size), sizeof(size));
  bytes_held -= static_cast<Index>(size);
  std::free(static_cast<unsigned char*>(pointer) - room);
}

}  // namespace

void* operator new(std::size_t size) { return counted(size, 0); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* pointer) noexcept { uncounted(pointer, 0); }
void operator delete(void* pointer, std::size_t) noexcept { uncounted(pointer, 0); }
void operator delete(void* pointer, std::align_val_t alignment) noexcept {
  uncounted(pointer, static_cast<std::size_t>(alignment));
}
void operator delete(void* pointer, std::size_t, std::align_val_t alignment) noexcept {
  uncounted(pointer, static_cast<std::size_t>(alignment));
}

void bench::register_benchmarks() {
  add_contiguous<float>();
  add_contiguous<double>();
  add_contiguous<Eigen::half>();
  add_contiguous<Eigen::bfloat16>();
  for (const Pairing pairing : kPairings) {
    add_listed<float>(pairing);
    add_one_head<float>(pairing);
  }
  add_positions();
  add_deepseek();
  add_windows<float>(false);
  add_windows<double>(false);
  add_windows<Eigen::half>(false);
  add_windows<Eigen::bfloat16>(false);
  add_strided_heads<Eigen::half>();
  add_strided_heads<Eigen::bfloat16>();
  add_rows_of_double();
  add_growth();
}
