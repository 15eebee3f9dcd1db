// AttentionMask: which keys a query may see, as a tensor.
#pragma once

#include <memory>

#include "../tensor/tensor.hpp"

namespace rotary::inline ROTARY_ABI {

/// The mask of labml's attention: [seq_q or 1, seq_k, batch or 1], 0 where a key is hidden from a query.
///
/// It is constructed from a tensor of integers or bool, whose elements it copies. An axis of size 1 is
/// broadcast over all queries, or over all sequences. A default-constructed mask hides nothing.
///
/// @code
///   rotary::Tensor<bool, 3> padding(1, 5, 2);   // keys 3 and 4 of the second of two sequences are padding
///   padding.setConstant(true);
///   padding(0, 3, 1) = padding(0, 4, 1) = false;
///   const rotary::AttentionMask mask = padding;
/// @endcode
class AttentionMask {
 public:
  /// No mask: it hides nothing.
  AttentionMask() = default;

  /// Copies a mask of integers or bool, [seq_q or 1, seq_k, batch or 1], 0 where a query must not see a key.
  /// Throws std::invalid_argument unless it has three axes.
  template <class M>
  requires(detail::is_stored<M>() && (detail::is_tensor<M> || detail::is_view<M>))
      AttentionMask(const M& mask) {
    const auto view = view_of(mask);
    using Element = std::remove_cvref_t<decltype(*view.data)>;
    static_assert(std::is_integral_v<Element>,
                  "rotary: a mask is a tensor of integers or bool, 0 where a key is hidden");
    if (view.rank != 3)
      detail::fail("the mask has shape ", detail::shape_text(view),
                   ", it must be [seq_q or 1, seq_k, batch or 1]");
    queries_ = view.extent(0);
    keys_ = view.extent(1);
    batch_ = view.extent(2);
    given_ = true;
    if (view.empty()) return;  // the other extents of an empty view may be of any size
    const auto visible = std::make_shared<bool[]>(static_cast<std::size_t>(view.size()));
    bool* next = visible.get();
    for (Index b = 0; b < batch_; ++b)
      for (Index i = 0; i < queries_; ++i)
        for (Index j = 0; j < keys_; ++j)
          *next++ = view.data[i * view.stride(0) + j * view.stride(1) + b * view.stride(2)] != Element{};
    visible_ = visible;
  }

  /// Was the mask constructed from a tensor?
  explicit operator bool() const { return given_; }

  /// Throws std::invalid_argument unless the mask, if there is one, is [seq_q or 1, seq_k, batch or 1].
  void check(Index seq_q, Index seq_k, Index batch) const {
    if (given_ &&
        ((queries_ != 1 && queries_ != seq_q) || keys_ != seq_k || (batch_ != 1 && batch_ != batch)))
      detail::fail("the mask has shape [", queries_, ", ", keys_, ", ", batch_, "], it must be [", seq_q,
                   " or 1, ", seq_k, ", ", batch, " or 1]");
  }

  /// The mask, which must have been given, as `attend` takes it: [batch or 1, 1, seq_q or 1, seq_k], true
  /// where a query may see a key.
  [[nodiscard]] StridedView<const bool> view() const& {
    return StridedView<const bool>(visible_.get(), {batch_, Index{1}, queries_, keys_});
  }
  StridedView<const bool> view() const&& = delete;  ///< of a temporary: the view would dangle

 private:
  bool given_ = false;
  Index queries_ = 0, keys_ = 0, batch_ = 0;
  std::shared_ptr<const bool[]> visible_;  // [batch, seq_q, seq_k], shared by copies
};

}  // namespace rotary::inline ROTARY_ABI
