#include "formats/tensor_producer.h"

#include "base/error.h"

namespace sumi::formats {

Tensor TensorProducer::checked() const {
  Tensor tensor = make();
  if (tensor.shape() != shape || tensor.dtype() != dtype)
    fail("tensor {}: {} {} was announced, {} {} was made", name, dtype_name(dtype),
         tensor::shape_string(shape), dtype_name(tensor.dtype()),
         tensor::shape_string(tensor.shape()));
  return tensor;
}

}  // namespace sumi::formats
