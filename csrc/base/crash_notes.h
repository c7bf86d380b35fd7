// What each server was doing, for the report of a crash: told by a signal handler, which may neither
// allocate nor lock nor trust what it finds. So notes lie in static memory, as atomics.
#ifndef LAPLACE_CRASH_NOTES_H
#define LAPLACE_CRASH_NOTES_H

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/counters.h"

namespace laplace {

// What a loop is at.
enum class LoopStep : unsigned {
    starting,
    waiting,    // at the poller, or taking what comes there
    answering,  // a request
    results,    // what Python has made of requests
    updates,    // of streams
    ending
};
constexpr size_t loop_step_count = static_cast<size_t>(LoopStep::ending) + 1;

struct CrashSlot {
    static constexpr size_t address_bytes = 64;
    std::atomic<bool> taken{false};
    std::atomic<const Counters*> counters{nullptr};  // null: nothing to tell
    std::atomic<LoopStep> step{LoopStep::starting};
    std::array<std::atomic<char>, address_bytes> address{};
};

// One server's note, while its loop runs. Beyond the first 32 servers of a process there is none.
class CrashNote {
public:
    CrashNote(std::string_view address, const Counters& counters) noexcept;
    ~CrashNote();
    CrashNote(const CrashNote&) = delete;
    CrashNote& operator=(const CrashNote&) = delete;

    // By the loop alone.
    void at(LoopStep step) noexcept {
        if (slot_ != nullptr) slot_->step.store(step, std::memory_order_relaxed);
    }

private:
    CrashSlot* slot_ = nullptr;
};

// Writes what is noted now; safe in a signal handler.
void write_crash_notes(int descriptor) noexcept;

// At a fatal signal from now on, notes are written there, and then happens what would have happened
// without; -1: nothing is written any more. Returns 0, or why it cannot be: ENOSYS on Windows.
int write_crash_notes_at_signals(int descriptor) noexcept;

}  // namespace laplace

#endif
