// A server without Python that has keys, a client that it serves, and a stranger.
#ifndef LAPLACE_TESTS_CURVE_BENCH_H
#define LAPLACE_TESTS_CURVE_BENCH_H

#include <memory>
#include <string>
#include <vector>

#include "support/curve_clients.h"
#include "support/server_bench.h"

namespace curve_bench {

using namespace curve_clients;
using laplace::Config;
using laplace::ErrorKind;
using laplace::Refusal;
using requests::get_reply;
using requests::ping_reply;
using requests::request;
using server_bench::eventually;
using server_bench::Running;

constexpr Role viewer = 1, operator_ = 2;

struct Bench {
    explicit Bench(bool anonymous = false, Config config = server_bench::local()) : running(config) {
        use(anonymous, {client_as(viewer)});
        running.put("[1]");
    }
    void use(bool anonymous, const std::vector<Served>& clients) {
        running.server->use_keys(server_keys(*own, clients), anonymous);
    }
    Served client_as(Role role) const { return {*client, role, 1}; }
    Served stranger_as(Role role) const { return {*stranger, role, 2}; }
    std::string endpoint() const { return running.server->endpoint(); }
    uint64_t refused(Refusal reason) const { return running.server->counters().of(reason).load(); }
    bool all_gone() const {
        return eventually([this] { return running.server->counters().connections.load() == 0; });
    }
    bool serves(const KeyPair& keys) const {
        Peer peer(endpoint(), keys, own->public_key);
        return peer.connect() && peer.answer_to(request("PING", "x")) == ping_reply("x");
    }

    const std::unique_ptr<KeyPair> own = new_keys(), client = new_keys(), stranger = new_keys();
    Running running;
};

}  // namespace curve_bench

#endif
