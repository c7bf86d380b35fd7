// Tests of what a crash tells of servers. Returns 1 if any failed.

#include "base/crash_notes.h"

#include "support/checks.h"

#ifdef _WIN32

int main() {
    for (int time = 0; time < 100; ++time) CHECK(laplace::write_crash_notes_at_signals(1) != 0);
    return checks::status();
}

#else

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <signal.h>

namespace {

using laplace::Counters;
using laplace::CrashNote;
using laplace::LoopStep;

// What is written to a pipe by `write`, which gets its end.
template <typename Write>
std::string written(Write write) {
    int ends[2];
    if (!CHECK(pipe(ends) == 0)) std::abort();
    write(ends[1]);
    close(ends[1]);
    std::string text;
    char piece[4096];
    for (ssize_t got; (got = read(ends[0], piece, sizeof piece)) > 0;) text.append(piece, static_cast<size_t>(got));
    close(ends[0]);
    return text;
}

std::string notes() { return written(laplace::write_crash_notes); }

size_t lines_of(const std::string& text) {
    size_t lines = 0;
    for (const char letter : text) lines += letter == '\n' ? 1 : 0;
    return lines;
}

constexpr size_t title_lines = 2;  // the first is empty

void a_note_tells_what_its_server_does() {
    CHECK(notes() == "\nServers of this process:\n");
    const auto counters = std::make_unique<Counters>();
    counters->commands[0].native = 1;
    counters->commands[255].native = 10;
    counters->commands[3].python = UINT64_MAX;
    counters->connections = 7;
    {
        CrashNote note("tcp://127.0.0.1:5555", *counters);
        CHECK(notes().find("  tcp://127.0.0.1:5555: its loop was starting; connections 7, requests that wait 0, "
                           "answers without Python 11, with Python 18446744073709551615, bytes in 0") !=
              std::string::npos);
        const std::vector<std::pair<LoopStep, std::string>> steps{
            {LoopStep::waiting, "waiting or receiving"}, {LoopStep::answering, "answering a request"},
            {LoopStep::results, "taking results"},       {LoopStep::updates, "sending updates"},
            {LoopStep::ending, "ending"}};
        for (const auto& [step, name] : steps) {
            note.at(step);
            CHECK(notes().find("its loop was " + name) != std::string::npos);
        }
    }
    CHECK(lines_of(notes()) == title_lines);
}

void many_notes_and_long_addresses() {
    const auto counters = std::make_unique<Counters>();
    std::vector<std::unique_ptr<CrashNote>> made;
    for (size_t count = 1; count <= 40; ++count) {
        made.push_back(std::make_unique<CrashNote>(std::string(count * 10, 'a'), *counters));
        made.back()->at(LoopStep::waiting);  // beyond the last there is no note, and no harm
        CHECK(lines_of(notes()) == title_lines + (count < 32 ? count : 32));
    }
    const std::string longest(laplace::CrashSlot::address_bytes - 1, 'a');
    CHECK(notes().find(longest + ": its") != std::string::npos);
    CHECK(notes().find(longest + "a") == std::string::npos);
    made.erase(made.begin());
    const CrashNote another("b", *counters);
    CHECK(notes().find("\n  b: its") != std::string::npos);
    made.clear();
    CHECK(lines_of(notes()) == title_lines + 1);
}

// How a child ends, and what it has written.
template <typename Work>
std::string of_child(int& status, Work work) {
    return written([&](int descriptor) {
        const pid_t child = fork();
        if (child == 0) {
            work(descriptor);
            _exit(0);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
    });
}

void a_fatal_signal_writes_them_and_ends_as_ever() {
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
        int status = 0;
        const std::string told = of_child(status, [number](int descriptor) {
            signal(number, SIG_DFL);  // a sanitizer has handlers of its own
            if (laplace::write_crash_notes_at_signals(descriptor) != 0) return;
            if (laplace::write_crash_notes_at_signals(descriptor) != 0) return;  // which changes nothing
            alarm(20);  // instead of for ever
            raise(number);
        });
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == number);
        CHECK(told == "\nServers of this process:\n");
    }
}

void who_was_there_before_is_asked_next() {
    int status = 0;
    const std::string told = of_child(status, [](int descriptor) {
        signal(SIGABRT, [](int) { _exit(42); });
        if (laplace::write_crash_notes_at_signals(descriptor) == 0) raise(SIGABRT);
    });
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    CHECK(lines_of(told) == title_lines);
}

void switched_off_nothing_is_written() {
    int status = 0;
    const std::string told = of_child(status, [](int descriptor) {
        signal(SIGFPE, SIG_DFL);
        if (laplace::write_crash_notes_at_signals(descriptor) != 0) return;
        if (laplace::write_crash_notes_at_signals(-1) == 0) raise(SIGFPE);
    });
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGFPE);
    CHECK(told.empty());
}

}  // namespace

int main() {
    a_note_tells_what_its_server_does();
    many_notes_and_long_addresses();
    a_fatal_signal_writes_them_and_ends_as_ever();
    who_was_there_before_is_asked_next();
    switched_off_nothing_is_written();
    return checks::status();
}

#endif
