// CurveZMQ's handshake: both ends against each other, and each against whatever is not the other.
//     curve_test LIBSODIUM

#include <functional>
#include <string>

#include "support/checks.h"
#include "support/curve_ends.h"
#include "support/sodium_library.h"
#include "support/zmtp_events.h"

using namespace curve_ends;
using namespace laplace::zmtp::curve;

namespace {

// ---- what is right

void commands_are_as_the_rfc_has_them() {
    const Keys keys;
    Ends ends(keys);
    const std::string hello = ends.hello();
    CHECK(hello.size() == 200 && hello.compare(0, 8, zmtp_events::bytes("\5HELLO\1\0")) == 0);
    CHECK(hello.substr(8, 72) == std::string(72, '\0'));
    CHECK(hello.substr(112, 8) == zmtp_events::bytes("\0\0\0\0\0\0\0\1"));
    const Said welcome = hear(ends.server, hello);
    CHECK(welcome.event == CurveEvent::answer && welcome.frame.compare(0, 10, "\4\xA8\7WELCOME") == 0);
    CHECK(welcome.frame.size() == 170);
    const Said initiate = hear(ends.client, welcome.body());
    CHECK(initiate.event == CurveEvent::answer);
    CHECK(initiate.frame.compare(0, 9, zmtp_events::long_header(6, 0x126)) == 0);
    CHECK(initiate.body().compare(0, 9, "\10INITIATE") == 0 && initiate.body().size() == 0x126);
    CHECK(initiate.body().substr(105, 8) == zmtp_events::bytes("\0\0\0\0\0\0\0\2"));
    CHECK(hear(ends.server, initiate.body()).event == CurveEvent::asks);
    CHECK(ends.server.client() == keys.client->public_key && ends.server.peer() == SocketType::dealer);
    const Said ready = ends.permit();
    CHECK(ready.event == CurveEvent::ready && ready.frame.compare(0, 8, "\4\101\5READY") == 0);
    CHECK(ready.body().substr(6, 8) == zmtp_events::bytes("\0\0\0\0\0\0\0\1"));
    const Said nothing = hear(ends.client, ready.body());
    CHECK(nothing.event == CurveEvent::ready && nothing.frame.empty() && ends.client.peer() == SocketType::router);
    CHECK(ends.client.fault() == CurveFault::none && ends.server.fault() == CurveFault::none);
    CHECK(ends.client.reason().empty());
    CHECK(laplace::zmtp::curve_greeting(true).substr(10, 23) ==
          zmtp_events::bytes("\3\1CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"));
    std::string greeting(laplace::zmtp::curve_greeting(false));
    CHECK(greeting.replace(12, 5, zmtp_events::bytes("NULL\0")) == zmtp_events::greeting());
}

void sockets_of_all_kinds_are_asked_for() {
    const Keys keys;
    for (const SocketType type : {SocketType::req, SocketType::dealer, SocketType::router}) {
        Ends ends(keys, type);
        CHECK(ends.complete() && ends.server.peer() == type);
    }
    Ends ends(keys, SocketType::rep);
    CHECK(ends.asks());
    const Said error = ends.permit();
    CHECK(error.event == CurveEvent::fault && error.body() == "\5ERROR\30incompatible-socket-type");
    CHECK(ends.server.fault() == CurveFault::socket_type);
    CHECK(hear(ends.client, error.body()).event == CurveEvent::fault);
    CHECK(ends.client.fault() == CurveFault::refused_by_peer);
    CHECK(ends.client.reason() == "incompatible-socket-type");
}

void longest_identity() {
    const Keys keys;
    const std::string identity(300, 'i');
    CurveClient client(*keys.client, keys.server->public_key, SocketType::router, identity);
    CurveServer server(*keys.server);
    std::vector<char> out(laplace::zmtp::max_curve_hello);
    CHECK(client.begin(out.data()).to_send == out.size());
    const Said welcome = hear(server, body_of({out.data(), out.size()}));
    const Said initiate = hear(client, welcome.body());
    CHECK(initiate.frame.size() == laplace::zmtp::max_curve_initiate);
    CHECK(hear(server, initiate.body()).event == CurveEvent::asks);
}

// ---- what is refused

void unknown_clients_are_told() {
    const Keys keys;
    Ends ends(keys);
    CHECK(ends.asks());
    char out[laplace::zmtp::max_error];
    const CurveStep step = ends.server.refuse(out);
    const std::string error = body_of({out, step.to_send});
    CHECK(step.event == CurveEvent::fault && error == "\5ERROR\3" "400");
    CHECK(ends.server.fault() == CurveFault::not_permitted && ends.server.client() == keys.client->public_key);
    CHECK(hear(ends.client, error).event == CurveEvent::fault);
    CHECK(ends.client.fault() == CurveFault::refused_by_peer && ends.client.reason() == "400");
}

void another_server_is_told_nothing() {
    const Keys keys, others;
    Ends ends(keys);
    CurveServer other(*others.server);
    const Said said = hear(other, ends.hello());
    CHECK(said.event == CurveEvent::fault && said.frame.empty());
    CHECK(other.fault() == CurveFault::wrong_server_key && other.client() == PublicKey());
    CHECK(hear(other, "x").event == CurveEvent::fault);
}

// One that stands between: it has keys of its own, and the server's public one.
void nobody_stands_between() {
    const Keys keys, forged;
    Ends ends(keys);
    CurveServer false_server(*forged.server);
    CurveClient to_false(*keys.client, forged.server->public_key, SocketType::dealer);
    std::vector<char> out(laplace::zmtp::max_curve_hello);
    const std::string hello = body_of({out.data(), to_false.begin(out.data()).to_send});
    ends.hello();
    const Said said = hear(ends.client, hear(false_server, hello).body());
    CHECK(said.event == CurveEvent::fault && ends.client.fault() == CurveFault::not_authentic && said.frame.empty());
}

// The other end must notice at the latest when it hears the command after the next: of the highest bit
// of a public key nothing depends but the vouch, which tells it.
bool is_noticed(const Keys& keys, size_t which, const std::function<std::string(const std::string&)>& change) {
    Ends ends(keys);
    std::string command = ends.hello();
    if (which == 0) command = change(command);
    Said said = hear(ends.server, command);
    if (said.event == CurveEvent::fault) return said.frame.empty() && which == 0;
    command = said.body();
    if (which == 1) command = change(command);
    said = hear(ends.client, command);
    if (said.event == CurveEvent::fault) return said.frame.empty() && which == 1;
    command = said.body();
    if (which == 2) command = change(command);
    said = hear(ends.server, command);
    if (said.event == CurveEvent::fault) return said.frame.empty() && (which == 0 || which == 2);
    command = ends.permit().body();
    if (which == 3) command = change(command);
    said = hear(ends.client, command);
    return said.event == CurveEvent::fault && which == 3;
}

void every_byte_counts() {
    const Keys keys;
    const size_t sizes[] = {hello_size, welcome_size, 0x126, 0x41};
    for (size_t which = 0; which < 4; ++which) {
        for (size_t at = 0; at < sizes[which]; ++at) {
            for (const unsigned bit : {static_cast<unsigned>(at % 8), 7u}) {
                CHECK(is_noticed(keys, which, [&](const std::string& command) {
                    std::string other = command;
                    if (!CHECK(at < other.size())) return other;
                    other[at] = static_cast<char>(laplace::zmtp::byte_of(other[at]) ^ 1u << bit);
                    return other;
                }));
            }
            CHECK(is_noticed(keys, which, [&](const std::string& command) { return command.substr(0, at); }));
        }
        for (const char* more : {"x", "\5READY", "1234567890123456"}) {
            CHECK(is_noticed(keys, which, [&](const std::string& command) { return command + more; }));
        }
        CHECK(is_noticed(keys, which, [](const std::string&) { return std::string(); }));
    }
}

void each_command_has_its_time() {
    const Keys keys;
    Ends whole(keys);
    const std::string hello = whole.hello(), welcome = hear(whole.server, hello).body();
    const std::string initiate = hear(whole.client, welcome).body();
    CHECK(hear(whole.server, initiate).event == CurveEvent::asks);
    const std::string ready = whole.permit().body();
    CHECK(hear(whole.client, ready).event == CurveEvent::ready);
    const std::string message = body_of(sealed(whole.client.traffic(), Kind::last, "text"));
    const std::string all[] = {hello, welcome, initiate, ready, message, "\5ERROR\3" "400", "\4PING", ""};
    for (const std::string& each : all) {
        if (each != hello) {
            CurveServer fresh(*keys.server);
            CHECK(hear(fresh, each).event == CurveEvent::fault && fresh.fault() == CurveFault::malformed);
        }
        Ends greeted(keys);
        greeted.welcome();
        CHECK(hear(greeted.server, each).event == CurveEvent::fault);
        CHECK(greeted.server.fault() == (each == initiate ? CurveFault::not_authentic : CurveFault::malformed));
        Ends asked(keys);
        CHECK(asked.asks() && hear(asked.server, each).event == CurveEvent::fault);
        Ends through(keys);
        CHECK(through.complete() && hear(through.server, each).event == CurveEvent::fault);
        CHECK(through.server.fault() == CurveFault::malformed);

        const bool is_error = each.compare(0, 6, "\5ERROR") == 0;
        Ends begun(keys);
        begun.hello();
        CHECK(hear(begun.client, each).event == CurveEvent::fault);
        CHECK(begun.client.fault() == (is_error          ? CurveFault::refused_by_peer
                                       : each == welcome ? CurveFault::not_authentic
                                                         : CurveFault::malformed));
        Ends answered(keys);
        answered.initiate();
        CHECK(hear(answered.client, each).event == CurveEvent::fault);
        CHECK(answered.client.fault() == (is_error        ? CurveFault::refused_by_peer
                                          : each == ready ? CurveFault::not_authentic
                                                          : CurveFault::malformed));
        CHECK(hear(answered.client, ready).event == CurveEvent::fault);  // it stays over
        Ends done(keys);
        CHECK(done.complete() && hear(done.client, each).event == CurveEvent::fault);
        CHECK(done.client.fault() == CurveFault::malformed);
    }
}

void cookies_are_of_one_connection() {
    const Keys keys;
    Ends first(keys);
    const std::string hello = first.hello();
    CurveServer second(*keys.server);
    const std::string initiate = hear(first.client, hear(first.server, hello).body()).body();
    CHECK(hear(second, hello).event == CurveEvent::answer);  // said again: worthless
    CHECK(hear(second, initiate).event == CurveEvent::fault);
    CHECK(second.fault() == CurveFault::not_authentic && second.client() == PublicKey());
    CHECK(hear(first.server, initiate).event == CurveEvent::asks);
    CHECK(hear(first.server, initiate).event == CurveEvent::fault);
}

void errors_of_a_server() {
    const Keys keys;
    const std::string longest = "\5ERROR\xFF" + std::string(255, 'r');
    const struct {
        std::string command;
        CurveFault fault;
        std::string reason;
    } cases[] = {
        {zmtp_events::bytes("\5ERROR\0"), CurveFault::refused_by_peer, ""},
        {zmtp_events::bytes("\5ERROR\4a\0\nb"), CurveFault::refused_by_peer, "a??b"},
        {longest, CurveFault::refused_by_peer, std::string(44, 'r')},
        {"\5ERROR", CurveFault::malformed, ""},
        {"\5ERROR\3ab", CurveFault::malformed, ""},
        {"\5ERROR\1ab", CurveFault::malformed, ""},
    };
    for (const auto& each : cases) {
        Ends ends(keys);
        ends.hello();
        CHECK(hear(ends.client, each.command).event == CurveEvent::fault);
        CHECK(ends.client.fault() == each.fault && ends.client.reason() == each.reason);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 || !sodium_library::load(argv[1])) return 2;
    commands_are_as_the_rfc_has_them();
    sockets_of_all_kinds_are_asked_for();
    longest_identity();
    unknown_clients_are_told();
    another_server_is_told_nothing();
    nobody_stands_between();
    every_byte_counts();
    each_command_has_its_time();
    cookies_are_of_one_connection();
    errors_of_a_server();
    return checks::status();
}
