// Every differentiable operation, declared by family. All take and return contiguous tensors, check shapes
// and element types (Error names the op, the operand and both shapes) and record a backward when
// recording is on and an input needs it. Shapes: B batch, T query length, S key length, H heads,
// D head size, C channels. Leading axes written "..." are any number of axes. Elements are f32
// unless said otherwise.
#pragma once

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/conv.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/group_norm.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/low_rank.h"
#include "ops/norm.h"
#include "ops/picture.h"
#include "ops/relative_bias.h"
#include "ops/rope.h"
#include "ops/shape.h"
#include "ops/token_rows.h"
#include "ops/wkv.h"
