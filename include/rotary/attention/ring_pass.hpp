// One call of attention in a ring of ranks: which blocks are computed when, and what is sent meanwhile.
#pragma once

#include "ring_slices.hpp"

namespace rotary::inline ROTARY_ABI::detail {

/// What a message in a ring holds: keys and values, or the gradients of them.
enum class RingTag { keys, gradients };

/// Runs tasks on a device, a few at a time, and polls in between: messages may need a thread that moves them.
template <class Messages, class Device>
struct PollingDevice {
  const Device& device;
  Messages& messages;

  template <class Work>
  void parallelFor(Index count, const Eigen::TensorOpCost& cost, const Work& work) const {
    const Index step = std::is_same_v<Device, CallingThread> ? 1 : 8 * threads_of(device);
    for (Index begin = 0; begin < count; begin += step) {
      messages.poll();
      device.parallelFor(std::min(step, count - begin), cost,
                         [&](Index first, Index last) { work(begin + first, begin + last); });
    }
  }
};

/// The keys and values of one rank, or the gradients of them, one after the other in memory; without data where only
/// their size is asked for.
template <RowScalar T>
struct RingBlock {
  HeadBlock<T> keys, values;

  RingBlock(T* data, const AttentionSizes& sizes, Index tokens)
      : keys{data, sizes.batch, sizes.kv_heads, tokens, sizes.d},
        values{data ? data + keys.size() : nullptr, sizes.batch, sizes.kv_heads, tokens, sizes.d_v} {}
  Index size() const { return keys.size() + values.size(); }
};

/// One call of attention in a ring, on which the ranks agree.
///
/// `Messages` are those to the next rank and from the one before: buffer(count) allocates memory to send from and to receive
/// into, send(tag, data, count) and receive(tag, data, count) start, poll() lets them proceed, and wait() returns when all
/// have been carried out. Messages with one tag arrive in order.
template <RowScalar T>
class RingPass {
 public:
  struct Gradients {
    TokenInput<T> out, grad_out, log_sum;
    TokenOutput<T> grad_queries, grad_keys, grad_values;
  };

  RingPass(const AttentionCall<T>& call, RingSlices slices, std::span<const RingCall> calls, int rank)
      : call_(call),
        slices_(slices),
        rank_(rank),
        ranks_(static_cast<int>(calls.size())),
        options_{call.options} {
    options_.options.query_rows = options_.options.key_rows =
        nullptr;  // blocks are rotated when they are read
    for (const RingCall& of : calls) {
      seq_q_.push_back(static_cast<Index>(of.seq_q));
      seq_k_.push_back(static_cast<Index>(of.seq_k));
    }
  }

  /// `log_sum` may be null.
  template <class Messages, class Device>
  void attend(const TokenOutput<T>& out, const TokenOutput<T>* log_sum, Messages& messages,
              const Device& device) const {
    if (call_.sizes.batch == 0) return;
    const OwnedBlock<T> queries = read(call_.queries, call_.sizes.d);
    BlockAttention<T> attention(queries, ring_pieces(slices_, seq_q_, before(0)), call_.sizes.d_v, options_);
    visit_blocks(messages, [&](int step, const RingBlock<T>& block) {
      attention.add(block.keys, block.values, key_pieces(step),
                    PollingDevice<Messages, Device>{device, messages});
      messages.wait();
    });
    write_block(attention.result(), out);
    if (log_sum) write_block(attention.log_sum(), *log_sum);
  }

  /// The gradients of a block are summed while it travels: each rank adds its part, in the order of the ranks from the owner
  /// on, and the last one returns them to the owner.
  template <class Messages, class Device>
  void backward(const Gradients& tensors, Messages& messages, const Device& device) const {
    if (call_.sizes.batch == 0) return;
    const Index d_v = call_.sizes.d_v;
    const OwnedBlock<T> queries = read(call_.queries, call_.sizes.d), grad_out = read(tensors.grad_out, d_v),
                        log_sum = read(tensors.log_sum, 1);
    BlockGradients<T> gradients(queries, ring_pieces(slices_, seq_q_, before(0)), read(tensors.out, d_v),
                                grad_out, log_sum, options_);
    T *own = messages.buffer(largest_block()), *sent = messages.buffer(largest_block()),
      *arriving = messages.buffer(largest_block());
    visit_blocks(messages, [&](int step, const RingBlock<T>& block) {
      const RingBlock<T> part = block_of(own, step);
      if (step > 0) messages.receive(RingTag::gradients, arriving, part.size());
      gradients.add(block.keys, block.values, key_pieces(step), part.keys, part.values,
                    PollingDevice<Messages, Device>{device, messages});
      messages.wait();
      using Numbers = Eigen::Map<Eigen::Array<T, Eigen::Dynamic, 1>>;
      if (step > 0) Numbers(own, part.size()) += Numbers(arriving, part.size());
      if (ranks_ > 1) messages.send(RingTag::gradients, own, part.size());
      std::swap(own, sent);
    });
    const RingBlock<T> home = block_of(ranks_ > 1 ? arriving : sent, 0);
    if (ranks_ > 1) messages.receive(RingTag::gradients, arriving, home.size());
    messages.wait();
    write_gradient(gradients.grad_queries(), call_.queries, tensors.grad_queries);
    write_gradient(home.keys, call_.keys, tensors.grad_keys);
    write_gradient(home.values, call_.values, tensors.grad_values);
  }

 private:
  /// The rank whose block is here after `steps` steps.
  std::size_t before(int steps) const { return static_cast<std::size_t>((rank_ + ranks_ - steps) % ranks_); }
  std::vector<TokenPiece> key_pieces(int step) const { return ring_pieces(slices_, seq_k_, before(step)); }
  RingBlock<T> block_of(T* data, int step) const { return {data, call_.sizes, seq_k_[before(step)]}; }
  Index largest_block() const {
    return RingBlock<T>(nullptr, call_.sizes, *std::max_element(seq_k_.begin(), seq_k_.end())).size();
  }
  /// What has a row for each query.
  OwnedBlock<T> read(const TokenInput<T>& from, Index width) const {
    OwnedBlock<T> block({nullptr, call_.sizes.batch, call_.sizes.heads, call_.sizes.seq_q, width});
    read_block(from, block);
    return block;
  }

  /// Calls visit(step, block) for the keys and values of this rank, of the rank before it, and so on. A block is sent on and the
  /// next one received while it is visited; `visit` ends with messages.wait(), after which only what it sends is under way.
  template <class Messages, class Visit>
  void visit_blocks(Messages& messages, const Visit& visit) const {
    T *current = messages.buffer(largest_block()), *next = nullptr;
    if (ranks_ > 1) next = messages.buffer(largest_block());
    const RingBlock<T> own = block_of(current, 0);
    read_block(call_.keys, own.keys);
    read_block(call_.values, own.values);
    for (int step = 0; step < ranks_; ++step, std::swap(current, next)) {
      if (step + 1 < ranks_) {
        messages.receive(RingTag::keys, next, block_of(next, step + 1).size());
        messages.send(RingTag::keys, current, block_of(current, step).size());
      }
      visit(step, block_of(current, step));
    }
  }

  const AttentionCall<T>& call_;
  RingSlices slices_;
  int rank_, ranks_;
  PieceOptions<T> options_;
  std::vector<Index> seq_q_, seq_k_;  // of each rank
};

}  // namespace rotary::inline ROTARY_ABI::detail
