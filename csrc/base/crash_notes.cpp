#include "base/crash_notes.h"

#include <cerrno>
#include <utility>

#ifndef _WIN32
#include <csignal>
#include <unistd.h>
#endif

namespace laplace {

namespace {

std::array<CrashSlot, 32> slots;

}  // namespace

CrashNote::CrashNote(std::string_view address, const Counters& counters) noexcept {
    for (CrashSlot& slot : slots) {
        bool free = false;
        if (!slot.taken.compare_exchange_strong(free, true)) continue;
        slot.step.store(LoopStep::starting, std::memory_order_relaxed);
        for (size_t at = 0; at < CrashSlot::address_bytes; ++at) {
            const bool shown = at < address.size() && at + 1 < CrashSlot::address_bytes;
            slot.address[at].store(shown ? address[at] : '\0', std::memory_order_relaxed);
        }
        slot.counters.store(&counters, std::memory_order_release);
        slot_ = &slot;
        return;
    }
}

CrashNote::~CrashNote() {
    if (slot_ == nullptr) return;
    slot_->counters.store(nullptr, std::memory_order_release);
    slot_->taken.store(false, std::memory_order_release);
}

#ifdef _WIN32

// Fatal exceptions are no signals there; Python's faulthandler alone tells of them.
void write_crash_notes(int) noexcept {}
int write_crash_notes_at_signals(int) noexcept { return ENOSYS; }

#else

namespace {

constexpr std::array<int, 5> fatal_signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr std::array<const char*, loop_step_count> step_names{
    "starting",         "waiting or receiving", "answering a request", "taking results of Python",
    "sending updates", "ending"};

std::atomic<int> notes_descriptor{-1};
std::array<struct sigaction, fatal_signals.size()> before;  // what would have happened without
std::array<std::atomic<bool>, fatal_signals.size()> come{};

// A line that is put together without the library: little of that may be called here.
class Line {
public:
    void add(char letter) noexcept {
        if (size_ < text_.size()) text_[size_++] = letter;
    }
    void add(const char* text) noexcept {
        while (*text != '\0') add(*text++);
    }
    void add(uint64_t number) noexcept {
        std::array<char, 20> digits;
        size_t count = 0;
        do {
            digits[count++] = static_cast<char>('0' + number % 10);
            number /= 10;
        } while (number != 0);
        while (count > 0) add(digits[--count]);
    }
    void write_to(int descriptor) const noexcept {
        for (size_t at = 0; at < size_;) {
            const ssize_t written = ::write(descriptor, text_.data() + at, size_ - at);
            if (written > 0) {
                at += static_cast<size_t>(written);
            } else if (written == 0 || errno != EINTR) {
                return;  // a full disk: nobody is left who could be told
            }
        }
    }

private:
    std::array<char, 512> text_;
    size_t size_ = 0;
};

uint64_t value_of(const Counter& counter) noexcept { return counter.load(std::memory_order_relaxed); }

void write_note(const CrashSlot& slot, const Counters& counters, int descriptor) noexcept {
    uint64_t native = 0, python = 0;
    for (const auto& each : counters.commands) {
        native += value_of(each.native);
        python += value_of(each.python);
    }
    Line line;
    line.add("  ");
    for (const auto& letter : slot.address) {
        const char shown = letter.load(std::memory_order_relaxed);
        if (shown == '\0') break;
        line.add(shown);
    }
    const auto step = static_cast<size_t>(slot.step.load(std::memory_order_relaxed));
    line.add(": its loop was ");
    line.add(step < step_names.size() ? step_names[step] : "lost");
    const std::array<std::pair<const char*, uint64_t>, 6> figures{{
        {"; connections ", value_of(counters.connections)},
        {", requests that wait ", value_of(counters.pending)},
        {", answers without Python ", native},
        {", with Python ", python},
        {", bytes in ", value_of(counters.bytes_in)},
        {", bytes out ", value_of(counters.bytes_out)},
    }};
    for (const auto& [name, value] : figures) {
        line.add(name);
        line.add(value);
    }
    line.add('\n');
    line.write_to(descriptor);
}

void on_fatal_signal(int number) noexcept {
    const int error = errno;
    const int descriptor = notes_descriptor.exchange(-1);  // once, whatever happens meanwhile
    if (descriptor >= 0) write_crash_notes(descriptor);
    for (size_t at = 0; at < fatal_signals.size(); ++at) {
        if (fatal_signals[at] != number) continue;
        // Who was before us may have put us before itself, too: the second time nobody is asked.
        if (come[at].exchange(true)) {
            signal(number, SIG_DFL);
        } else {
            sigaction(number, &before[at], nullptr);
        }
    }
    errno = error;
    raise(number);  // comes when this returns: until then it is blocked
}

extern "C" void laplace_on_fatal_signal(int number) { on_fatal_signal(number); }

}  // namespace

void write_crash_notes(int descriptor) noexcept {
    Line title;
    title.add("\nServers of this process:\n");
    title.write_to(descriptor);
    for (const CrashSlot& slot : slots) {
        const Counters* const counters = slot.counters.load(std::memory_order_acquire);
        if (counters != nullptr) write_note(slot, *counters, descriptor);
    }
}

int write_crash_notes_at_signals(int descriptor) noexcept {
    notes_descriptor.store(descriptor);
    for (size_t at = 0; at < fatal_signals.size(); ++at) {
        struct sigaction now {};
        if (sigaction(fatal_signals[at], nullptr, &now) != 0) return errno;
        const bool on_top = now.sa_handler == laplace_on_fatal_signal;
        if (descriptor < 0) {  // below others it stays, and does nothing
            if (on_top && sigaction(fatal_signals[at], &before[at], nullptr) != 0) return errno;
            continue;
        }
        if (on_top) continue;
        before[at] = now;
        come[at].store(false);
        struct sigaction ours {};
        ours.sa_handler = laplace_on_fatal_signal;
        ours.sa_flags = SA_ONSTACK;  // a stack that has overflowed holds no handler; faulthandler gives its thread another
        sigemptyset(&ours.sa_mask);
        if (sigaction(fatal_signals[at], &ours, nullptr) != 0) return errno;
    }
    return 0;
}

#endif

}  // namespace laplace
