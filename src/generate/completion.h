// Code completion: what belongs between two pieces of a file.
#pragma once

#include "generate/generator.h"
#include "text/fill_in_the_middle.h"

namespace sumi::generate {

struct Completion {
  text::FillPrompt prompt;
  GenerateResult result;
};

// Fills the gap of the request. options.max_tokens 0 stands for 256, or a quarter of the context if
// that is less; the prompt is trimmed to leave this room. The text keeps a space at its start, and
// ends at the markers of `fill` besides options' own ends. Throws what FillInTheMiddle::prompt()
// and Generator::generate() throw; max_tokens beyond the context is an Error.
Completion complete(const models::LanguageModel& model, Generator& generator,
                    const text::FillInTheMiddle& fill, const text::FillRequest& request,
                    GenerateOptions options, const StreamCallback& stream = {});

}  // namespace sumi::generate
