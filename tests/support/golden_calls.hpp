// The calls of rotary-embedding-torch as calls of this library. Only this file, golden_calls.cpp and
// golden_gradient_calls.cpp depend on our interface.
#pragma once

#include "support/golden_run.hpp"

namespace rotary::testing::golden {

/// The constructor's arguments, all of them read.
struct ModuleOptions {
  RotaryEmbeddingOptions rotary;
  std::optional<XPosOptions> xpos;  ///< with use_xpos
};
/// The reference takes an odd dim where it does not use its cache, we where `allow_odd_dim` is set. It is set
/// for golden cases that the reference does not refuse.
std::optional<ModuleOptions> module_options(const Case& c, const std::optional<Constructor>& constructor);

/// The object of a case: RotaryEmbedding, or XPos and the RotaryEmbedding in it.
template <class T>
class Module {
 public:
  explicit Module(const ModuleOptions& options);

  const RotaryEmbedding<T>& rotary() const { return xpos_ ? xpos_->rotary() : *rotary_; }
  bool has_xpos() const { return xpos_.has_value(); }
  const XPos<T>& xpos() const {
    if (!xpos_) throw NotOffered("rotary: only XPos has scales");
    return *xpos_;
  }

 private:
  std::optional<RotaryEmbedding<T>> rotary_;
  std::optional<XPos<T>> xpos_;
};

/// Where a call rotates, under the reference's names.
struct RotateArguments {
  std::optional<Index> seq_dim;
  double offset = 0, scale = 1;

  RotateOptions options(Direction direction = Direction::forward) const;
  XPosRotateOptions xpos_options(Direction direction = Direction::forward) const;
};
RotateArguments rotate_arguments(const Arguments& args);

/// What apply_rotary_emb takes beside tensors.
ApplyOptions apply_options(const Arguments& args);

/// A call whose arguments have been read. `module` is null where the case constructs nothing.
template <class T>
using Step = std::function<void(Session& session, const Module<T>* module)>;
template <class T>
Step<T> prepare(const Call& call);

/// Reads all arguments, constructs, and makes the calls.
template <class T>
void run(Session& session, const Case& c, const std::optional<Constructor>& constructor,
         const std::vector<Call>& calls);

/// What goes back through the calls: gradients of the tensors by name, and of the object's frequencies.
class Tape {
 public:
  explicit Tape(Session& session) : session_(session) {}

  const Session& values() const { return session_; }
  /// The gradient of the loss with respect to a tensor; zeros if it has no part in it.
  Tensor of(const std::string& name) const;
  void add(const std::string& name, Tensor gradient);
  void add_to_freqs(const std::vector<double>& gradient);

  /// The gradient with respect to "@x" or "self.freqs".
  Tensor with_respect_to(const std::string& name) const;

 private:
  Session& session_;
  std::map<std::string, Tensor> gradients_;
  std::vector<double> freqs_;
};

/// Takes the gradients of a call's results back to its arguments.
template <class T>
using BackwardStep = std::function<void(Tape& tape, const Module<T>* module)>;
template <class T>
BackwardStep<T> prepare_backward(const Call& call);

/// Runs the case, goes back through its calls, and compares every gradient.
template <class T>
void run_gradients(const Case& c);

}  // namespace rotary::testing::golden
