// Tests of the poller and of what wakes it, with real sockets: the same for each kind that the system
// has. Returns 1 if any failed.

#include "tcp/network.h"
#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/poller_bench.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <deque>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <pthread.h>
#include <unistd.h>
#endif

namespace {

using laplace::Interest;
using laplace::IoState;
using laplace::PollEvent;
using laplace::Poller;
using laplace::WakeDescriptor;
using laplace::Watch;
using poller_bench::Bell;
using poller_bench::bell_of;
using poller_bench::Kind;
using poller_bench::quiet;
using poller_bench::wait_one;
using tcp_peer::Connection;
using tcp_peer::Listener;

// What came is told until it is received.
void tells_what_can_be_read(Kind kind) {
    const Listener listener;
    Connection connection(listener);
    Poller poller(kind);
    CHECK(poller.open() == 0);
    Watch watch(connection.server, &connection);
    CHECK(poller.add(watch, Interest::read) == 0);
    CHECK(quiet(poller));
    connection.send("abc");
    for (int i = 0; i < 3; ++i) {
        const PollEvent event = wait_one(poller, -1);
        CHECK(event.what == &connection && event.readable && !event.writable && !event.broken);
    }
    CHECK(connection.served(3) == "abc");
    CHECK(quiet(poller));
    CHECK(poller.remove(watch) == 0);
    connection.send("d");
    tcp_peer::wait_for(connection.server, Interest::read);
    CHECK(quiet(poller));
}

void tells_of_connections(Kind kind) {
    const Listener listener;
    Poller poller(kind);
    CHECK(poller.open() == 0);
    Watch watch(listener.descriptor, &watch);
    CHECK(poller.add(watch, Interest::read) == 0);
    CHECK(quiet(poller));
    const laplace::Descriptor peer = tcp_peer::connect_to(listener.address);
    CHECK(wait_one(poller, -1).readable);
    laplace::Descriptor accepted = laplace::no_descriptor;
    laplace::Address address;
    CHECK(laplace::accept_connection(listener.descriptor, accepted, address) == 0);
    CHECK(quiet(poller));
    laplace::close_socket(accepted);
    laplace::close_socket(peer);
    CHECK(poller.remove(watch) == 0);
}

void tells_when_there_is_room(Kind kind) {
    const Listener listener;
    Connection connection(listener);
    Poller poller(kind);
    CHECK(poller.open() == 0);
    Watch watch(connection.server, &connection);
    CHECK(poller.add(watch, Interest::both) == 0);
    PollEvent event = wait_one(poller, -1);
    CHECK(event.writable && !event.readable && !event.broken);
    const size_t sent = tcp_peer::fill(connection.server);
    CHECK(quiet(poller));
    connection.send("abc");  // both at once
    tcp_peer::wait_for(connection.server, Interest::read);
    event = wait_one(poller, -1);
    CHECK(event.readable && !event.writable);
    CHECK(poller.change(watch, Interest::write) == 0);
    CHECK(quiet(poller));
    CHECK(connection.receive(sent).size() == sent);
    event = wait_one(poller, -1);
    CHECK(event.writable && !event.readable);
    CHECK(poller.change(watch, Interest::both) == 0);
    event = wait_one(poller, -1);
    CHECK(event.writable && event.readable && !event.broken);
    CHECK(poller.change(watch, Interest::none) == 0);
    CHECK(quiet(poller));
    CHECK(poller.change(watch, Interest::none) == 0);
    CHECK(poller.remove(watch) == 0);
}

// An end is there to be received, after all that came before it.
void tells_of_ends(Kind kind) {
    const Listener listener;
    Connection connection(listener);
    Poller poller(kind);
    CHECK(poller.open() == 0);
    Watch watch(connection.server, &connection);
    CHECK(poller.add(watch, Interest::read) == 0);
    connection.send("bye");
    connection.close_peer();
    CHECK(wait_one(poller, -1).readable);
    CHECK(connection.served(3) == "bye");
    CHECK(wait_one(poller, -1).readable);
    char byte;
    CHECK(laplace::receive_bytes(connection.server, &byte, 1).state == IoState::closed);
    CHECK(poller.remove(watch) == 0);
}

void tells_of_broken_ones(Kind kind) {
    const Listener listener;
    for (const Interest interest : {Interest::read, Interest::both, Interest::write, Interest::none}) {
        Connection connection(listener);
        Poller poller(kind);
        CHECK(poller.open() == 0);
        Watch watch(connection.server, &connection);
        CHECK(poller.add(watch, interest) == 0);
        connection.reset_peer();
        PollEvent event = wait_one(poller, -1);
        while (!event.broken) event = wait_one(poller, -1);  // writable until the reset has come
        CHECK(event.what == &connection);
        CHECK(event.readable == laplace::wants(interest, Interest::read));
        CHECK(wait_one(poller, -1).broken);  // until it is removed
        char byte;
        CHECK(tcp_peer::is_reset(laplace::receive_bytes(connection.server, &byte, 1)));
        CHECK(poller.remove(watch) == 0);
        CHECK(quiet(poller));
    }
}

// ---- many

// More than one wait can tell of; in turn.
void tells_of_all_in_turn(Kind kind) {
    constexpr size_t count = 400;
    Poller poller(kind);
    CHECK(poller.open() == 0);
    std::deque<Bell> bells;
    for (size_t i = 0; i < count; ++i) {
        CHECK(poller.add(bells.emplace_back(i).watch, Interest::read) == 0);
        bells.back().wake.ring();
    }
    std::set<size_t> told;
    for (int i = 0; i < 2; ++i) {
        CHECK(poller.wait(-1) == 0);
        PollEvent event;
        while (poller.next(event)) told.insert(bell_of(event).number);
    }
    CHECK(told.size() == count);
    for (Bell& bell : bells) bell.wake.clear();
    CHECK(quiet(poller));
    for (Bell& bell : bells) CHECK(poller.remove(bell.watch) == 0);
}

// By chance, against what must be so: each wait tells of those that have rung and are watched, once,
// and of no other. Watches come and go between and during batches.
class Chance {
public:
    Chance(Kind kind, unsigned seed) : poller_(kind), random_(seed) {
        CHECK(poller_.open() == 0);
        for (size_t i = 0; i < count; ++i) bells_.emplace_back(i);
    }
    ~Chance() {
        for (Bell& bell : bells_) {
            if (bell.watch.watched) CHECK(poller_.remove(bell.watch) == 0);
        }
    }

    void run(int rounds) {
        for (int i = 0; i < rounds; ++i) {
            for (int k = 0; k < 10; ++k) change(bells_[below(count)]);
            if (below(2) == 0) {
                all_are_told();
            } else {
                some_are_removed_meanwhile();
            }
        }
    }

private:
    static constexpr size_t count = 40;

    size_t below(size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random_); }
    static bool is_due(const Bell& bell) {
        return bell.rung && bell.watch.watched && laplace::wants(bell.watch.interest, Interest::read);
    }
    void watch_or_not(Bell& bell) {
        CHECK((bell.watch.watched ? poller_.remove(bell.watch) : poller_.add(bell.watch, Interest::read)) == 0);
    }
    void change(Bell& bell) {
        switch (below(4)) {
            case 0:
                bell.wake.ring();
                bell.rung = true;
                break;
            case 1:
                bell.wake.clear();
                bell.rung = false;
                break;
            case 2:
                watch_or_not(bell);
                break;
            default:
                if (bell.watch.watched) {
                    CHECK(poller_.change(bell.watch, below(3) == 0 ? Interest::none : Interest::read) == 0);
                }
        }
    }
    void all_are_told() {
        std::set<size_t> due, told;
        for (const Bell& bell : bells_) {
            if (is_due(bell)) due.insert(bell.number);
        }
        CHECK(poller_.wait(0) == 0);
        PollEvent event;
        while (poller_.next(event)) CHECK(event.readable && told.insert(bell_of(event).number).second);
        CHECK(told == due);
    }
    void some_are_removed_meanwhile() {
        std::set<size_t> may_be_told;
        for (const Bell& bell : bells_) {
            if (is_due(bell)) may_be_told.insert(bell.number);
        }
        CHECK(poller_.wait(0) == 0);
        PollEvent event;
        while (poller_.next(event)) {
            CHECK(may_be_told.erase(bell_of(event).number) == 1);
            Bell& other = bells_[below(count)];
            watch_or_not(other);
            may_be_told.erase(other.number);  // nor after it was added again
        }
        all_are_told();
    }

    Poller poller_;
    std::mt19937 random_;
    std::deque<Bell> bells_;
};

void tells_of_what_is_watched_only(Kind kind) {
    for (unsigned seed = 0; seed < 20; ++seed) Chance(kind, seed).run(200);
}

// ---- waking

void many_rings_are_one(Kind kind) {
    Poller poller(kind);
    CHECK(poller.open() == 0);
    Bell bell(0);
    CHECK(poller.add(bell.watch, Interest::read) == 0);
    CHECK(quiet(poller));
    for (int i = 0; i < 100; ++i) bell.wake.ring();
    CHECK(wait_one(poller, -1).what == &bell);
    bell.wake.clear();
    CHECK(quiet(poller));
    bell.wake.clear();  // does not wait
    bell.wake.ring();
    CHECK(wait_one(poller, -1).what == &bell);
    CHECK(poller.remove(bell.watch) == 0);
}

// More than any pipe holds.
void ringing_never_blocks() {
    WakeDescriptor wake;
    CHECK(wake.open() == 0);
    for (int i = 0; i < 200000; ++i) wake.ring();
    tcp_peer::wait_for(wake.descriptor(), Interest::read);
    wake.close();
    wake.close();
    CHECK(wake.descriptor() == laplace::no_descriptor);
    CHECK(wake.open() == 0);
}

// ---- failures

#ifndef _WIN32

// The wait ends, and that is no failure.
void a_signal_ends_the_wait(Kind kind) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    CHECK(sigaction(SIGUSR1, &action, nullptr) == 0);
    std::atomic<bool> over{false};
    std::thread waiter([&] {
        Poller poller(kind);
        Bell bell(0);
        CHECK(poller.open() == 0 && poller.add(bell.watch, Interest::read) == 0);
        CHECK(wait_one(poller, -1).what == nullptr);
        over = true;
        CHECK(poller.remove(bell.watch) == 0);
    });
    const pthread_t thread = waiter.native_handle();
    while (!over) {
        pthread_kill(thread, SIGUSR1);
        std::this_thread::yield();
    }
    waiter.join();
}

void a_closed_descriptor_is_an_error(Kind kind) {
    int ends[2];
    tcp_peer::must(pipe(ends) == 0);
    Poller poller(kind);
    CHECK(poller.open() == 0);
    Watch watch(ends[0], &watch);
    close(ends[0]);
    close(ends[1]);
    const int error = poller.add(watch, Interest::read);
    if (error == 0) {  // poll finds it out later
        CHECK(wait_one(poller, -1).broken);
        CHECK(poller.remove(watch) == 0);
    } else {
        CHECK(error == EBADF && !watch.watched);
    }
}

#endif

void misuse_is_an_error(Kind kind) {
    Poller poller(kind);
    CHECK(poller.open() == 0);
    Watch none;
    CHECK(poller.add(none, Interest::read) == EBADF);
    Bell bell(0);
    CHECK(poller.change(bell.watch, Interest::write) == ENOENT);
    CHECK(poller.remove(bell.watch) == ENOENT);
    CHECK(poller.add(bell.watch, Interest::read) == 0);
    CHECK(poller.add(bell.watch, Interest::read) == EEXIST);
    CHECK(poller.remove(bell.watch) == 0);
    CHECK(poller.remove(bell.watch) == ENOENT);
    CHECK(quiet(poller));
}

// What could be added before stays as it was.
void memory_may_be_out(Kind kind) {
    for (uint64_t number = 1;; ++number) {
        Bell first(0), second(1);
        first.wake.ring();
        second.wake.ring();
        Poller poller(kind);
        int error = 0;
        bool reached = false;
        {
            const failing_memory::At at(number);
            error = poller.open();
            if (error == 0) error = poller.add(first.watch, Interest::read);
            if (error == 0) error = poller.add(second.watch, Interest::read);
            if (error == 0) error = poller.wait(0);
            reached = at.reached();
        }
        CHECK(error == (reached ? ENOMEM : 0));
        CHECK(first.watch.watched || !second.watch.watched);
        if (first.watch.watched) {
            CHECK(poller.wait(0) == 0);
            PollEvent event;
            size_t told = 0;
            while (poller.next(event)) ++told;
            CHECK(told == (second.watch.watched ? 2u : 1u));
            CHECK(poller.remove(first.watch) == 0);
        }
        if (second.watch.watched) CHECK(poller.remove(second.watch) == 0);
        if (!reached) return;
    }
}

void everything(Kind kind) {
    tells_what_can_be_read(kind);
    tells_of_connections(kind);
    tells_when_there_is_room(kind);
    tells_of_ends(kind);
    tells_of_broken_ones(kind);
    tells_of_all_in_turn(kind);
    tells_of_what_is_watched_only(kind);
    many_rings_are_one(kind);
#ifndef _WIN32
    a_signal_ends_the_wait(kind);
    a_closed_descriptor_is_an_error(kind);
#endif
    misuse_is_an_error(kind);
    memory_may_be_out(kind);
}

}  // namespace

int main() {
    laplace::Network network;
    CHECK(network.open() == 0);
    everything(Kind::best);
    everything(Kind::poll);
    ringing_never_blocks();
    return checks::status();
}
