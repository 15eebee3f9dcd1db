// KeyValueCache: the rotated keys and the values of many sequences, in pages that sequences share.
#pragma once

#include <initializer_list>

#include "key_value_types.hpp"
#include "page_store.hpp"

namespace rotary::inline ROTARY_ABI {

/// The keys and values of many sequences of one layer, in pages of one pool. Keys are rotated while they are written.
///
/// A sequence is a list of pages of `page_tokens` tokens. `fork` shares the pages of a sequence; a shared page is copied
/// before one of its sequences writes to it, so no operation on a sequence changes another one. Each token has a position,
/// and each operation on positions moves tokens as in KeyCache: the stored key is A R(p f) k for the raw key k at position p.
///
/// `X` is the scalar of given keys and values: float, Eigen::half, Eigen::bfloat16 or double. `Stored` is how they are
/// stored: as X, as another of float, half and bfloat16, or as std::int8_t: 8-bit integers with a float scale for each token
/// and head, the largest feature divided by 127; a head of features below 1.5e-36 is stored as zeros. A key is rotated in float
/// (double in double) and rounded once.
///
/// With `.raw_keys` a token that moves is rotated again from its raw key: the bits are those of a new cache in which the
/// token was appended at its present position. Without, each move rotates the stored key by the difference and rounds once
/// more. With u the rounding error of `Stored` (2^-24, 2^-11, 2^-8) and |k| the length of a rotated pair, after m moves a
/// feature is off by at most
///
///     |k| ((1 + c u)^(m+1) − 1), about (m + 1) c u |k|       c = 4 for float and double, 1.01 for half and bfloat16
///     K ((1 + 1/179)^(m+1) − 1), about (m + 1) K / 179       for std::int8_t, K the largest pair or feature of the head
///
/// All operations throw std::invalid_argument on wrong arguments, unknown ids and an exhausted pool, and then have changed
/// nothing. Beside the pool, a token takes 16 bytes for each coordinate of its position, which `fork` copies. A `const` cache
/// may be read from any number of threads.
///
/// @code
///   const rotary::RotaryEmbedding<float> rotary_emb({.dim = 64, .seq_before_head_dim = true});
///   rotary::KeyValueCache<Eigen::bfloat16> cache(rotary_emb,
///                                                {.heads = 2, .head_dim = 64, .pages = 8, .page_tokens = 16});
///   rotary::Tensor<Eigen::bfloat16, 3> keys(20, 2, 64), values(20, 2, 64);   // [tokens, heads, head_dim]
///   keys.setZero();
///   values.setZero();
///   const rotary::SequenceId prompt = cache.add_sequence();
///   cache.append(prompt, keys, values);                 // at positions 0 to 19
///   const rotary::SequenceId answer = cache.fork(prompt);
///   cache.append(answer, keys, values);                 // at 20 to 39
///   cache.keep_sinks_and_window(answer, 4, 16);         // what is left is at 0 to 19
///   cache.drop(prompt);
/// @endcode
///
/// Sources: Kwon et al. 2023 (vLLM) for pages; Xiao et al. 2023 for sinks and window; llama.cpp for the context shift.
template <class X, class Stored = X>
class KeyValueCache {
  static_assert(RotaryScalar<X>, "rotary: keys and values are float, double, Eigen::half or Eigen::bfloat16");
  static_assert(std::is_same_v<X, Stored> || (!std::is_same_v<X, double> && !std::is_same_v<Stored, double> &&
                                              (RotaryScalar<Stored> || std::is_same_v<Stored, std::int8_t>)),
                "rotary: keys and values are stored as they are given; those of 16 or 32 bits also as float, "
                "Eigen::half, Eigen::bfloat16 or std::int8_t");

 public:
  /// The scalar that attention computes in.
  using Arithmetic = detail::Arithmetic<X, float>;

  /// For keys rotated by any frequencies. The layout has `.seq_dim = -3`.
  KeyValueCache(const Frequencies& frequencies, const HeadLayout& layout, const KeyValueCacheOptions& options)
      : KeyValueCache(frequencies, detail::KeyScales(), layout, options) {}

  /// For keys of queries that `embedding` rotates, with its layout, whose `seq_dim` is −3.
  template <class Row>
  KeyValueCache(const RotaryEmbedding<Row>& embedding, const KeyValueCacheOptions& options)
      : KeyValueCache(detail::interpolated_frequencies(embedding), detail::KeyScales(), embedding.layout(),
                      options) {}

  /// For keys of queries that `xpos` rotates with the same centre, the position of scale 1; with `.raw_keys`.
  template <class Row>
  KeyValueCache(const XPos<Row>& xpos, double centre, const KeyValueCacheOptions& options)
      : KeyValueCache(detail::interpolated_frequencies(xpos.rotary()), detail::KeyScales(xpos, centre),
                      xpos.layout(), options) {}

  /// The number of heads of keys and values.
  [[nodiscard]] Index heads() const { return options_.heads; }
  /// The number of features of a key in one head.
  [[nodiscard]] Index head_dim() const { return options_.head_dim; }
  /// The number of features of a value in one head.
  [[nodiscard]] Index value_dim() const { return options_.value_dim; }
  /// The number of tokens that a page has room for.
  [[nodiscard]] Index page_tokens() const { return options_.page_tokens; }
  /// The number of pages of the pool, free ones included.
  [[nodiscard]] Index pages() const { return store_.pool().pages(); }
  /// The number of pages that no sequence uses.
  [[nodiscard]] Index free_pages() const { return store_.pool().free_pages(); }
  /// The number of coordinates of a token.
  [[nodiscard]] Index axes() const { return store_.keys().axes(); }
  /// Are keys also stored as they were given?
  [[nodiscard]] bool has_raw_keys() const { return options_.raw_keys; }
  /// Which features of a key rotate, and how they are paired; seq_dim is −3.
  [[nodiscard]] const HeadLayout& layout() const& { return store_.keys().layout(); }
  [[nodiscard]] HeadLayout layout() && { return store_.keys().layout(); }  ///< a copy
  /// The frequencies by which keys are rotated, an interpolation factor included.
  [[nodiscard]] const Frequencies& frequencies() const& { return store_.keys().frequencies(); }
  [[nodiscard]] Frequencies frequencies() && { return store_.keys().frequencies(); }  ///< a copy

  /// A new sequence without tokens. Its memory comes from `append`.
  [[nodiscard]] SequenceId add_sequence() { return add(detail::PagedSequence{0, detail::TokenLog(axes())}); }

  /// A new sequence with the tokens of another. Pages are shared until one of the two writes to them.
  [[nodiscard]] SequenceId fork(SequenceId id) {
    detail::PagedSequence copy = sequence(id);
    const SequenceId forked = add(std::move(copy));
    store_.share(sequence(forked));
    return forked;
  }

  /// Removes a sequence. Pages that no other sequence uses become free.
  void drop(SequenceId id) {
    detail::PagedSequence& s = sequence(id);
    free_indices_.reserve(sequences_.size());  // what follows does not throw
    store_.release(s, 0);
    s.number = 0;
    s.log.erase(0, s.size());
    free_indices_.push_back(id.index);
  }

  /// Is this the id of a sequence of this cache?
  [[nodiscard]] bool contains(SequenceId id) const {
    return id.number != 0 && id.index >= 0 && id.index < std::ssize(sequences_) &&
           sequences_[static_cast<std::size_t>(id.index)].number == id.number;
  }
  /// The number of tokens of a sequence.
  [[nodiscard]] Index size(SequenceId id) const { return sequence(id).size(); }

  /// The coordinate of a token along an axis. Throws outside the sequence.
  [[nodiscard]] FixedPosition position(SequenceId id, Index token, Index axis = 0) const {
    const detail::TokenLog& log = sequence(id).log;
    if (token < 0 || token >= log.size() || axis < 0 || axis >= axes())
      detail::fail("token ", token, ", axis ", axis, " is outside a sequence of ", log.size(),
                   " tokens with ", axes(), " coordinates");
    return log.at(token)[axis];
  }
  /// The default position for `append`, on every axis: one after the largest coordinate of the last token, or 0.
  [[nodiscard]] FixedPosition next_position(SequenceId id) const { return sequence(id).log.next(); }

  /// Appends n tokens at positions next_position(id), next_position(id) + 1, ..., the same on every axis.
  ///
  /// `keys`, not yet rotated, are [n, heads, head_dim], and `values` [n, heads, value_dim], both of scalar X: tensors, maps,
  /// expressions or views of any strides. Takes the pages that they need from the pool, and one more if the last page of the
  /// sequence is shared; throws if not as many are free.
  template <class K, class V>
  void append(SequenceId id, const K& keys, const V& values) {
    append(id, keys, values, next_position(id));
  }

  /// Appends n tokens at `at`: the position of the first, or ids, `Positions` or `TokenPositions`, of `axes()` coordinates.
  template <class K, class V, class At>
  void append(SequenceId id, const K& keys, const V& values, const At& at) {
    if constexpr (detail::check_rotatable<K>() && detail::check_rotatable<V>()) {
      constexpr bool kSameScalar =
          std::is_same_v<detail::Scalar<K>, X> && std::is_same_v<detail::Scalar<V>, X>;
      static_assert(kSameScalar,
                    "rotary: a key/value cache takes keys and values of its own scalar; cast others to it");
      if constexpr (kSameScalar) {
        decltype(auto) stored_keys = detail::stored(keys);
        decltype(auto) stored_values = detail::stored(values);
        const StridedView<const X> key_view = tokens_of(stored_keys, head_dim(), "keys");
        const StridedView<const X> value_view = tokens_of(stored_values, value_dim(), "values");
        if (key_view.extent(0) != value_view.extent(0))
          detail::fail("found ", key_view.extent(0), " keys and ", value_view.extent(0),
                       " values, there must be as many");
        store_.append(sequence(id), key_view, value_view, detail::positions_of(at));
      }
    }
  }

  /// Moves tokens [first, last) by `delta` on every axis. Tokens are counted from 0, whatever their positions.
  void shift(SequenceId id, Index first, Index last, const FixedPosition& delta) {
    detail::Coordinates deltas;
    deltas.fill(delta);
    store_.move(sequence(id), first, last, deltas.data());
  }
  /// Moves tokens [first, last) by a delta for each axis.
  void shift(SequenceId id, Index first, Index last, std::initializer_list<FixedPosition> deltas) {
    if (static_cast<Index>(deltas.size()) != axes())
      detail::fail("found ", deltas.size(), " deltas, there must be one for each of ", axes(), " axes");
    store_.move(sequence(id), first, last, deltas.begin());
  }

  /// Erases all tokens but the first `size`.
  void rewind(SequenceId id, Index size) { erase(id, size, this->size(id)); }

  /// Erases tokens [first, last). The positions of the others do not change; token `last` becomes token `first`.
  void erase(SequenceId id, Index first, Index last) { store_.close_gap(sequence(id), first, last, nullptr); }

  /// Erases tokens [first, last) and moves the later ones, so that token `last` gets the position of token `first`: back by
  /// last − first if positions are consecutive. The context shift of llama.cpp.
  void shift_context(SequenceId id, Index first, Index last) {
    detail::PagedSequence& s = sequence(id);
    store_.check_range(s, first, last);
    const bool moves = first < last && last < s.size();
    store_.close_gap(s, first, last, moves ? s.log.difference(first, last).data() : nullptr);
  }

  /// Erases the tokens between the first `sinks` and the last `window`, if there are any, and moves the window behind the
  /// sinks, as `shift_context` does (StreamingLLM).
  void keep_sinks_and_window(SequenceId id, Index sinks, Index window) {
    if (sinks < 0 || window < 0)
      detail::fail("sinks is ", sinks, " and window is ", window, ", neither must be negative");
    const Index size = this->size(id);
    if (size > sinks && size - sinks > window) shift_context(id, sinks, size - window);
  }

  /// Rotates all keys by other frequencies and their magnitude, of as many pairs and axes. Pages stay shared.
  void change_frequencies(const Frequencies& frequencies) {
    std::vector<Index> done = store_.no_slots();
    const auto by = store_.keys().change_frequencies(frequencies);
    store_.for_each_stored(sequences_, std::move(done),
                           [&](const detail::PagedSequence& s, Index first, Index last) {
                             store_.keys().rotate_changed(s, first, last, by);
                           });
  }

  /// Rotates the keys of all sequences with XPos's scales around another centre. Throws for keys without XPos.
  void change_centre(double centre) {
    detail::KeyScales moved = store_.keys().scales_around(centre);
    for (const detail::PagedSequence& s : sequences_)
      for (Index n = 0; n < s.size(); ++n) store_.keys().check_position(s.log.at(n), moved);
    std::vector<Index> done = store_.no_slots();
    store_.keys().set_scales(std::move(moved));
    store_.for_each_stored(sequences_, std::move(done),
                           [&](const detail::PagedSequence& s, Index first, Index last) {
                             store_.keys().rotate_raw(s, first, last);
                           });
  }

  /// Throws unless keys are rotated by `frequencies` in `layout`, as queries must be, and not scaled by XPos.
  void check_rotation(const Frequencies& frequencies, const HeadLayout& layout) const {
    store_.keys().check_rotation(frequencies, layout, {});
  }
  /// Throws unless the keys are those of `xpos`, around any centre.
  template <class Row>
  void check_rotation(const XPos<Row>& xpos) const {
    store_.keys().check_rotation(detail::interpolated_frequencies(xpos.rotary()), xpos.layout(),
                                 detail::KeyScales(xpos, 0));
  }

  /// The pages of a sequence by number: token n is in slot n % page_tokens of page_table(id)[n / page_tokens]. Valid until
  /// the next operation on the sequence.
  [[nodiscard]] std::span<const Index> page_table(SequenceId id) const& {
    return detail::span_of(sequence(id).pages);
  }
  std::span<const Index> page_table(SequenceId id) const&& = delete;  ///< of a temporary: it would dangle

  /// A page of the pool. Its slots are set where a sequence has tokens. Throws unless 0 ≤ number < pages().
  [[nodiscard]] KeyValuePage<Stored> page(Index number) const& {
    if (number < 0 || number >= pages())
      detail::fail("page is ", number, ", there are pages 0 to ", pages() - 1);
    const detail::PageSlots all{number, 0, page_tokens()};
    const detail::PageMemory &of_keys = store_.keys().memory(), &of_values = store_.values();
    return {detail::page_view<const Stored>(of_keys, all, heads(), head_dim()),
            detail::page_view<const Stored>(of_values, all, heads(), value_dim()),
            detail::scale_view<Stored>(of_keys, all, heads()),
            detail::scale_view<Stored>(of_values, all, heads())};
  }
  KeyValuePage<Stored> page(Index number) const&& = delete;  ///< of a temporary: the views would dangle

  /// A copy of the keys of tokens [first, last) as attention reads them, [last − first, heads, head_dim].
  [[nodiscard]] Tensor<Arithmetic, 3> read_keys(SequenceId id, Index first, Index last) const {
    return read(id, first, last, key_tokens());
  }
  /// A copy of the values of tokens [first, last), [last − first, heads, value_dim].
  [[nodiscard]] Tensor<Arithmetic, 3> read_values(SequenceId id, Index first, Index last) const {
    return read(id, first, last, value_tokens());
  }
  /// A copy of the raw keys of tokens [first, last). Throws without `.raw_keys`.
  [[nodiscard]] Tensor<X, 3> read_raw_keys(SequenceId id, Index first, Index last) const {
    if (!has_raw_keys()) detail::fail("found no raw keys, they are stored with .raw_keys = true");
    return read(id, first, last,
                detail::paged_tokens<X, X>(store_.keys().raw_memory(), page_tokens(), head_dim()));
  }

 private:
  friend struct detail::CacheReader;

  KeyValueCache(const Frequencies& frequencies, detail::KeyScales scales, const HeadLayout& layout,
                const KeyValueCacheOptions& options)
      : options_(checked(options)), store_(frequencies, std::move(scales), layout, options_) {}

  static KeyValueCacheOptions checked(KeyValueCacheOptions options) {
    if (options.value_dim == 0) options.value_dim = options.head_dim;
    const auto check = [](const char* name, Index size) {
      if (size < 1) detail::fail(name, " is ", size, ", it must be at least 1");
    };
    check("heads", options.heads), check("head_dim", options.head_dim), check("value_dim", options.value_dim);
    check("pages", options.pages), check("page_tokens", options.page_tokens);
    return options;
  }

  SequenceId add(detail::PagedSequence&& s) {
    s.number = ++detail::sequence_count;
    const SequenceId id{free_indices_.empty() ? static_cast<Index>(sequences_.size()) : free_indices_.back(),
                        s.number};
    if (free_indices_.empty()) {
      sequences_.push_back(std::move(s));
    } else {
      sequences_[static_cast<std::size_t>(id.index)] = std::move(s);
      free_indices_.pop_back();
    }
    return id;
  }

  const detail::PagedSequence& sequence(SequenceId id) const {
    if (!contains(id))
      detail::fail("found the id of a sequence that was dropped, or that is not of this cache");
    return sequences_[static_cast<std::size_t>(id.index)];
  }
  detail::PagedSequence& sequence(SequenceId id) {
    return const_cast<detail::PagedSequence&>(std::as_const(*this).sequence(id));
  }

  template <class K>
  StridedView<const X> tokens_of(const K& x, Index width, const char* name) const {
    const StridedView<const X> view = detail::const_view_of(x);
    if (view.rank != 3 || view.extent(1) != heads() || view.extent(2) != width)
      detail::fail("found ", name, " of shape ", detail::shape_text(view), ", they must be [n, ", heads(),
                   ", ", width, "]: [tokens, heads, features]");
    return view;
  }

  detail::PagedTokens<Arithmetic> key_tokens() const {
    return detail::paged_tokens<Stored, Arithmetic>(store_.keys().memory(), page_tokens(), head_dim());
  }
  detail::PagedTokens<Arithmetic> value_tokens() const {
    return detail::paged_tokens<Stored, Arithmetic>(store_.values(), page_tokens(), value_dim());
  }

  template <class T>
  Tensor<T, 3> read(SequenceId id, Index first, Index last, const detail::PagedTokens<T>& tokens) const {
    const detail::PagedSequence& s = sequence(id);
    store_.check_range(s, first, last);
    Tensor<T, 3> out(last - first, heads(), tokens.steps.width);
    for (Index head = 0; head < heads() && first < last; ++head)
      detail::PagedHead<T>{&tokens, s.pages.data(), head}.read_to(
          first, last - first, out.data() + head * tokens.steps.width, heads() * tokens.steps.width);
    return out;
  }

  KeyValueCacheOptions options_;
  detail::PageStore<X, Stored> store_;
  std::vector<detail::PagedSequence> sequences_;
  std::vector<Index> free_indices_;
};

}  // namespace rotary::inline ROTARY_ABI
