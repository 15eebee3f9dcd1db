// Attention in a ring of ranks against the whole sequence in one process. The ranks are threads here, with messages that copy
// memory when a rank waits for them; tests/mpi has the ranks of MPI.
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>
#include <rotary/attention/ring_pass.hpp>
#include <thread>

#include "support/errors.hpp"
#include "support/ring_case.hpp"

namespace rotary::testing {
namespace {

using detail::RingCall;
using detail::RingTag;
using detail::TokenInput;
using detail::TokenOutput;

/// Messages that have been sent, by receiver and tag.
template <class T>
struct Mailboxes {
  std::mutex mutex;
  std::condition_variable arrived;
  std::map<std::pair<int, RingTag>, std::vector<std::vector<T>>> messages;
};

/// Memory is read as late as MPI may read it, in wait() or in a poll().
template <class T>
class ThreadMessages {
 public:
  ThreadMessages(Mailboxes<T>& mailboxes, int rank, int ranks, std::uint64_t seed)
      : mailboxes_(mailboxes), rank_(rank), next_((rank + 1) % ranks), random_(seed) {}

  T* buffer(Index count) {
    buffers_.emplace_back(static_cast<std::size_t>(count), T(77));
    return buffers_.back().data();
  }
  std::size_t buffers() const { return buffers_.size(); }
  void send(RingTag tag, const T* data, Index count) { sent_.push_back({tag, data, count}); }
  void receive(RingTag tag, T* data, Index count) {
    std::fill_n(data, count, T(55));  // MPI may write at any time from here on
    received_.push_back({tag, data, count});
  }
  void poll() {
    if (random_.integer(0, 3) == 0) deliver();
  }
  void wait() {
    deliver();
    for (const auto& [tag, data, count] : received_) {
      std::unique_lock lock(mailboxes_.mutex);
      auto& box = mailboxes_.messages[{rank_, tag}];
      mailboxes_.arrived.wait(lock, [&] { return !box.empty(); });
      ASSERT_EQ(static_cast<Index>(box.front().size()), count);
      std::copy(box.front().begin(), box.front().end(), data);
      box.erase(box.begin());
    }
    received_.clear();
  }

 private:
  template <class Pointer>
  struct Message {
    RingTag tag;
    Pointer data;
    Index count;
  };
  void deliver() {
    const std::lock_guard lock(mailboxes_.mutex);
    for (const auto& [tag, data, count] : sent_)
      mailboxes_.messages[{next_, tag}].push_back(std::vector<T>(data, data + count));
    sent_.clear();
    mailboxes_.arrived.notify_all();
  }

  Mailboxes<T>& mailboxes_;
  int rank_, next_;
  Random random_;
  std::vector<std::vector<T>> buffers_;
  std::vector<Message<const T*>> sent_;
  std::vector<Message<T*>> received_;
};

/// Runs forward and backward on all ranks, and returns what each has.
template <class T>
std::vector<RankTensors<T>> run_ring(const RingCase& c, std::uint64_t seed = 1) {
  const auto ranks = static_cast<std::size_t>(c.ranks());
  std::vector<RankTensors<T>> tensors;
  std::vector<RingCall> calls;
  const auto options = c.a.options<T>({});
  const auto call_of = [&](const RankTensors<T>& r) {
    return detail::attention_call<T>(view_of(r.q), view_of(r.k), view_of(r.v), options);
  };
  for (int rank = 0; rank < c.ranks(); ++rank) {
    tensors.push_back(c.inputs<T>(rank));
    calls.push_back(detail::ring_call(call_of(tensors.back()).sizes, options, c.slices));
  }
  detail::check_ring_calls(calls);
  Mailboxes<T> forward, backward;
  std::vector<std::thread> threads;
  for (std::size_t rank = 0; rank < ranks; ++rank)
    threads.emplace_back([&, rank] {
      RankTensors<T>& r = tensors[rank];
      const auto call = call_of(r);
      const detail::RingPass<T> pass(call, c.slices, calls, static_cast<int>(rank));
      const auto input = [](const auto& x) {
        return TokenInput<T>::of(StridedView<const T>(view_of(x)), nullptr, "");
      };
      const auto output = [](auto& x) { return TokenOutput<T>::of(view_of(x)); };
      const StridedView<T> sums = detail::with_one_feature(view_of(r.log_sum), view_of(r.q));
      const auto log_sum = TokenOutput<T>::of(sums);
      ThreadMessages<T> messages(forward, static_cast<int>(rank), c.ranks(), seed * 100 + rank);
      pass.attend(output(r.out), &log_sum, messages, CallingThread());
      // The block that is read, and the one that arrives meanwhile.
      EXPECT_EQ(messages.buffers(), ranks == 1 ? 1u : 2u);
      ThreadMessages<T> more(backward, static_cast<int>(rank), c.ranks(), seed * 200 + rank);
      pass.backward(
          {input(r.out), input(r.grad_out), TokenInput<T>::of(StridedView<const T>(sums), nullptr, ""),
           output(r.grad_q), output(r.grad_k), output(r.grad_v)},
          more, CallingThread());
    });
  for (std::thread& thread : threads) thread.join();
  return tensors;
}

template <class T>
void compare(const RingCase& c, double tolerance) {
  const auto tensors = run_ring<T>(c);
  for (int rank = 0; rank < c.ranks(); ++rank)
    EXPECT_LE(c.error(tensors[static_cast<std::size_t>(rank)], rank), tolerance) << "rank " << rank;
}

TEST(RingPass, EqualsTheWholeSequence) {
  Random random(1641);
  SCOPED_TRACE(random.replay());
  for (int ranks = 1; ranks <= 5; ++ranks)
    for (unsigned which = 0; which < kRingCases; ++which)
      for (const Index most : {5, 20}) {
        const RingCase c = random_ring_case(random, ranks, which, most);
        SCOPED_TRACE(describe(c.a, which) + ", " + std::to_string(ranks) + " ranks");
        compare<double>(c, 1e-12);
        compare<float>(c, 1e-5);
      }
}

// More tokens than a block of backward or forward has rows.
TEST(RingPass, EqualsTheWholeSequenceAcrossBlocks) {
  Random random(1642);
  SCOPED_TRACE(random.replay());
  for (const RingSlices slices : {RingSlices::contiguous, RingSlices::zig_zag}) {
    const RingCase c(random, {.heads = 2, .d = 8, .d_v = 4, .causal = true}, slices, {280, 280, 280},
                     {280, 280, 280});
    compare<double>(c, 1e-12);
    compare<float>(c, 1e-5);
  }
}

// Scores of about ±60: exponentials overflow a float unless parts are merged by their logarithms.
TEST(RingPass, LargeScores) {
  Random random(1643);
  SCOPED_TRACE(random.replay());
  const RingCase c(random, {.heads = 2, .d = 16, .d_v = 4, .causal = true, .scale = 8}, RingSlices::zig_zag,
                   {20, 20}, {20, 20});
  compare<double>(c, 1e-12);
  compare<float>(c, 1e-4);  // of a sum over scores that are rounded to 4e-6
}

// Messages that arrive early or late change no bit.
TEST(RingPass, BitsDoNotDependOnTiming) {
  Random random(1644);
  SCOPED_TRACE(random.replay());
  for (unsigned which = 0; which < 4; ++which) {
    const RingCase c = random_ring_case(random, 4, which, 40);
    const auto first = run_ring<float>(c, 1);
    for (std::uint64_t seed = 2; seed < 6; ++seed) {
      const auto again = run_ring<float>(c, seed);
      for (std::size_t rank = 0; rank < 4; ++rank) {
        EXPECT_EQ(farthest(again[rank].out, first[rank].out), 0);
        EXPECT_EQ(farthest(again[rank].log_sum, first[rank].log_sum), 0);
        EXPECT_EQ(farthest(again[rank].grad_q, first[rank].grad_q), 0);
        EXPECT_EQ(farthest(again[rank].grad_k, first[rank].grad_k), 0);
        EXPECT_EQ(farthest(again[rank].grad_v, first[rank].grad_v), 0);
      }
    }
  }
}

// One rank is one call of attend, bit for bit.
TEST(RingPass, OneRankHasTheBitsOfAttend) {
  Random random(1645);
  SCOPED_TRACE(random.replay());
  const RingCase c = random_ring_case(random, 1, 1, 60);
  const auto got = run_ring<float>(c);
  RankTensors<float> want = c.inputs<float>(0);
  attend_with_log_sum(want.q, want.k, want.v, want.out, want.log_sum, c.a.options<float>({}));
  EXPECT_EQ(farthest(got[0].out, want.out), 0);
  EXPECT_EQ(farthest(got[0].log_sum, want.log_sum), 0);
}

// A zig-zag slice: with a causal mask every rank has as many pairs to compute, whoever's keys they are.
TEST(RingPass, ZigZagSlicesAreBalanced) {
  const std::vector<Index> tokens(4, 6);
  const detail::PieceOptions<float> causal{{.causal = true}};
  for (std::size_t rank = 0; rank < 4; ++rank)
    for (std::size_t of = 0; of < 4; ++of) {
      int pairs = 0;
      for (const auto& q : detail::ring_pieces(RingSlices::zig_zag, tokens, rank))
        for (const auto& k : detail::ring_pieces(RingSlices::zig_zag, tokens, of)) pairs += causal.sees(q, k);
      EXPECT_EQ(pairs, of == rank ? 3 : 2) << rank << " " << of;
    }
}

TEST(RingPass, RanksThatDoNotAgree) {
  const detail::AttentionSizes sizes{2, 8, 8, 4, 2, 16, 16};
  const auto refused = [&](auto change, RingSlices slices, std::initializer_list<std::string_view> parts) {
    std::vector<RingCall> calls(3, detail::ring_call<float>(sizes, {.causal = true}, slices));
    change(calls[1]);
    expect_error([&] { detail::check_ring_calls(calls); }, parts);
  };
  const auto contiguous = RingSlices::contiguous, zig_zag = RingSlices::zig_zag;
  refused([](RingCall& c) { c.wrong = 1; }, contiguous, {"rank 1", "wrong arguments", "its own message"});
  refused([](RingCall& c) { c.facts[RingCall::d] = 8; }, contiguous,
          {"agree on features of keys", "rank 0 has 16", "rank 1 has 8"});
  refused([](RingCall& c) { c.facts[RingCall::bytes] = 8; }, contiguous, {"bytes of a number"});
  refused([](RingCall& c) { c.facts[RingCall::causal] = 0; }, contiguous, {"causal", "rank 1 has 0"});
  refused([](RingCall& c) { c.facts[RingCall::scale] = 0.5; }, contiguous, {"scale", "rank 1 has 0.5"});
  refused([](RingCall& c) { c.seq_q = 7; }, contiguous, {"rank 1 has 7 queries and 8 keys", "as many"});
  refused([](RingCall& c) { c.seq_q = c.seq_k = 6; }, zig_zag, {"one length", "8 tokens, rank 1 has 6"});
  std::vector<RingCall> odd(2, detail::ring_call<float>({1, 7, 7, 4, 2, 16, 16}, {.causal = true}, zig_zag));
  expect_error([&] { detail::check_ring_calls(odd); }, {"even number of tokens", "found 7"});
}

}  // namespace
}  // namespace rotary::testing
