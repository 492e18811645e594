// Builds layers from the tensors of a checkpoint, by name.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "formats/tensor_source.h"
#include "nn/conv.h"
#include "nn/embedding.h"
#include "nn/group_norm.h"
#include "nn/initial_weights.h"
#include "nn/int8_trial.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/parameters.h"

namespace sumi::nn {

// One module's tensors: where they lie, what they are called, how their elements are arranged.
struct WeightName {
  std::string file;                // name in the file, without ".weight" and ".bias"
  std::string parameter;           // dotted name as in Hugging Face checkpoints, without them
  bool transposed = false;         // the file has [K, N] (GPT-2's Conv1D)
  std::vector<int64_t> row_order = {};  // row i is the file's row row_order[i]; empty: as in the file
  bool unit_rows = false;          // of a float matrix: each row is divided by its length
  Arrangement exported = {};       // the same in Hugging Face files, whatever the file at hand
};

struct LoadOptions {
  bool trainable = false;  // plain f32 parameters with gradients; else packed for inference
  bool frozen = false;     // plain f32 without gradients, for training adapters
  bool plain() const { return trainable || frozen; }
  // Parts of a packed linear layer are packed each by itself: for training adapters (see Linear::outputs()).
  bool separate_parts = false;
  // What plain linear layers are computed in. With bf16, weights that are frozen are kept so.
  ops::Products products = ops::Products::f32;
  ops::PackedWeight::Compute compute = ops::PackedWeight::Compute::stored;
  // Linear layers that see thousands of rows at once are packed for oneDNN (see nn/linear.h). Then,
  // and for convolutions, Compute::stored means f32 for f32 weights and bf16 for others.
  bool many_rows = false;
  // Then they are packed as q8_0, whose inputs are rounded to int8, too, and convolutions' weights as
  // ops::ConvStorage::int8.
  bool int8_weights = false;
  // Whether int8_weights rounds inputs, too, where products of bytes are fast; else weights alone are rounded, also those of
  // linear layers as ops::ConvStorage::int8_weights.
  bool int8_inputs = true;
  // Layers that int8_weights leaves out, by their parameters' names without ".weight"; null: none.
  std::shared_ptr<const std::unordered_set<std::string>> not_int8;
  // With int8_weights: gets the layers that products in tiles would compute in int8 (see nn/int8_trial.h), all of which
  // begin without it; may be null.
  std::shared_ptr<Int8Trial> int8_trial;
  LoadOptions with_many_rows() const {
    LoadOptions options = *this;
    options.many_rows = true;
    return options;
  }
  // Makes the tensors of a model that begins from nothing, in place of the source's (then empty).
  std::shared_ptr<InitialWeights> initial;
  LoraSource lora;                       // adapters of the linear layers; may be empty
  TokenRowSource token_rows;             // of a decoder's embedding and head; may be empty
  WeightEdit edit;                       // of plain linear weights; may be empty
  std::function<void(double)> progress;  // 0 to 1; may be empty
};

// Checks the names of a checkpoint before anything is read: throws Error naming tensors that
// `expected` has and the file lacks, and tensors of the file that are neither expected nor
// `ignored`.
void check_names(const formats::TensorSource& source, const std::vector<std::string>& expected,
                 const std::function<bool(const std::string&)>& ignored);

// Every tensor's shape is checked before its elements are read (Error names file, tensor, both
// shapes). For inference a tensor's pages are given back as soon as it is packed, so that memory
// never holds the model twice.
class WeightLoader {
 public:
  WeightLoader(const formats::TensorSource& source, LoadOptions options);

  // [n] f32 from "<name>.weight" or "<name>.bias".
  Tensor vector(const WeightName& name, const std::string& suffix, int64_t n);
  // The tensor "<name>" itself, f32 under its shape.
  Tensor values(const WeightName& name, const Shape& shape);
  Norm norm(const WeightName& name, NormKind kind, int64_t n, bool bias, float eps,
            float offset = 0);
  // [rows, columns]. A row range of the table may be read at any time: its pages are not dropped
  // for good.
  Embedding embedding(const WeightName& name, int64_t rows, int64_t columns);
  // The same for the tokens of a text, and the head that gives their logits: with options.token_rows they
  // may have more rows than the file. Rows that are not trained by themselves become part of the tables.
  Embedding token_embedding(const WeightName& name, int64_t rows, int64_t columns);
  Linear head(const WeightName& name, int64_t n, int64_t k, bool bias);
  // Parts with [n[i], k] each. All have a bias, or none.
  Linear linear(const std::vector<WeightName>& parts, const std::vector<int64_t>& n, int64_t k,
                bool bias);
  // One part of values and then gates, n together, for `ops::gated(.., gelu, GateHalf::last)`; the layer may do that
  // itself (Linear::gated()).
  Linear gated_linear(const WeightName& name, int64_t n, int64_t k, bool bias);
  // "<name>.weight" [out, in, kernel, kernel] and, if `bias`, "<name>.bias" [out].
  Conv2d conv2d(const WeightName& name, int64_t out, int64_t in, int64_t kernel,
                const ops::Conv2dOptions& options, bool bias = true);
  GroupNorm group_norm(const WeightName& name, int64_t channels, int64_t groups, float eps);
  // A head that shares the embedding's table.
  Linear tied(const WeightName& name, const Embedding& embedding);

  bool has(const std::string& name) const { return source_.has(name); }
  // Throws Error naming tensors of the file that no layer was made from and that are not `ignored`.
  void check_all_used(const std::function<bool(const std::string&)>& ignored) const;

  const Parameters& parameters() const { return parameters_; }
  size_t memory_bytes() const { return memory_bytes_; }  // of all layers made so far

 private:
  Tensor raw(const std::string& name, const Shape& shape, bool is_embedding = false) const;
  Tensor matrix(const WeightName& name, int64_t n, int64_t k,
                bool is_embedding = false) const;  // rows in order, element type as stored
  Tensor float_tensor(const std::string& name, const Shape& shape) const;
  bool in_int8(const std::string& layer) const;
  ops::ConvStorage conv_storage(DType stored, bool int8) const;
  std::shared_ptr<const ops::PackedConv> packed_conv(const std::string& layer, const Tensor& weight, DType stored,
                                                     const ops::Conv2dOptions& options, bool gated = false);
  Linear::Packed packed_linear(const std::vector<WeightName>& parts, const std::vector<int64_t>& n, int64_t k, bool bias);
  Linear many_row_linear(const std::vector<WeightName>& parts, const std::vector<int64_t>& n,
                         int64_t k, bool bias, bool gated = false);
  Tensor as_kept(const Tensor& weight) const;
  TokenRows token_rows(const WeightName& name, const Tensor& table) const;
  Linear plain_head(const Tensor& weight, const TokenRows& added) const;
  Linear packed_head(const Tensor& weight, const TokenRows& added);
  Tensor joined_bias(const std::vector<WeightName>& parts, const std::vector<int64_t>& n,
                     int64_t total);
  Tensor parameter(const std::string& name, Tensor value, const Arrangement& arrangement = {});
  LoraSite site(const WeightName& part, int64_t n, int64_t k) const;
  void add_adapters(const std::vector<WeightName>& parts, const std::vector<int64_t>& n, int64_t k,
                    Linear& layer) const;
  void done(const std::string& name);

  const formats::TensorSource& source_;
  LoadOptions options_;
  Parameters parameters_;
  std::unordered_set<std::string> used_;
  base::Arena arena_;  // for packed weights
  size_t memory_bytes_ = 0;
  int64_t total_bytes_ = 0, done_bytes_ = 0;
};

}  // namespace sumi::nn
