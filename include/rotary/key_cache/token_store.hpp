// TokenStore: memory for the tokens of one sequence, head by head, with spare capacity.
#pragma once

#include "../cos_sin_table.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A row-major buffer [heads, capacity, head_dim]. Its owner counts the tokens.
template <class X>
class TokenStore {
 public:
  TokenStore(Index heads, Index head_dim) : heads_(heads), head_dim_(head_dim) {
    if (heads < 1) fail("heads is ", heads, ", there must be at least 1");
    if (head_dim < 1) fail("head_dim is ", head_dim, ", it must be positive");
    checked_product(checked_product(heads, head_dim), sizeof(X));
  }

  Index heads() const { return heads_; }
  Index head_dim() const { return head_dim_; }
  Index capacity() const { return static_cast<Index>(memory_.size()) / (heads_ * head_dim_); }

  /// Grows to `capacity` tokens and copies the first `size`. Does not shrink.
  void reserve(Index capacity, Index size) {
    if (capacity <= this->capacity()) return;
    TokenStore larger(heads_, head_dim_);
    checked_product(capacity, heads_ * head_dim_ * static_cast<Index>(sizeof(X)));
    larger.memory_.resize(static_cast<std::size_t>(capacity * heads_ * head_dim_));
    larger.write(0, std::as_const(*this).tokens(0, size));
    memory_.swap(larger.memory_);
  }

  /// Copies keys, [heads, n, head_dim] with any strides, to the tokens from `first` on.
  void write(Index first, const StridedView<const X>& keys) {
    if (keys.extent(1) == 0) return;  // of any number of heads
    for (Index head = 0; head < heads_; ++head) {
      for (Index n = 0; n < keys.extent(1); ++n) {
        const X* const from = keys.data + head * keys.stride(0) + n * keys.stride(1);
        X* const to = memory_.data() + place(head, first + n);
        if (keys.stride(2) == 1) {
          std::copy_n(from, head_dim_, to);
        } else {
          for (Index i = 0; i < head_dim_; ++i) to[i] = from[i * keys.stride(2)];
        }
      }
    }
  }

  /// Erases tokens [first, last) of `size`: the tokens after them move down.
  void erase(Index first, Index last, Index size) {
    if (first == last) return;
    for (Index head = 0; head < heads_; ++head)
      std::copy(memory_.data() + place(head, last), memory_.data() + place(head, size),
                memory_.data() + place(head, first));
  }

  /// The tokens [first, last) of all heads.
  StridedView<const X> tokens(Index first, Index last) const { return view<const X>(*this, first, last); }
  StridedView<X> tokens(Index first, Index last) { return view<X>(*this, first, last); }

  /// The address of one head of a token.
  const X* data(Index head = 0, Index token = 0) const { return memory_.data() + place(head, token); }

 private:
  Index place(Index head, Index token) const { return (head * capacity() + token) * head_dim_; }

  template <class Element, class Self>
  static StridedView<Element> view(Self& self, Index first, Index last) {
    return StridedView<Element>(self.memory_.data() + self.place(0, first),
                                {self.heads_, last - first, self.head_dim_},
                                {self.capacity() * self.head_dim_, self.head_dim_, 1});
  }

  Index heads_, head_dim_;
  AlignedVector<X> memory_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
