// The tokens of one head, read from and written to tensors of any scalar and strides, and rotated on the way.
#pragma once

#include <utility>

#include "../apply/apply_table.hpp"
#include "../key_cache/paged_head.hpp"
#include "token_rows.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// A tensor [.., tokens, heads, features] with strides in bytes.
template <class Byte>
struct HeadTensor {
  StridedView<Byte> bytes;

  template <class X>
  static HeadTensor of(const StridedView<X>& x) {
    auto view = StridedView<Byte>::unset(reinterpret_cast<Byte*>(x.data), x.rank);
    view.extents = x.extents;
    for (int axis = 0; axis < x.rank; ++axis)
      view.strides[static_cast<std::size_t>(axis)] =
          x.extent(axis) > 1 ? x.stride(axis) * static_cast<Index>(sizeof(X)) : 0;
    return {view};
  }

  TokenSteps steps() const {
    return {bytes.stride(bytes.rank - 3), bytes.stride(bytes.rank - 1), bytes.extent(bytes.rank - 1)};
  }
  /// The offset of sequence `b`, in the strides of a tensor of this shape.
  Index sequence_offset(Index b, const std::array<Index, kMaxRank>& strides) const {
    Index offset = 0;
    for (int axis = bytes.rank - 4; axis >= 0; --axis) {
      offset += b % bytes.extent(axis) * strides[static_cast<std::size_t>(axis)];
      b /= bytes.extent(axis);
    }
    return offset;
  }
  /// The first token of a head. A tensor without elements may have no memory, and then no offset is added.
  Byte* head(Index b, Index h) const {
    if (bytes.empty()) return bytes.data;
    return bytes.data + sequence_offset(b, bytes.strides) + h * bytes.stride(bytes.rank - 2);
  }
};

/// The tokens of one head, read in T: of a tensor, then rotated, or of the pages of a cache.
template <RowScalar T>
struct HeadReader {
  using Read = void (*)(const char*, const TokenSteps&, Index, T*, Index);

  const char* data = nullptr;
  TokenSteps steps = {};
  Read copy = nullptr;
  bool same_scalar = false;  // T itself is in memory
  const CosSinTable<T>* table = nullptr;
  const T* rows = nullptr;
  Index row_step = 0;
  PagedHead<T> paged = {};  // if it has tokens, they are read in place of the tensor's

  /// Tokens [first, first + count), in `buffer` or where they are.
  HeadRows<const T> read(Index first, Index count, RowMajorMatrix<T>& buffer) const {
    const Index width = steps.width, scalar = sizeof(T);
    if (paged.tokens && same_scalar && count <= paged.left_in_page(first))
      return HeadRows<const T>(reinterpret_cast<const T*>(paged.at(first)), count, width,
                               Eigen::OuterStride<>(width));
    if (!paged.tokens && same_scalar && !table && (steps.feature == scalar || width == 1) &&
        (steps.token >= width * scalar || count == 1))
      return HeadRows<const T>(reinterpret_cast<const T*>(data + first * steps.token), count, width,
                               Eigen::OuterStride<>(count == 1 ? width : steps.token / scalar));
    if (buffer.rows() < count || buffer.cols() != width) buffer.resize(count, width);
    read_to(first, count, buffer.data(), width);
    return HeadRows<const T>(buffer.data(), count, width, Eigen::OuterStride<>(width));
  }

  void read_to(Index first, Index count, T* to, Index to_stride) const {
    if (paged.tokens) return paged.read_to(first, count, to, to_stride);
    const char* const from = data + first * steps.token;
    const StridedView<T> out(to, {count, steps.width}, {to_stride, Index{1}});
    if (table && same_scalar) {
      const Index scalar = sizeof(T);
      rotate(StridedView<const T>(reinterpret_cast<const T*>(from), {count, steps.width},
                                  {steps.token / scalar, steps.feature / scalar}),
             out, first, Direction::forward);
      return;
    }
    copy(from, steps, count, to, to_stride);
    if (table) rotate(out, out, first, Direction::forward);
  }

  /// The gradient of rotated tokens becomes that of the tokens, in place.
  void rotate_back(Index first, Index count, T* gradient, Index stride) const {
    if (!table) return;
    const StridedView<T> view(gradient, {count, steps.width}, {stride, Index{1}});
    rotate(view, view, first, Direction::transpose);
  }

 private:
  template <class In>
  void rotate(const StridedView<In>& in, const StridedView<T>& out, Index first, Direction direction) const {
    RowStrides strides{};
    strides[0] = row_step;
    apply_rows(*table, in, out, strides, rows + first * row_step, direction);
  }
};

/// A tensor [.., tokens, heads, features] to read, or sequences of a cache.
template <RowScalar T>
struct TokenInput {
  HeadTensor<const char> tensor = {};
  typename HeadReader<T>::Read copy = nullptr;
  bool same_scalar = false;
  const CosSinTable<T>* table = nullptr;
  RowStrides row_strides = {};
  const PagedTokens<T>* paged = nullptr;               // of a cache, in place of the tensor
  std::span<const std::span<const Index>> pages = {};  // of each sequence

  /// Throws unless the rows fit the tensor.
  template <class X>
  static TokenInput of(const StridedView<const X>& x, const CosSinTable<T>* table, const char* name) {
    TokenInput input{HeadTensor<const char>::of(x), &read_tokens<X, T>, std::is_same_v<X, T>, table};
    if (!table) return input;
    const HeadLayout& layout = table->layout();
    check_window(x, layout.start_index, layout.rotary_dim);
    if (sequence_axis(layout.seq_dim, x.rank) != x.rank - 3)
      fail("the rows of ", name, " have seq_dim ", layout.seq_dim, ", it must be -3, the axis of tokens");
    input.row_strides = row_strides_of(*table, x, x.rank - 3);
    return input;
  }

  Index extent(int from_last) const { return tensor.bytes.extent(tensor.bytes.rank - from_last); }

  HeadReader<T> head(Index b, Index h) const {
    if (paged) {
      HeadReader<T> reader{nullptr, paged->steps, nullptr, paged->same_scalar};
      reader.paged = {paged, pages[static_cast<std::size_t>(b)].data(), h};
      return reader;
    }
    HeadReader<T> reader{tensor.head(b, h), tensor.steps(), copy, same_scalar, table};
    if (!table || tensor.bytes.empty()) return reader;
    const auto stride = [&](int from_last) {
      return row_strides[static_cast<std::size_t>(tensor.bytes.rank - from_last)];
    };
    reader.rows = table->data() + tensor.sequence_offset(b, row_strides) + h * stride(2);
    reader.row_step = stride(3);
    return reader;
  }
};

/// A tensor [.., tokens, heads, features] to write.
template <RowScalar T>
struct TokenOutput {
  HeadTensor<char> tensor;
  void (*write)(const T*, Index, Index, char*, const TokenSteps&);

  template <class X>
  static TokenOutput of(const StridedView<X>& x) {
    return {HeadTensor<char>::of(x), &write_tokens<X, T>};
  }

  /// Writes rows as the tokens [first, first + count) of a head.
  void write_head(Index b, Index h, Index first, Index count, const T* rows, Index stride) const {
    const TokenSteps steps = tensor.steps();
    write(rows, stride, count, tensor.head(b, h) + first * steps.token, steps);
  }
};

}  // namespace rotary::inline ROTARY_ABI::detail
