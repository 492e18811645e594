// Embeddings learned by textual inversion, from their files.
#include "base/error.h"
#include "diffusion/prompt.h"
#include "formats/bytes.h"
#include "formats/open_tensors.h"

namespace sumi::diffusion {

void read_concept(const std::string& path, const std::string& word, int64_t hidden_size,
                  Concepts& concepts) {
  const std::unique_ptr<formats::TensorSource> file = formats::open_tensors(path);
  if (file->tensors().size() != 1)
    fail("{}: a learned embedding's file has one tensor, this one has {}", path,
         file->tensors().size());
  const formats::TensorInfo& info = file->tensors()[0];
  if (word.empty() && (info.name == "emb_params" || info.name == "*"))
    fail("{}: the file does not say the word that stands for the embedding; give FILE:WORD", path);
  const std::string name = word.empty() ? info.name : word;
  const Tensor stored = file->get(info.name);
  if (!is_float(stored.dtype()) || stored.dim() < 1 || stored.dim() > 2 ||
      stored.shape().back() != hidden_size || stored.numel() == 0)
    fail("{}: tensor {}: expected floats [{}] or [n, {}], found {} {}", path,
         formats::shown(info.name), hidden_size, hidden_size, dtype_name(stored.dtype()),
         tensor::shape_string(stored.shape()));
  const Tensor vectors = stored.to(DType::f32).view({stored.numel() / hidden_size, hidden_size});
  if (!concepts.emplace(name, vectors.clone()).second)
    fail("{}: the word {} stands for another embedding already", path, formats::shown(name));
}

}  // namespace sumi::diffusion
