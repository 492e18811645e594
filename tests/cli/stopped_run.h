// Trainings that are stopped and killed at random moments.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "cli/command.h"

namespace sumi::cli {

// Starts the program and ends it with `signal` after a while; returns its exit code, or -1 if the
// signal killed it.
inline int run_and_stop(const std::string& arguments, int signal, int milliseconds) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int null = ::open("/dev/null", O_WRONLY);
    ::dup2(null, 1);
    ::dup2(null, 2);
    const std::string shell = "exec '" + std::string(SUMI_BINARY) + "' " + arguments;
    ::execl("/bin/sh", "sh", "-c", shell.c_str(), static_cast<char*>(nullptr));
    ::_exit(127);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  ::kill(child, signal);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Runs `whole` to its end, and `cut`, which resumes, through `tries` signals (SIGTERM and SIGKILL
// in turns) and then to its end. Returns how many did not end before their signal came.
inline int kill_and_resume(const std::string& whole, const std::string& cut, int tries) {
  int ended = 0;
  const auto start = std::chrono::steady_clock::now();
  const Outcome first = run(whole);
  EXPECT_EQ(first.code, 0) << first.err;
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(
                        std::chrono::steady_clock::now() - start)
                        .count();
  std::mt19937 random(5);
  for (int i = 0; i < tries; ++i) {
    const int signal = i % 2 ? SIGKILL : SIGTERM;
    const int wait =
        static_cast<int>(random() % static_cast<uint32_t>(2 * time / tries + 50));
    const int code = run_and_stop(cut, signal, wait);
    EXPECT_TRUE(code == -1 || code == 130 || code == 0)
        << "a checkpoint could not be read: " << code;
    ended += code == -1 || code == 130;
  }
  const Outcome last = run(cut);
  EXPECT_EQ(last.code, 0) << last.err;
  return ended;
}

}  // namespace sumi::cli
