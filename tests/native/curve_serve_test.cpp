// Tests of a whole server without Python whose clients speak CURVE, over real sockets: what is answered, and
// handshakes of all kinds.
//     curve_serve_test LIBSODIUM

#include "support/checks.h"
#include "support/curve_bench.h"
#include "support/sodium_library.h"
#include "transport/tcp_connection.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace curve_bench;

// ---- what works

void bytes_in_any_pieces() {
    Bench bench;
    const std::string large(70'000, ' ');
    for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{63}, size_t{64}, size_t{65}, size_t{1000}}) {
        for (const SocketType type : {SocketType::req, SocketType::dealer, SocketType::router}) {
            Peer peer(bench.endpoint(), *bench.client, bench.own->public_key, type);
            if (!CHECK(peer.connect(piece))) return;
            for (int i = 0; i < 3; ++i) CHECK(peer.ask(request("GET", "x"), piece));
            for (int i = 0; i < 3; ++i) CHECK(peer.answer() == get_reply("x", "[1]"));
            CHECK(peer.ask(request("PING", "x") + (piece > 50 ? large : ""), piece));
            CHECK(peer.answer() == ping_reply("x"));
        }
    }
    CHECK(bench.all_gone());
}

// Of a route with several frames, and in several frames.
void messages_of_several_frames() {
    Bench bench;
    Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(peer.connect());
    peer.talker.say({"proxy", std::string(5000, 'p'), "", request("PING", "x")});
    CHECK(peer.say());
    while (peer.talker.heard.empty() && peer.hear()) {
    }
    CHECK(peer.talker.heard.size() == 1 &&
          peer.talker.heard[0] == Message({"proxy", std::string(5000, 'p'), "", ping_reply("x")}));
    peer.talker.heard.clear();
    peer.talker.say({"no", "delimiter"});
    CHECK(peer.answer_to(request("PING", "x")) == ping_reply("x"));
    CHECK(server_bench::error_count(*bench.running.server, ErrorKind::no_delimiter) == 1);
}

void large_replies_and_many_small_ones() {
    Bench bench;
    const std::string data = "[\"" + std::string(3 << 20, 'd') + "\"]";
    Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(peer.connect());
    for (int i = 0; i < 200; ++i) CHECK(peer.ask(request("PING", "x")));
    bench.running.put(data);
    for (int i = 0; i < 3; ++i) CHECK(peer.ask(request("GET", "x")));
    for (int i = 0; i < 200; ++i) CHECK(peer.answer() == ping_reply("x"));
    for (int i = 0; i < 3; ++i) CHECK(peer.answer() == get_reply("x", data));
    CHECK(bench.running.server->counters().waiting_bytes.load() == 0);
}

void heartbeats_within_the_box() {
    Bench bench;
    Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(peer.connect());
    for (const std::string context : {"", "one", "sixteen bytes ...", "more than sixteen bytes"}) {
        peer.talker.say_command(std::string("\4PING\0\144", 7) + context);
        CHECK(peer.say());
        while (peer.talker.pongs.empty() && peer.hear()) {
        }
        CHECK(peer.talker.pongs == std::vector<std::string>{context.substr(0, 16)});
        peer.talker.pongs.clear();
    }
    CHECK(peer.answer_to(request("PING", "x")) == ping_reply("x"));
}

// ---- who is refused

void an_unknown_key_is_told() {
    Bench bench(true);
    Peer peer(bench.endpoint(), *bench.stranger, bench.own->public_key);
    CHECK(!peer.connect() && peer.talker.fault() == CurveFault::refused_by_peer && peer.talker.reason() == "400");
    CHECK(peer.is_closed() && bench.refused(Refusal::unknown_key) == 1);
    CHECK(bench.all_gone());
}

void a_wrong_server_key_is_told_nothing() {
    Bench bench(true);
    Peer peer(bench.endpoint(), *bench.client, bench.stranger->public_key);
    CHECK(!peer.connect() && peer.talker.fault() == CurveFault::none && peer.talker.log.empty());
    CHECK(bench.refused(Refusal::wrong_server_key) == 1 && bench.all_gone());
}

// The greeting up to there is read; where it is said that a peer is refused, the count has its reason.
void greetings_of_others() {
    Bench bench(true);
    const auto refuses = [&bench](std::string greeting, Refusal reason) {
        const uint64_t before = bench.refused(reason);
        Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
        peer.send(greeting);
        return peer.is_closed() && bench.refused(reason) == before + 1;
    };
    const std::string curve(laplace::zmtp::curve_greeting(false));
    std::string changed = curve;
    for (const char* const name : {"PLAIN", "GSSAPI", "CURV", "CURVE2", "CRAZY", "Xurve"}) {
        changed.replace(12, 20, 20, '\0');
        changed.replace(12, std::string(name).size(), name);
        CHECK(refuses(changed, Refusal::mechanism));
    }
    changed = curve;
    changed[10] = 2;
    CHECK(refuses(changed, Refusal::zmtp_version));
    CHECK(refuses("GET / HTTP/1.1\r\n\r\n" + std::string(64, 'x'), Refusal::not_zmtp));
    CHECK(bench.serves(*bench.client));
}

constexpr size_t greeting_and_welcome = laplace::zmtp::greeting_size + laplace::zmtp::max_curve_welcome;

// Says again, byte for byte, what somebody else has said.
void a_handshake_is_of_one_connection() {
    Bench bench;
    Peer first(bench.endpoint(), *bench.client, bench.own->public_key);
    CHECK(first.connect() && first.said.size() == 2);
    CHECK(first.ask(request("GET", "x")) && first.answer() == get_reply("x", "[1]"));
    const std::string &hello = first.said[0], &initiate = first.said[1], &asked = first.said[2];
    const std::string all = hello + initiate + asked;
    const auto refuses = [&](const std::vector<std::string>& parts, Refusal reason, size_t answered) {
        const uint64_t before = bench.refused(reason);
        Peer again(bench.endpoint(), *bench.client, bench.own->public_key);
        bool sent = true;
        for (const std::string& part : parts) {
            sent = again.send(part) && sent;
            if (answered > 0) CHECK(again.receive(std::exchange(answered, 0)).size() == greeting_and_welcome);
        }
        return again.is_closed() && bench.refused(reason) == before + 1;
    };
    const std::string greeting = hello.substr(0, laplace::zmtp::greeting_size);
    CHECK(refuses({hello, initiate}, Refusal::not_authentic, greeting_and_welcome));
    CHECK(refuses({hello, initiate + asked}, Refusal::not_authentic, greeting_and_welcome));
    CHECK(refuses({all}, Refusal::not_authentic, 0));  // it waits for nothing
    CHECK(refuses({hello, hello.substr(greeting.size())}, Refusal::malformed, greeting_and_welcome));
    CHECK(refuses({greeting + initiate}, Refusal::malformed, 0));
    CHECK(refuses({greeting + asked}, Refusal::malformed, 0));
    CHECK(bench.serves(*bench.client) && first.answer_to(request("PING", "x")) == ping_reply("x"));
}

uint64_t all_refusals(const Bench& bench) {
    uint64_t sum = 0;
    for (const auto& each : bench.running.server->counters().refused) sum += each.load();
    return sum;
}

// With one byte changed, a command is none.
void changed_commands() {
    Bench bench;
    uint64_t refused = 0;
    const std::string hello = Peer(bench.endpoint(), *bench.client, bench.own->public_key).talker.sent;
    for (size_t at = laplace::zmtp::greeting_size; at < hello.size(); at += 3) {
        Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
        peer.talker.sent[at] = static_cast<char>(peer.talker.sent[at] ^ 1);
        CHECK(peer.say() && peer.is_closed() && peer.talker.log.empty());
        ++refused;
    }
    size_t size = 1;
    for (size_t at = laplace::zmtp::long_header; at < size; at += 7) {
        Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
        CHECK(peer.say());
        while (peer.talker.sent.empty() && peer.listen()) {
        }
        size = peer.talker.sent.size();
        CHECK(size > 257 && !peer.talker.is_over());
        peer.talker.sent[at] = static_cast<char>(peer.talker.sent[at] ^ 1);
        CHECK(peer.say() && peer.is_closed() && !peer.talker.is_ready());
        ++refused;
    }
    CHECK(bench.all_gone());
    CHECK(all_refusals(bench) == refused);
    CHECK(bench.serves(*bench.client));
}

// Whoever has gone keeps nobody waiting, and no memory.
void a_turn_of_who_has_gone() {
    laplace::ConnectionList there;
    laplace::TurnQueue turns;
    std::vector<laplace::ConnectionRef> all;
    for (int i = 0; i < 5; ++i) {
        auto* const made = new laplace::TcpConnection(laplace::no_descriptor, {}, {});
        all.emplace_back(made);
        there.take(*made, 0);
        turns.push(*made);
    }
    for (const size_t i : {size_t{0}, size_t{1}, size_t{3}, size_t{4}}) {
        laplace::ConnectionList::remove(laplace::tcp(*all[i]));
    }
    CHECK(turns.pop().get() == all[2].get());
    CHECK(all[0].is_last() && all[1].is_last() && all[2].is_last());
    CHECK(!turns.empty());
    CHECK(turns.pop().get() == nullptr);
    CHECK(turns.empty());
    for (const laplace::ConnectionRef& each : all) CHECK(each.is_last());
}

// Who leaves in the middle leaves nothing behind.
void handshakes_that_are_cut() {
    Bench bench;
    for (size_t at = 1; at < 600; at += 13) {
        Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
        const size_t hello = peer.talker.sent.size();
        peer.talker.sent.resize(std::min(at, hello));
        CHECK(peer.say());
        if (at <= hello) continue;
        while (peer.talker.sent.empty() && peer.listen()) {
        }
        peer.talker.sent.resize(std::min(at - hello, peer.talker.sent.size()));
        CHECK(peer.say());
    }
    CHECK(bench.all_gone() && bench.serves(*bench.client));
}

void who_says_nothing_more_is_closed() {
    Config config = server_bench::local();
    config.handshake_timeout_ms = 50;
    Bench bench(false, config);
    for (const size_t size : {size_t{20}, size_t{64}, size_t{100}, size_t{266}}) {
        Peer peer(bench.endpoint(), *bench.client, bench.own->public_key);
        peer.talker.sent.resize(size);
        CHECK(peer.say());
        while (!peer.receive(1).empty()) {
        }
    }
    CHECK(bench.refused(Refusal::handshake_timeout) == 4);
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 2 || !sodium_library::load(arguments[1])) return 2;
    bytes_in_any_pieces();
    messages_of_several_frames();
    large_replies_and_many_small_ones();
    heartbeats_within_the_box();
    an_unknown_key_is_told();
    a_wrong_server_key_is_told_nothing();
    greetings_of_others();
    a_handshake_is_of_one_connection();
    changed_commands();
    a_turn_of_who_has_gone();
    handshakes_that_are_cut();
    who_says_nothing_more_is_closed();
    return checks::status();
}
