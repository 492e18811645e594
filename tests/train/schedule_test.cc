// Learning rates against transformers' get_scheduler.
#include "train/schedule.h"

#include "base/error.h"
#include "expected.h"

namespace sumi::train {
namespace {

struct Case {
  const char* name;
  ScheduleOptions options;
};

class ScheduleCase : public testing::TestWithParam<Case> {};

TEST_P(ScheduleCase, EqualsTransformers) {
  const Tensor expected = expected_file("schedules.safetensors").get(GetParam().name);
  ScheduleOptions options = GetParam().options;
  options.learning_rate = 2e-3;
  options.total_steps = 20;
  check_schedule_options(options);
  for (int64_t step = 0; step < expected.numel(); ++step)
    // 1e-15 is below one unit of the last place of the rate
    EXPECT_NEAR(learning_rate_at(options, step), expected.data<double>()[step], 1e-15) << step;
}

INSTANTIATE_TEST_SUITE_P(
    All, ScheduleCase,
    testing::Values(
        Case{"constant", {.name = "constant"}},
        Case{"constant_with_warmup", {.name = "constant_with_warmup", .warmup_steps = 5}},
        Case{"linear", {.name = "linear", .warmup_steps = 3}},
        Case{"cosine", {.name = "cosine", .warmup_steps = 3}},
        Case{"cosine_no_warmup", {.name = "cosine"}},
        Case{"cosine_with_restarts",
             {.name = "cosine_with_restarts", .warmup_steps = 2, .cycles = 3}},
        Case{"polynomial", {.name = "polynomial", .warmup_steps = 4, .power = 2, .end_rate = 1e-5}}),
    [](const auto& param) { return std::string(param.param.name); });

TEST(Schedule, RefusesBadOptions) {
  const ScheduleOptions good = {.name = "linear", .total_steps = 10};
  check_schedule_options(good);
  const auto expect_refused = [&](auto change, const char* part) {
    ScheduleOptions options = good;
    change(options);
    try {
      check_schedule_options(options);
      ADD_FAILURE() << part;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  expect_refused([](auto& o) { o.name = "sine"; }, "sine");
  expect_refused([](auto& o) { o.learning_rate = 0; }, "learning rate");
  expect_refused([](auto& o) { o.total_steps = 0; }, "steps");
  expect_refused([](auto& o) { o.warmup_steps = 11; }, "warm-up");
  expect_refused([](auto& o) { o.name = "constant", o.warmup_steps = 1; }, "warm-up");
  expect_refused([](auto& o) { o.name = "polynomial", o.end_rate = 1; }, "end rate");
}

}  // namespace
}  // namespace sumi::train
