// Three connections over a router made of memory, that read, have room and go as an input says.
#ifndef LAPLACE_TESTS_FUZZ_NETWORK_H
#define LAPLACE_TESTS_FUZZ_NETWORK_H

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "fuzz/steps.h"
#include "support/memory_router.h"

namespace fuzz_network {

using fuzz_steps::Steps;
using memory_router::Frames;
using memory_router::MemoryRouter;

constexpr const char* names[] = {"a", "b", "c"};

// Somebody at a connection, or behind the proxy there.
struct Caller {
    const char* name;
    bool behind_proxy;

    // Of what it says, in front of the body.
    Frames frames() const { return behind_proxy ? Frames{name, "p", ""} : Frames{name, ""}; }
    // As its connection's router has it.
    std::string route() const { return memory_router::encoded(behind_proxy ? Frames{"p", ""} : Frames{""}); }
};

// A byte says who.
inline Caller some_caller(Steps& steps) {
    const unsigned who = steps.byte();
    return {names[who % 3], (who & 16) != 0};
}

class Network {
public:
    using Peer = MemoryRouter::Peer;

    explicit Network(MemoryRouter& router) : router_(router) {}

    Peer& peer(const Caller& caller) { return router_.peer(caller.name); }

    // Each takes what it needs of the input.
    void reads(Steps& steps) {
        const char* const name = some_name(steps);
        for (size_t count = steps.byte(); count > 0 && router_.held(name) > 0; --count) {
            router_.read(name);
            --looked_at_[name];
        }
    }
    void has_room(Steps& steps) {
        Peer& peer = router_.peer(some_name(steps));
        const unsigned room = steps.byte();
        peer.room = room < 128 ? room : SIZE_MAX;
    }
    void loses(Steps& steps) {
        const char* const name = some_name(steps);
        router_.lose(name);
        looked_at_[name] = 0;
    }
    void open_wide() {
        for (const char* const name : names) router_.peer(name).room = SIZE_MAX;
    }

    // Each message that was not looked at yet. All have to be before the next step.
    template <typename Look>
    void look(Look look_at) {
        for (const char* const name : names) {
            const Peer& peer = router_.peer(name);
            for (size_t& at = looked_at_[name]; at < peer.held.size(); ++at) look_at(peer, peer.held[at]);
        }
    }

private:
    static const char* some_name(Steps& steps) { return names[steps.byte() % 3]; }

    MemoryRouter& router_;
    std::map<const char*, size_t> looked_at_;  // messages to each
};

}  // namespace fuzz_network

#endif
