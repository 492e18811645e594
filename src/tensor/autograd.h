// The autograd tape: reverse-mode differentiation of the operations in ops/.
//
// An operation whose inputs need a gradient calls record() on its output with a function that turns
// the output's gradient into gradients of the inputs. backward() walks those records once, in
// reverse order of their making. Nothing is recorded inside a NoGrad scope: inference pays one test
// per op.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "tensor/tensor.h"

namespace sumi::tensor {

// Receives d loss / d output; returns d loss / d input for each input, in order. An undefined
// Tensor means "none" (the input needs none).
using BackwardFunction = std::function<std::vector<Tensor>(const Tensor& grad_output)>;

// Where a gradient goes. Not the tensor itself: its elements live on only if a backward function holds
// them.
struct GradientTarget {
  std::shared_ptr<AutogradMeta> meta;  // null: no gradient is needed
  Shape shape;
};

struct AutogradMeta {
  AutogradMeta() = default;
  ~AutogradMeta();  // does not recurse, however deep the history
  AutogradMeta(const AutogradMeta&) = delete;
  AutogradMeta& operator=(const AutogradMeta&) = delete;

  bool requires_grad = false;
  Tensor grad;
  DType grad_dtype = DType::f32;       // of a leaf, see keep_gradient_as()
  uint64_t sequence = 0;               // order of making
  const char* op = "";                 // for error messages
  std::vector<GradientTarget> inputs;  // empty for a leaf
  BackwardFunction backward;
};

bool grad_enabled();  // this thread

class NoGrad {  // turns recording off for a scope
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  bool before_;
};

class EnableGrad {  // turns it on again inside a NoGrad scope
 public:
  EnableGrad();
  ~EnableGrad();
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  bool before_;
};

// True when recording is on and some input needs a gradient.
bool needs_record(std::initializer_list<const Tensor*> inputs);

// Marks `output` as made from `inputs`. Call only when needs_record() said so. The elements of the
// inputs are not kept: `backward` holds those that it reads.
void record(Tensor& output, const char* op, const std::vector<Tensor>& inputs,
            BackwardFunction backward);

// Adds d loss / d leaf to the grad() of every leaf that requires a gradient. loss must have one
// element. Frees the recorded history on the way. Throws Error if loss has no history.
void backward(const Tensor& loss);
// The same from a given d loss / d output (same shape as output).
void backward(const Tensor& output, const Tensor& grad_output);

// A leaf's gradient waits for its use in this type, f32, f16 or bf16, if one arrives alone; from the second that is
// added on, the sum is f32. `leaf` must require a gradient.
void keep_gradient_as(Tensor& leaf, DType dtype);

// The type in which a gradient that arrives for `x` now is kept: a backward may return it so, or f32.
DType kept_gradient_type(const Tensor& x);

// For backward functions: what has arrived of the gradient of the input with this record (AutogradMeta::sequence), f32, to
// add to in place, returning no gradient for that input then. Undefined if nothing has, if someone else has a handle of
// it, or for a leaf.
Tensor waiting_gradient(uint64_t sequence);

// Gradient checkpointing: runs function(inputs) without recording; its backward runs it again with
// recording on. function must be deterministic. Parameters (leaves) that function captures also
// receive gradients; a captured tensor that has a history is an Error: pass it as an input.
Tensor checkpoint(std::function<Tensor(const std::vector<Tensor>&)> function,
                  std::vector<Tensor> inputs);

}  // namespace sumi::tensor
