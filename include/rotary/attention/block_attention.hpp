// Attention to keys that arrive in blocks, each a part of the sequence: results merged by log-sum-exp, and gradients.
#pragma once

#include "../core/aligned_vector.hpp"
#include "attend.hpp"
#include "compiled.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// Consecutive tokens of a sequence: `count` of them, at index `first` of a tensor and at `position` of the sequence.
struct TokenPiece {
  Index first, count, position;

  Index last_position() const { return position + count - 1; }
};

/// [batch, tokens, heads, width] with the tokens of a head contiguous: [batch, heads, tokens, width] in memory that others own.
template <class T>
struct HeadBlock {
  T* data = nullptr;
  Index batch = 0, heads = 0, tokens = 0, width = 0;

  Index size() const { return batch * heads * tokens * width; }
  /// The sizes of another block, without its memory.
  HeadBlock with_width(Index other) const { return {nullptr, batch, heads, tokens, other}; }
  HeadBlock with_tokens(Index other) const { return {nullptr, batch, heads, other, width}; }
  T* token(Index b, Index h, Index n) const { return data + ((b * heads + h) * tokens + n) * width; }
  StridedView<T> view(Index first, Index count) const {
    return StridedView<T>(data + first * width, {batch, count, heads, width},
                          {heads * tokens * width, width, tokens * width, Index{1}});
  }
  StridedView<T> view(const TokenPiece& piece) const { return view(piece.first, piece.count); }
  /// Of a block with one feature: without the axis of features.
  StridedView<T> view_of_numbers(const TokenPiece& piece) const {
    return StridedView<T>(data + piece.first, {batch, piece.count, heads},
                          {heads * tokens, Index{1}, tokens});
  }
};

/// A HeadBlock with its memory.
template <class T>
struct OwnedBlock : HeadBlock<T> {
  AlignedVector<T> memory;

  explicit OwnedBlock(const HeadBlock<T>& sizes)
      : HeadBlock<T>(sizes),
        memory(checked_elements<T>(checked_product(sizes.batch, sizes.heads),
                                   checked_product(sizes.tokens, sizes.width))) {
    this->data = memory.data();
  }
  OwnedBlock(OwnedBlock&&) = default;

  void fill(T value) { std::fill(memory.begin(), memory.end(), value); }
};

/// Reads all tokens of a tensor, rotated if it has rows.
template <RowScalar T>
void read_block(const TokenInput<T>& from, const HeadBlock<T>& to) {
  if (to.size() == 0) return;
  for (Index b = 0; b < to.batch; ++b)
    for (Index h = 0; h < to.heads; ++h) from.head(b, h).read_to(0, to.tokens, to.token(b, h, 0), to.width);
}

/// Writes all tokens of a tensor.
template <RowScalar T>
void write_block(const HeadBlock<T>& from, const TokenOutput<T>& to) {
  if (from.size() == 0) return;
  for (Index b = 0; b < from.batch; ++b)
    for (Index h = 0; h < from.heads; ++h)
      to.write_head(b, h, 0, from.tokens, from.token(b, h, 0), from.width);
}

/// Writes the gradient of a tensor from that of the block which was read from it; `from` is rotated back in place.
template <RowScalar T>
void write_gradient(const HeadBlock<T>& from, const TokenInput<T>& read_from, const TokenOutput<T>& to) {
  if (from.size() == 0) return;
  for (Index b = 0; b < from.batch; ++b)
    for (Index h = 0; h < from.heads; ++h)
      read_from.head(b, h).rotate_back(0, from.tokens, from.token(b, h, 0), from.width);
  write_block(from, to);
}

/// Which keys are seen, when queries and keys are pieces of one sequence: the options that depend on positions.
template <RowScalar T>
struct PieceOptions {
  AttentionOptions<T> options;  // causal, window, soft_cap and scale

  /// Does any query see any key?
  bool sees(const TokenPiece& queries, const TokenPiece& keys) const {
    if (queries.count == 0 || keys.count == 0) return false;
    if (options.causal && keys.position > queries.last_position()) return false;
    if (!options.window) return true;
    const Index reach = *options.window - 1;
    return keys.last_position() >= queries.position - reach &&
           keys.position - reach <= queries.last_position();
  }
  AttentionOptions<T> of(const TokenPiece& queries, const TokenPiece& keys) const {
    AttentionOptions<T> of_pair = options;
    of_pair.causal = options.causal && keys.last_position() > queries.position;
    if (of_pair.causal || options.window) of_pair.query_offset = queries.position - keys.position;
    return of_pair;
  }
};

/// The result of attention, from blocks of keys that are added one after the other.
///
/// With out_n and L_n the result and the `log_sum` of the keys in block n:
///
///     out = Σ_n exp(L_n − L) out_n        L = log Σ_n exp(L_n)
///
/// L is in double while blocks are added, so that its rounding does not grow with their number.
template <RowScalar T>
class BlockAttention {
 public:
  BlockAttention(const HeadBlock<T>& queries, std::span<const TokenPiece> pieces, Index d_v,
                 const PieceOptions<T>& options)
      : queries_(queries),
        pieces_(pieces.begin(), pieces.end()),
        options_(options),
        result_(queries.with_width(d_v)),
        part_(queries.with_width(d_v)),
        part_log_sum_(queries.with_width(1)),
        log_sum_(part_log_sum_.memory.size(), -std::numeric_limits<double>::infinity()) {
    result_.fill(T(0));
  }

  /// Adds the keys and values of `pieces`.
  template <class Device>
  void add(const HeadBlock<T>& keys, const HeadBlock<T>& values, std::span<const TokenPiece> pieces,
           const Device& device) {
    for (const TokenPiece& q : pieces_)
      for (const TokenPiece& k : pieces) {
        if (!options_.sees(q, k)) continue;
        const StridedView<T> log_sum = part_log_sum_.view_of_numbers(q);
        run_attention<T>(as_const(queries_.view(q)), as_const(keys.view(k)), as_const(values.view(k)),
                         part_.view(q), &log_sum, options_.of(q, k), device);
        merge(q);
      }
  }

  const HeadBlock<T>& result() const { return result_; }
  /// In T, over the numbers of the last part: after all blocks.
  const HeadBlock<T>& log_sum() {
    for (std::size_t n = 0; n < log_sum_.size(); ++n) part_log_sum_.memory[n] = static_cast<T>(log_sum_[n]);
    return part_log_sum_;
  }

 private:
  static StridedView<const T> as_const(const StridedView<T>& view) { return view; }

  void merge(const TokenPiece& q) {
    const Index width = result_.width;
    using Row = Eigen::Map<Eigen::Array<T, 1, Eigen::Dynamic>>;
    for (Index b = 0; b < result_.batch; ++b)
      for (Index h = 0; h < result_.heads; ++h)
        for (Index n = q.first; n < q.first + q.count; ++n) {
          const T added = *part_log_sum_.token(b, h, n);
          if (is_equal(added, -std::numeric_limits<T>::infinity())) continue;  // sees no key of the part
          double& sum = log_sum_[static_cast<std::size_t>(part_log_sum_.token(b, h, n) - part_log_sum_.data)];
          const double with = static_cast<double>(added), largest = std::max(sum, with);
          const double merged = largest + std::log(std::exp(sum - largest) + std::exp(with - largest));
          Row result(result_.token(b, h, n), width);
          result = result * static_cast<T>(std::exp(sum - merged)) +
                   Row(part_.token(b, h, n), width) * static_cast<T>(std::exp(with - merged));
          sum = merged;
        }
  }

  HeadBlock<T> queries_;
  std::vector<TokenPiece> pieces_;
  PieceOptions<T> options_;
  OwnedBlock<T> result_, part_, part_log_sum_;
  std::vector<double> log_sum_;
};

/// The gradients of attention, from blocks of keys that are added one after the other.
template <RowScalar T>
class BlockGradients {
 public:
  /// The queries, what attend returned for all keys, and the gradient of the result.
  BlockGradients(const HeadBlock<T>& queries, std::span<const TokenPiece> pieces, const HeadBlock<T>& out,
                 const HeadBlock<T>& grad_out, const HeadBlock<T>& log_sum, const PieceOptions<T>& options)
      : queries_(queries),
        grad_out_(grad_out),
        log_sum_(log_sum),
        pieces_(pieces.begin(), pieces.end()),
        options_(options),
        delta_(queries.with_width(1)),
        grad_queries_(queries),
        part_(queries) {
    grad_queries_.fill(T(0));
    using Rows = Eigen::Map<const RowMajorMatrix<T>>;
    const Index rows = static_cast<Index>(delta_.memory.size());
    const Rows of_out(out.data, rows, out.width), of_grad(grad_out.data, rows, out.width);
    for (Index r = 0; r < rows; ++r)
      delta_.data[r] =
          static_cast<T>(of_out.row(r).template cast<double>().dot(of_grad.row(r).template cast<double>()));
  }

  /// Adds the keys and values of `pieces`, and writes the part of their gradients that these queries have.
  template <class Device>
  void add(const HeadBlock<T>& keys, const HeadBlock<T>& values, std::span<const TokenPiece> pieces,
           const HeadBlock<T>& grad_keys, const HeadBlock<T>& grad_values, const Device& device) {
    std::fill_n(grad_keys.data, grad_keys.size(), T(0));
    std::fill_n(grad_values.data, grad_values.size(), T(0));
    for (const TokenPiece& k : pieces) {
      const OwnedBlock<T> of_keys(keys.with_tokens(k.count)), of_values(values.with_tokens(k.count));
      const TokenPiece all{0, k.count, k.position};
      for (const TokenPiece& q : pieces_) {
        if (!options_.sees(q, k)) continue;
        const StridedView<const T> delta = delta_.view_of_numbers(q);
        run_attention_backward<T>(as_const(queries_.view(q)), as_const(keys.view(k)),
                                  as_const(values.view(k)), as_const(grad_out_.view(q)),
                                  as_const(log_sum_.view_of_numbers(q)), part_.view(q), of_keys.view(all),
                                  of_values.view(all), std::span<T>(), options_.of(q, k), device, &delta);
        add_tokens(part_, q.first, grad_queries_, q);
        add_tokens(of_keys, 0, grad_keys, k);
        add_tokens(of_values, 0, grad_values, k);
      }
    }
  }

  /// Of the queries; after all blocks.
  const HeadBlock<T>& grad_queries() const { return grad_queries_; }

 private:
  static StridedView<const T> as_const(const StridedView<T>& view) { return view; }

  /// Adds tokens from `first` on to those of a piece.
  static void add_tokens(const HeadBlock<T>& from, Index first, const HeadBlock<T>& to,
                         const TokenPiece& piece) {
    using Numbers = Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>;
    const Index count = piece.count * to.width;
    for (Index b = 0; b < to.batch; ++b)
      for (Index h = 0; h < to.heads; ++h)
        Numbers(to.token(b, h, piece.first), count) += Numbers(from.token(b, h, first), count);
  }

  HeadBlock<T> queries_, grad_out_, log_sum_;
  std::vector<TokenPiece> pieces_;
  PieceOptions<T> options_;
  OwnedBlock<T> delta_, grad_queries_, part_;
};

}  // namespace rotary::inline ROTARY_ABI::detail
