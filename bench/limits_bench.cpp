// The limits of the machine: reading and writing bytes by the access patterns of rotations, without rotating.
//
// There are no goals here. If a rotation is below its goal, these benchmarks show how much of that is due to
// the machine.
#define EIGEN_USE_THREADS
#include <rotary/tensor/parallel.hpp>

#include "support/measured_tensor.hpp"

namespace {

using namespace bench;

constexpr char kRow[] = "the machine: ";

/// `f()`, which multiplies what is in the buffer by 1, and whether it leaves that as it was.
template <class X, class F>
std::function<std::string()> unchanged(std::shared_ptr<Buffer<X>> x, F f) {
  return [x, f] {
    const Buffer<X> want(*x);
    f();
    return difference(*x, want);
  };
}

/// A copy by the vectors of a rotation: with ordinary stores, which fetch what they overwrite, or
/// non-temporal ones.
void add_copy(const std::string& what, const std::string& row, const Shape& shape,
              void (*copy_it)(const float*, float*, Index)) {
  add({"limits/" + what + "/float/" + shape.name, kRow + row, "memcpy", no_goal()}, [=] {
    const auto from = std::make_shared<Buffer<float>>(shape.size());
    const auto to = std::make_shared<Buffer<float>>(shape.size());
    const double bytes = 2 * static_cast<double>(from->bytes());
    const auto check = [=] {
      copy_it(from->data(), to->data(), from->size());
      return difference(*to, *from);
    };
    return Comparison{repeated([=] { copy_it(from->data(), to->data(), from->size()); }),
                      repeated([=] { copy(from->data(), to->data(), from->bytes()); }), check, bytes, bytes};
  });
}

/// The arithmetic of a rotation alone.
template <class X>
void add_one_row(const Shape& shape) {
  for (const Pairing pairing : kPairings) {
    add({"limits/one_row_in_registers/" + name_of(pairing) + "/" + kName<X> + "/" + shape.name,
         std::string(kRow) + "rotating contiguous vectors, one row in registers", "x *= a", no_goal()},
        [=] {
          const auto x = std::make_shared<Buffer<X>>(shape.size());
          const double bytes = 2 * static_cast<double>(x->bytes());
          const auto rotate = [=] { rotate_by_one_row(x->data(), x->size(), pairing); };
          return Comparison{repeated(rotate), repeated([=] { scale(x->data(), x->size()); }),
                            unchanged(x, rotate), bytes, bytes};
        });
  }
}

/// S on windows of `length` numbers with stride `step`.
template <class X>
void add_windows(const std::string& what, const Shape& shape, Index length, Index step) {
  add({"limits/" + what + "/" + kName<X> + "/" + shape.name,
       std::string(kRow) + "x *= a on 64 of 128, or of 192, numbers", "x *= a", no_goal()},
      [=] {
        const Index windows = shape.size() / length;
        const auto apart = std::make_shared<Buffer<X>>(windows * step);
        const auto in_a_row = std::make_shared<Buffer<X>>(shape.size());
        const double bytes = 2 * static_cast<double>(in_a_row->bytes());
        const auto by_windows = [=] { scale_windows(apart->data(), windows, step, length); };
        return Comparison{repeated(by_windows), repeated([=] { scale(in_a_row->data(), in_a_row->size()); }),
                          unchanged(apart, by_windows), bytes, bytes};
      });
}

/// Rows of 1, which a multiplication has to load all the same.
std::shared_ptr<Buffer<float>> rows_of(const Shape& shape) {
  const auto rows = std::make_shared<Buffer<float>>(shape.seq * shape.head_dim);
  std::fill_n(rows->data(), rows->size(), 1.0f);
  return rows;
}

/// x *= y, by the rows of a sequence: one head after the other, or all heads of a token.
void add_rows(const Shape& shape, Order order) {
  add({std::string("limits/x_times_rows/float/") + shape.name + suffix(order),
       std::string(kRow) + "x *= y, a row for every token" +
           (order == Order::heads_first ? " of each head" : ""),
       "x *= a", no_goal()},
      [=] {
        const auto x = std::make_shared<Buffer<float>>(shape.size());
        const auto rows = rows_of(shape);
        const double bytes = 2 * static_cast<double>(x->bytes());
        const Index heads_of_row = order == Order::heads_first ? 1 : shape.heads;
        const auto by_rows = [=] {
          const Index step = rows->size() * heads_of_row;
          for (float* part = x->data(); part != x->data() + x->size(); part += step)
            multiply_by_rows(part, part, rows->data(), shape.seq, heads_of_row, shape.head_dim);
        };
        return Comparison{repeated(by_rows), repeated([=] { scale(x->data(), x->size()); }),
                          unchanged(x, by_rows), bytes, bytes};
      });
}

/// z = x · y into another tensor: all heads of a token by its row, or one head after the other.
void add_copy_by_rows(const Shape& shape, Order order) {
  add({std::string("limits/copy_by_rows/float/") + shape.name + suffix(order),
       std::string(kRow) + "z = x * y, a row for every token" +
           (order == Order::heads_first ? " of each head" : ""),
       "memcpy", no_goal()},
      [=] {
        const auto from = std::make_shared<Buffer<float>>(shape.size());
        const auto to = std::make_shared<Buffer<float>>(shape.size());
        const auto rows = rows_of(shape);
        const double bytes = 2 * static_cast<double>(from->bytes());
        const Index heads_of_row = order == Order::heads_first ? 1 : shape.heads;
        const auto by_rows = [=] {
          const Index step = rows->size() * heads_of_row;
          for (Index n = 0; n < from->size(); n += step)
            multiply_by_rows(from->data() + n, to->data() + n, rows->data(), shape.seq, heads_of_row,
                             shape.head_dim);
        };
        const auto check = [=] {
          by_rows();
          return difference(*to, *from);
        };
        return Comparison{repeated(by_rows), repeated([=] { copy(from->data(), to->data(), from->bytes()); }),
                          check, bytes, bytes};
      });
}

/// S on 16-bit numbers, which are widened and rounded, against S on as many numbers of float.
template <class X>
void add_16_bits() {
  add({std::string("limits/x_times_a/") + kName<X> + "/cache",
       std::string(kRow) + "x *= a of 16-bit numbers, elements/s", "x *= a (float)", no_goal()},
      [=] {
        const auto narrow = std::make_shared<Buffer<X>>(kCache.size());
        const auto wide = std::make_shared<Buffer<float>>(kCache.size());
        const double bytes = 2 * static_cast<double>(wide->bytes());
        const auto scale_narrow = [=] { scale(narrow->data(), narrow->size()); };
        return Comparison{repeated(scale_narrow), repeated([=] { scale(wide->data(), wide->size()); }),
                          unchanged(narrow, scale_narrow), bytes, bytes};
      });
}

/// S on 16-bit numbers in memory, against S on as many bytes of float.
template <class X>
void add_16_bits_in_memory() {
  add({std::string("limits/x_times_a/") + kName<X> + "/memory",
       std::string(kRow) + "x *= a of 16-bit numbers, bytes/s", "x *= a (float)", no_goal()},
      [=] {
        const auto x = std::make_shared<Buffer<X>>(memory_shape().size());
        const double bytes = 2 * static_cast<double>(x->bytes());
        const auto scale_it = [=] { scale(x->data(), x->size()); };
        return Comparison{repeated(scale_it), repeated([=] { scale_as_float(x->data(), x->bytes()); }),
                          unchanged(x, scale_it), bytes, bytes};
      });
}

/// S shared by two threads of Eigen's pool, against one.
void add_threads(const Shape& shape) {
  add({std::string("limits/two_threads/float/") + shape.name,
       std::string(kRow) + "x *= a by two threads of Eigen's pool", "one thread", no_goal()},
      [=] {
        struct Threads {
          Eigen::ThreadPool pool{2};
          Eigen::ThreadPoolDevice device{&pool, 2};
        };
        const auto threads = std::make_shared<Threads>();
        const auto of = measured_tensor<float>(shape, Order::heads_first, Pairing::half);
        auto tensor = of->map();
        const std::shared_ptr<Buffer<float>> x(of, &of->x);
        const auto shared = [of, threads, view = rotary::view_of(tensor)] {
          const Index elements = view.size();
          rotary::detail::in_parts(threads->device, view, 2, [&](int axis, Index first, Index last) {
            const Index each = elements / view.extent(axis);
            scale(of->x.data() + first * each, (last - first) * each);
          });
        };
        return Comparison{repeated(shared), repeated(scaled(of)), unchanged(x, shared),
                          of->bytes(),      of->bytes(),          true};
      });
}

/// The plain call on a tensor where Eigen puts it, 16 bytes beyond a cache line, against one that starts on
/// it.
void add_alignment(const Shape& shape) {
  for (const Pairing pairing : kPairings) {
    add({"limits/" + name_of(pairing) + "/float/beside_a_line/" + shape.name,
         std::string(kRow) + "tensors that start 16 bytes after a cache line", "on a cache line", no_goal()},
        [=] {
          const auto aligned = measured_tensor<float>(shape, Order::heads_first, pairing);
          Shape longer = shape;
          longer.heads += 1;  // room to move
          const auto beside = measured_tensor<float>(longer, Order::heads_first, pairing);
          const auto rotate = [beside,
                               tensor = MeasuredTensor<float>::Map(beside->x.data() + 4, shape.batch,
                                                                   shape.heads, shape.seq, shape.head_dim),
                               options = beside->options()]() mutable {
            beside->rotary_emb.rotate_in_place(tensor, options);
          };
          const auto check = [beside, rotate = rotate, shape]() mutable {
            Buffer<float> want(beside->x);
            MeasuredTensor<float>::Map tensor(want.data() + 4, shape.batch, shape.heads, shape.seq,
                                              shape.head_dim);
            rotate_by_reference(rotary::view_of(tensor), beside->how);
            rotate();
            return difference(beside->x, want);
          };
          return Comparison{repeated(rotate), repeated(in_place(aligned)), check, aligned->bytes(),
                            aligned->bytes()};
        });
  }
}

}  // namespace

void bench::register_benchmarks() {
  for (const Shape& shape : {kDecode, kSmall, kCache}) {
    add_copy("copy_by_vectors", "a copy by vectors", shape, copy_by_vectors);
    add_copy_by_rows(shape, Order::seq_first);
  }
  // The bytes of kSmall in float and in double.
  for (const Shape& shape : {kSmall, Shape{"small_of_double", 1, 8, 64, 128}})
    add_copy_by_rows(shape, Order::heads_first);
  add_copy("copy_nontemporal", "a copy with non-temporal stores", memory_shape(), copy_nontemporal);
  add_one_row<float>(kDecode);
  add_one_row<double>(kDecode);
  add_windows<float>("64_of_128", kCache, 64, 128);
  add_windows<double>("64_of_128", kCache, 64, 128);
  add_windows<float>("64_of_192", {"1024x64", 1, 1, 1024, 64}, 64, 192);
  for (const Order order : kOrders) add_rows(kCache, order);
  add_16_bits<Eigen::half>();
  add_16_bits<Eigen::bfloat16>();
  add_16_bits_in_memory<Eigen::half>();
  add_16_bits_in_memory<Eigen::bfloat16>();
  for (const Shape& shape : {kManyHeads, kBatch}) add_threads(shape);
  add_alignment(kDecode);
  add_alignment(kCache);
}
