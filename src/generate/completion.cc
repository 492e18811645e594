#include "generate/completion.h"

#include <algorithm>

#include "base/error.h"

namespace sumi::generate {

Completion complete(const models::LanguageModel& model, Generator& generator,
                    const text::FillInTheMiddle& fill, const text::FillRequest& request,
                    GenerateOptions options, const StreamCallback& stream) {
  const int64_t context = model.max_positions();
  if (options.max_tokens == 0)
    options.max_tokens = std::max<int64_t>(1, std::min<int64_t>(256, context / 4));
  if (options.max_tokens >= context)
    fail("max tokens: expected less than the context of {}, found {}", context, options.max_tokens);
  options.keep_first_space = true;
  options.stop_ids.insert(options.stop_ids.end(), fill.stop_ids().begin(), fill.stop_ids().end());
  Completion completion;
  completion.prompt = fill.prompt(request, context - options.max_tokens);
  completion.result = generator.generate(completion.prompt.ids, options, stream);
  return completion;
}

}  // namespace sumi::generate
