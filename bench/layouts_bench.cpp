// Storage that is not the usual: column-major, strided features, part of the features, matrices and blocks.
// Against the contiguous row-major tensor, by bytes that rotate.
#include "support/measured_tensor.hpp"

namespace {

using namespace bench;
using rotary::StridedView;

/// A view of memory in some layout, its buffer, and its embedding.
template <class X>
struct Layout {
  Buffer<X> x;
  StridedView<X> view;
  Rotation how;
  rotary::RotaryEmbedding<RowOf<X>> rotary_emb;

  /// `place(data)` is the view in memory that starts at `data`.
  template <class Place>
  Layout(Index elements, const Place& place, int seq_axis, Pairing pairing, Index rotary_dim)
      : x(elements),
        view(place(x.data())),
        how{pairing, rotary_dim, seq_axis},
        rotary_emb({.dim = rotary_dim, .pairing = pairing}) {}

  std::string check(const std::function<void()>& rotate) {
    Buffer<X> want(x);
    StridedView<X> in_want = view;
    in_want.data = want.data() + (view.data - x.data());
    rotate_by_reference(in_want, how);
    rotate();
    return difference(x, want);
  }
};

/// Bytes that a rotation of `x` reads and writes.
template <class X>
double rotated_bytes(const StridedView<X>& x, Index rotary_dim) {
  return 2.0 * sizeof(X) * static_cast<double>(x.size() / x.extent(x.rank - 1) * rotary_dim);
}

/// `rotate(layout)` against the contiguous tensor of the shape.
template <class X, class F>
Comparison against_contiguous(std::shared_ptr<Layout<X>> layout, F rotate, const Shape& shape) {
  const auto contiguous = measured_tensor<X>(shape, Order::heads_first, layout->how.pairing);
  const auto run = [layout, rotate]() mutable { rotate(*layout); };
  return {repeated(run), repeated(in_place(contiguous)), [layout, run] { return layout->check(run); },
          rotated_bytes(layout->view, layout->how.rotary_dim), contiguous->bytes()};
}

constexpr char kRow[] = "ColMajor, strided features, 64 of 128";

template <class X>
void add_column_major(const Shape& shape) {
  for (const Pairing pairing : kPairings) {
    add({"layouts/" + name_of(pairing) + "/" + kName<X> + "/column_major/" + shape.name, kRow, "row-major",
         at_least(0.8)},
        [=] {
          using Map = Eigen::TensorMap<Eigen::Tensor<X, 4, Eigen::ColMajor>>;
          const auto map = [shape](X* data) {
            return Map(data, shape.batch, shape.heads, shape.seq, shape.head_dim);
          };
          const auto view = [map](X* data) {
            auto tensor = map(data);
            return rotary::view_of(tensor);
          };
          const auto of = std::make_shared<Layout<X>>(shape.size(), view, 2, pairing, shape.head_dim);
          const auto rotate = [tensor = map(of->x.data())](Layout<X>& layout) mutable {
            layout.rotary_emb.rotate_in_place(tensor);
          };
          return against_contiguous(of, rotate, shape);
        });
  }
}

/// [batch, heads, seq, head_dim] by strides.
template <class X>
void add_strided(const char* what, const Shape& shape, std::array<Index, 4> strides, Index elements,
                 Index head_dim) {
  for (const Pairing pairing : kPairings) {
    add({"layouts/" + name_of(pairing) + "/" + kName<X> + "/" + what + "/" + shape.name, kRow, "row-major",
         at_least(0.8)},
        [=] {
          const auto view = [=](X* data) {
            return StridedView<X>(data, {shape.batch, shape.heads, shape.seq, head_dim},
                                  {strides[0], strides[1], strides[2], strides[3]});
          };
          const auto of = std::make_shared<Layout<X>>(elements, view, 2, pairing, shape.head_dim);
          const auto rotate = [](Layout<X>& layout) { layout.rotary_emb.rotate_in_place(layout.view); };
          return against_contiguous(of, rotate, shape);
        });
  }
}

template <class X>
void add_strided_layouts(const Shape& of) {
  const Index seq = of.seq, dim = of.head_dim, heads = of.heads, size = of.size();
  // The stride of features is the sequence length: [batch, heads, head_dim, seq] in memory.
  add_strided<X>("features_before_seq", of, {heads * seq * dim, seq * dim, 1, seq}, size, dim);
  // The stride of features is `heads`: [batch, seq, head_dim, heads] in memory.
  add_strided<X>("heads_last", of, {heads * seq * dim, 1, heads * dim, heads}, size, dim);
  // Twice as many features as rotate.
  add_strided<X>("64_of_128", of, {heads * seq * 2 * dim, seq * 2 * dim, 2 * dim, 1}, 2 * size, 2 * dim);
}

constexpr Index kSeq = 1024, kDim = 64;

/// [seq, feature] as a matrix, whole or a block of one three times as wide, against the tensor of two axes in
/// the same storage order.
template <int kOrder>
void add_matrix(bool is_block) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, kOrder>;
  const std::string order = kOrder == Eigen::RowMajor ? "row_major" : "column_major";
  for (const Pairing pairing : kPairings) {
    add({"layouts/" + name_of(pairing) + "/float/" + order + (is_block ? "_block" : "_matrix") + "/1024x64",
         "Matrix and Block, both storage orders", "the same tensor", at_least(0.9)},
        [=] {
          const Index columns = is_block ? 3 * kDim : kDim, first = is_block ? kDim : 0;
          const auto block = [=](float* data) {
            return Eigen::Map<Matrix>(data, kSeq, columns).middleCols(first, kDim);
          };
          const auto view = [=](float* data) {
            auto of = block(data);
            return rotary::view_of(of);
          };
          const auto of = std::make_shared<Layout<float>>(kSeq * columns, view, 0, pairing, kDim);
          const auto matrix = std::make_shared<Eigen::Map<Matrix>>(of->x.data(), kSeq, columns);
          const auto rotate = [of, matrix, is_block, first] {
            if (is_block) {
              of->rotary_emb.rotate_in_place(matrix->middleCols(first, kDim));
            } else {
              of->rotary_emb.rotate_in_place(*matrix);
            }
          };
          using Tensor = Eigen::Tensor<float, 2, kOrder>;
          const auto buffer = std::make_shared<Buffer<float>>(kSeq * kDim);
          const auto rotate_tensor =
              [of, buffer, tensor = Eigen::TensorMap<Tensor>(buffer->data(), kSeq, kDim)]() mutable {
                of->rotary_emb.rotate_in_place(tensor);
              };
          const double bytes = rotated_bytes(of->view, kDim);
          return Comparison{repeated(rotate), repeated(rotate_tensor),
                            [of, rotate] { return of->check(rotate); }, bytes, bytes};
        });
  }
}

}  // namespace

void bench::register_benchmarks() {
  add_column_major<float>(kCache);
  add_column_major<Eigen::bfloat16>(kCache);
  add_column_major<float>(memory_shape());
  add_strided_layouts<float>(kCache);
  add_strided_layouts<double>(kCache);
  add_strided_layouts<Eigen::bfloat16>(kCache);
  for (const bool is_block : {false, true}) {
    add_matrix<Eigen::RowMajor>(is_block);
    add_matrix<Eigen::ColMajor>(is_block);
  }
}
