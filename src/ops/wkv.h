// What RWKV-4 has in attention's place: mixing with the step before, and the wkv recurrence
// (formulas in kernels/wkv.h).
#pragma once

#include "tensor/tensor.h"

namespace sumi::ops {

// out[t] = mix x[t] + (1 - mix) x[t - 1]. x [B, T, C]; mix [..., C] of C elements; previous [B, C]
// is x[-1], zeros if undefined. -> [B, T, C]. Differentiable but for previous.
Tensor mix_with_previous(const Tensor& x, const Tensor& previous, const Tensor& mix);

// What wkv remembers of a sequence: all [A], updated in place.
struct WkvState {
  Tensor numerator, denominator, maximum;

  static WkvState start(int64_t channels);
};

// key and value [B, T, A], decay and first [A] -> [B, T, A]. With a state, B is 1, the sequence
// goes on from it, and there is no gradient; the values do not depend on how a sequence is cut into
// calls.
Tensor wkv(const Tensor& key, const Tensor& value, const Tensor& decay, const Tensor& first,
           WkvState* state = nullptr);

}  // namespace sumi::ops
