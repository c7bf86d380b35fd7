// Tests of a whole server without Python that serves by keys: messages that are not what was sealed, keys and
// roles that change, and many handshakes at once.
//     curve_keys_test LIBSODIUM

#include "support/checks.h"
#include "support/curve_bench.h"
#include "support/sodium_library.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace curve_bench;
using laplace::DispatchTable;
using requests::error_reply;

// ---- in the traffic

void messages_repeated_swapped_and_changed() {
    Bench bench;
    const auto refuses = [&](const std::function<std::string(Peer&)>& bytes) {
        const uint64_t before = bench.refused(Refusal::not_authentic);
        Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
        CHECK(peer.connect() && peer.answer_to(request("PING", "x")) == ping_reply("x"));
        CHECK(peer.send(bytes(peer)));
        return peer.is_closed() && bench.refused(Refusal::not_authentic) == before + 1;
    };
    const auto asked = [](Peer& peer) {
        peer.talker.say({"", request("PING", "x")});
        return std::exchange(peer.talker.sent, {});
    };
    CHECK(refuses([&](Peer& peer) { return peer.said.back(); }));
    CHECK(refuses([&](Peer& peer) { return asked(peer) + peer.said.back(); }));
    CHECK(refuses([&](Peer& peer) {
        const std::string one = asked(peer), other = asked(peer);
        return other + one;
    }));
    for (const size_t at : {size_t{10}, size_t{17}, size_t{30}, size_t{34}}) {
        CHECK(refuses([&](Peer& peer) {
            std::string bytes = asked(peer);
            bytes[at] = static_cast<char>(bytes[at] ^ 1);
            return bytes;
        }));
    }
    CHECK(bench.serves(*bench.client));
}

void requests_that_are_too_large() {
    Config config = server_bench::local();
    config.max_message_bytes = 1000;
    Bench bench(false, config);
    uint64_t count = 0;
    for (const size_t size : {size_t{1001}, size_t{20'000}, size_t{200'000}}) {
        Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
        CHECK(peer.connect());
        CHECK(peer.answer_to(request("PING", "x") + std::string(500, ' ')) == ping_reply("x"));
        peer.talker.say({"", std::string(size, 'x')});
        peer.say();
        const std::string told = peer.answer();
        CHECK(told.find("too large") != std::string::npos);
        CHECK(peer.is_closed() && bench.refused(Refusal::message_size) == ++count);
    }
}

// ---- keys that change

void a_key_that_is_removed() {
    Bench bench;
    Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(peer.connect() && peer.answer_to(request("PING", "x")) == ping_reply("x"));
    Peer before(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(before.say());
    while (before.talker.sent.empty() && before.listen()) {  // in the middle of its handshake
    }
    bench.use(false, {bench.stranger_as(viewer)});
    CHECK(peer.is_closed() && bench.refused(Refusal::withdrawn) == 1);
    CHECK(!before.connect() && before.talker.reason() == "400");
    CHECK(!bench.serves(*bench.client));
    CHECK(bench.refused(Refusal::unknown_key) == 2);
    bench.use(false, {bench.client_as(viewer)});
    CHECK(bench.serves(*bench.client));
}

std::shared_ptr<const DispatchTable> for_operators_alone() {
    auto made = std::make_shared<DispatchTable>(*requests::table());
    made->commands[2].roles = laplace::Roles{1} << operator_;
    made->denied_before = made->denied_after = R"(")";
    made->role_names = {"nobody", "viewer", "operator"};
    return made;
}

void a_role_that_changes() {
    Bench bench;
    bench.running.server->set_table(for_operators_alone());
    Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(peer.connect());
    const std::string denial = error_reply("\"GET\"", "\"x\"", "viewerGET");
    for (int i = 0; i < 3; ++i) {
        bench.use(false, {bench.client_as(viewer)});
        CHECK(eventually([&] { return peer.answer_to(request("GET", "x")) == denial; }));
        bench.use(false, {bench.client_as(operator_)});
        CHECK(eventually([&] { return peer.answer_to(request("GET", "x")) == get_reply("x", "[1]"); }));
    }
    CHECK(bench.refused(Refusal::withdrawn) == 0);
}

void a_new_key_of_the_server() {
    Bench bench;
    const auto next = new_keys();
    Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(peer.connect());
    Peer under_way(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(under_way.say());
    while (under_way.talker.sent.empty() && under_way.listen()) {
    }
    bench.running.server->use_keys(server_keys(*next, {bench.client_as(viewer)}), false);
    CHECK(peer.answer_to(request("PING", "x")) == ping_reply("x"));
    CHECK(under_way.connect() && under_way.answer_to(request("PING", "x")) == ping_reply("x"));
    CHECK(!bench.serves(*bench.client) && bench.refused(Refusal::wrong_server_key) == 1);
    Peer anew(bench.endpoint(), *bench.client, next->public_key);
    CHECK(anew.connect() && anew.answer_to(request("PING", "x")) == ping_reply("x"));
}

// Python is told whose key it was.
void jobs_have_the_number_of_the_key() {
    Bench bench;
    bench.use(true, {bench.stranger_as(viewer), bench.client_as(operator_)});
    for (const uint32_t number : {1u, 2u}) {
        Peer peer(bench.endpoint(), number == 1 ? *bench.client : *bench.stranger, bench.own->public_key);
        CHECK(peer.connect() && peer.ask(request("SET", "x")));
        laplace::Job job;
        CHECK(server_bench::Python::next(*bench.running.server, job));
        CHECK(job.key == number && job.role == (number == 1 ? operator_ : viewer));
        server_bench::Python::finish(*bench.running.server, job);
        CHECK(peer.answer() == server_bench::Python::made_of(request("SET", "x")));
    }
}

// ---- many at once

void many_wait_for_their_turn() {
    Bench bench;
    Peer asks(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(asks.connect());
    std::vector<std::unique_ptr<Peer>> peers;
    for (int i = 0; i < 150; ++i) {
        peers.push_back(std::make_unique<Peer>(bench.endpoint(), *bench.client, bench.own->public_key));
        CHECK(peers.back()->say());
        if (i % 10 == 0) CHECK(asks.answer_to(request("GET", "x")) == get_reply("x", "[1]"));
        if (i % 3 == 2) peers[peers.size() - 2]->close();
    }
    for (size_t i = 0; i < peers.size(); ++i) {
        if (i % 3 == 1) continue;
        CHECK(peers[i]->connect() && peers[i]->answer_to(request("PING", "x")) == ping_reply("x"));
    }
    peers.clear();
    asks.close();
    CHECK(bench.all_gone());
}

void a_server_that_stops_in_their_midst() {
    std::vector<std::unique_ptr<Peer>> peers;
    Bench bench;
    for (int i = 0; i < 50; ++i) {
        peers.push_back(std::make_unique<Peer>(bench.endpoint(), *bench.client, bench.own->public_key));
        CHECK(peers.back()->say());
    }
    bench.running.stop();
    CHECK(bench.running.server->counters().connections.load() == 0);
}

// Rights change in one thread while clients come, ask and go in others.
void keys_that_change_all_the_time() {
    Bench bench(true);
    std::atomic<bool> over{false};
    std::thread changes([&] {
        for (Role role = 1; !over.load(); role = static_cast<Role>(role % 5 + 1)) {
            bench.use(true, {bench.client_as(role)});
            std::this_thread::yield();
        }
    });
    server_bench::in_threads(3, [&](int) {
        for (int i = 0; i < 15; ++i) {
            Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
            CHECK(peer.connect());
            for (int k = 0; k < 20; ++k) CHECK(peer.answer_to(request("GET", "x")) == get_reply("x", "[1]"));
        }
    });
    over.store(true);
    changes.join();
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2 || !sodium_library::load(arguments[1])) return 2;
    messages_repeated_swapped_and_changed();
    requests_that_are_too_large();
    a_key_that_is_removed();
    a_role_that_changes();
    a_new_key_of_the_server();
    jobs_have_the_number_of_the_key();
    many_wait_for_their_turn();
    a_server_that_stops_in_their_midst();
    keys_that_change_all_the_time();
    return checks::status();
}
