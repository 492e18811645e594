#include "tensor/autograd.h"

#include <atomic>
#include <map>

#include "base/threads.h"

namespace sumi::tensor {
namespace {

thread_local bool recording = true;
// Set by an operation that would have recorded, were recording on; null: nobody asks.
thread_local bool* would_record = nullptr;
std::atomic<uint64_t> next_sequence{1};

// What one record holds. Destroying it may destroy the record before it, and so on down to the
// first: AutogradMeta's destructor therefore only queues, and the outermost call empties the queue.
struct History {
  std::vector<GradientTarget> inputs;
  BackwardFunction backward;
};

void bury(History history) {
  thread_local std::vector<History> queue;
  thread_local bool emptying = false;
  queue.push_back(std::move(history));
  if (emptying) return;
  emptying = true;
  while (!queue.empty()) {
    const History last = std::move(queue.back());
    queue.pop_back();
  }
  emptying = false;
}

// into += from, f32.
void add_in_place(Tensor& into, const Tensor& from) {
  float* a = into.f32();
  const float* b = from.f32();
  base::parallel_for(into.numel(), 32768, [&](int64_t begin, int64_t end) {
#pragma omp simd
    for (int64_t i = begin; i < end; ++i) a[i] += b[i];
  });
}

// Adds `grad` to `sum`, which may be undefined. Never writes to elements that someone else may see.
void accumulate(Tensor& sum, Tensor grad) {
  if (!sum.defined()) {
    sum = std::move(grad);
    return;
  }
  if (!sum.sole_owner()) {
    if (grad.sole_owner())
      std::swap(sum, grad);  // a + b == b + a, bit for bit
    else
      sum = sum.clone();
  }
  add_in_place(sum, grad);
}

void accumulate_leaf(AutogradMeta& leaf, Tensor grad) {
  if (!leaf.grad.defined()) {
    const bool as_it_is = leaf.grad_dtype == grad.dtype() && grad.sole_owner();
    leaf.grad = as_it_is ? std::move(grad) : grad.to(leaf.grad_dtype);
    return;
  }
  if (leaf.grad.dtype() != DType::f32) leaf.grad = leaf.grad.to(DType::f32);
  if (grad.dtype() != DType::f32) grad = grad.to(DType::f32);
  add_in_place(leaf.grad, grad);  // in place, as in PyTorch: handles of grad() see the sum
}

struct Pending {
  std::shared_ptr<AutogradMeta> meta;
  Tensor grad;
};
using PendingRecords = std::map<uint64_t, Pending>;

thread_local PendingRecords* innermost_pending = nullptr;  // of the walk that runs a backward function now

// A walk's records, for its life the innermost.
class Walk {
 public:
  Walk() : before_(innermost_pending) { innermost_pending = &pending; }
  ~Walk() { innermost_pending = before_; }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  PendingRecords pending;

 private:
  PendingRecords* before_;
};

// Inputs are made before outputs, so taking the youngest record first visits each after all its
// uses. Records older than first_sequence are an error: they belong to a graph outside a
// checkpoint.
void run_backward(const Tensor& output, Tensor grad_output, uint64_t first_sequence) {
  const NoGrad no_grad;
  Walk walk;
  PendingRecords& pending = walk.pending;
  pending[output.autograd()->sequence] = {output.autograd(), std::move(grad_output)};
  while (!pending.empty()) {
    const auto youngest = std::prev(pending.end());
    const std::shared_ptr<AutogradMeta> meta = std::move(youngest->second.meta);
    Tensor grad = std::move(youngest->second.grad);
    pending.erase(youngest);
    if (!meta->backward)
      fail("backward: the history of a result of {} was freed by an earlier backward()", meta->op);
    if (meta->sequence < first_sequence)
      fail("checkpoint: its function captured a result of {}; pass it as an input", meta->op);

    History history{std::move(meta->inputs), std::move(meta->backward)};
    meta->inputs.clear();
    meta->backward = nullptr;
    std::vector<Tensor> grads = history.backward(grad);
    grad = Tensor();
    if (grads.size() != history.inputs.size())
      fail("backward of {}: {} gradients for {} inputs", meta->op, grads.size(),
           history.inputs.size());
    for (size_t i = 0; i < grads.size(); ++i) {
      const auto& [source, shape] = history.inputs[i];
      if (!grads[i].defined() || !source) continue;
      const bool as_kept = source->sequence == 0 && grads[i].dtype() == source->grad_dtype;
      if (grads[i].shape() != shape || (grads[i].dtype() != DType::f32 && !as_kept))
        fail("backward of {}: gradient {} {} for input {} of shape {}", meta->op,
             dtype_name(grads[i].dtype()), shape_string(grads[i].shape()), i, shape_string(shape));
      if (source->sequence == 0) {
        accumulate_leaf(*source, std::move(grads[i]));
      } else {
        Pending& slot = pending[source->sequence];
        slot.meta = source;
        accumulate(slot.grad, std::move(grads[i]));
      }
    }
    bury(std::move(history));
  }
}

}  // namespace

AutogradMeta::~AutogradMeta() {
  if (backward || !inputs.empty()) bury({std::move(inputs), std::move(backward)});
}

bool grad_enabled() { return recording; }

namespace {

// Within its life, `answer` becomes true if an operation has an input that needs a gradient.
class AskOperations {
 public:
  explicit AskOperations(bool& answer) : before_(would_record) { would_record = &answer; }
  ~AskOperations() { would_record = before_; }
  AskOperations(const AskOperations&) = delete;
  AskOperations& operator=(const AskOperations&) = delete;

 private:
  bool* before_;
};

}  // namespace

NoGrad::NoGrad() : before_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = before_; }
EnableGrad::EnableGrad() : before_(recording) { recording = true; }
EnableGrad::~EnableGrad() { recording = before_; }

bool needs_record(std::initializer_list<const Tensor*> inputs) {
  if (!recording && !would_record) return false;
  for (const Tensor* input : inputs) {
    if (!input->defined() || !input->requires_grad()) continue;
    if (!recording) *would_record = true;
    return recording;
  }
  return false;
}

void record(Tensor& output, const char* op, const std::vector<Tensor>& inputs,
            BackwardFunction backward) {
  auto meta = std::make_shared<AutogradMeta>();
  meta->requires_grad = true;
  meta->sequence = next_sequence.fetch_add(1, std::memory_order_relaxed);
  meta->op = op;
  for (const Tensor& input : inputs) {
    if (input.defined() && input.requires_grad())
      meta->inputs.push_back({input.autograd(), input.shape()});
    else
      meta->inputs.emplace_back();
  }
  meta->backward = std::move(backward);
  output.autograd() = std::move(meta);
}

void backward(const Tensor& loss) {
  if (!loss.defined()) fail("backward: the loss is undefined");
  if (loss.numel() != 1)
    fail("backward: the loss has shape {}, expected one element", shape_string(loss.shape()));
  backward(loss, Tensor::full(loss.shape(), 1));
}

void backward(const Tensor& output, const Tensor& grad_output) {
  if (!output.defined() || !output.autograd() || output.autograd()->sequence == 0)
    fail("backward: the tensor has no history; no input of its operation required a gradient");
  if (!grad_output.defined() || grad_output.shape() != output.shape())
    fail("backward: gradient of shape {} for an output of shape {}",
         grad_output.defined() ? shape_string(grad_output.shape()) : "(undefined)",
         shape_string(output.shape()));
  run_backward(output, grad_output, 0);
}

void keep_gradient_as(Tensor& leaf, DType dtype) {
  if (!leaf.requires_grad() || leaf.autograd()->sequence != 0)
    fail("keep_gradient_as: the tensor is no leaf with a gradient");
  if (!is_float(dtype)) fail("keep_gradient_as: {} is no type of gradients", dtype_name(dtype));
  leaf.autograd()->grad_dtype = dtype;
}

Tensor waiting_gradient(uint64_t sequence) {
  if (!innermost_pending || sequence == 0) return Tensor();
  const auto found = innermost_pending->find(sequence);
  if (found == innermost_pending->end() || !found->second.grad.sole_owner()) return Tensor();
  return found->second.grad;
}

DType kept_gradient_type(const Tensor& x) {
  const auto& meta = x.autograd();
  return meta && meta->sequence == 0 && !meta->grad.defined() ? meta->grad_dtype : DType::f32;
}

Tensor checkpoint(std::function<Tensor(const std::vector<Tensor>&)> function,
                  std::vector<Tensor> inputs) {
  if (!recording) return function(inputs);
  Tensor output;
  bool needed = false;  // by an input, or a parameter that function captured
  for (const Tensor& input : inputs) needed = needed || (input.defined() && input.requires_grad());
  {
    const NoGrad no_grad;
    const AskOperations ask(needed);
    output = function(inputs);
  }
  needed = needed || output.requires_grad();
  // A function that returns one of its inputs, or a parameter, must not lose that tensor's history.
  if (output.autograd()) output = output.view(output.shape());
  if (!needed) return output;
  record(output, "checkpoint", inputs,
         [function = std::move(function), inputs](const Tensor& grad) {
           const EnableGrad enable;
           const uint64_t first_sequence = next_sequence.load(std::memory_order_relaxed);
           std::vector<Tensor> leaves;
           for (const Tensor& input : inputs) {
             leaves.push_back(input.defined() ? input.view(input.shape()) : Tensor());
             if (input.defined() && input.requires_grad()) leaves.back().set_requires_grad(true);
           }
           const Tensor again = function(leaves);
           if (again.autograd() && again.autograd()->sequence != 0)
             run_backward(again, grad, first_sequence);
           else if (again.requires_grad())  // a leaf itself: an input or a parameter
             accumulate_leaf(*again.autograd(), grad.clone());
           std::vector<Tensor> grads;
           for (const Tensor& leaf : leaves)
             grads.push_back(leaf.defined() ? leaf.grad() : Tensor());
           return grads;
         });
  return output;
}

}  // namespace sumi::tensor
