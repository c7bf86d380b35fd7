// What one who has keys of its own, and seals with the right ones, may try in CurveZMQ's handshake.
//     curve_forged_test LIBSODIUM

#include <functional>
#include <string>

#include "support/checks.h"
#include "support/curve_ends.h"
#include "support/sodium_library.h"
#include "support/zmtp_events.h"

using namespace curve_ends;
using namespace laplace::zmtp::curve;
using laplace::crypto::sodium;
using sodium_library::secrets_made;
using zmtp_events::property;

namespace {

// A handshake up to INITIATE whose text is known, and may be changed.
struct Forger {
    explicit Forger(const Keys& keys) : ends(keys) {
        const sodium_library::Restored restored;
        sodium_library::note_keys();
        command = ends.initiate();  // of the client's and the server's keys for the connection
        CHECK(secrets_made.size() == 2);
        std::memcpy(own.bytes, secrets_made[1].data(), key_size);
        CHECK(sodium.scalarmult_base(theirs.bytes, own.bytes) == 0);
        CHECK(laplace::crypto::open_in_place(&command[initiate_box], command.size() - initiate_box, nonce(), key()));
    }
    const SharedKey& key() { return ends.client.traffic().key(); }
    laplace::crypto::Nonce nonce() const {
        return laplace::crypto::Nonce::of_number(initiate_prefix, &command[initiate_number]);
    }
    // The vouch of whoever has `secret`, for a connection and a server.
    void vouch(const laplace::crypto::SecretKey& secret, std::string_view transient, const PublicKey& server) {
        SharedKey with_theirs;
        CHECK(laplace::crypto::share(theirs, secret, with_theirs));
        char* const at = &command[initiate_vouch];
        const laplace::crypto::Nonce random = put_random(vouch_prefix, at);
        std::memcpy(at + random_size + box_overhead, transient.data(), key_size);
        put_key(server, at + random_size + box_overhead + key_size);
        CHECK(laplace::crypto::seal_in_place(at + random_size, vouch_text, random, with_theirs));
    }
    CurveFault sends() {
        CHECK(laplace::crypto::seal_in_place(&command[initiate_box], command.size() - initiate_text, nonce(), key()));
        return hear(ends.server, command).event == CurveEvent::asks ? CurveFault::none : ends.server.fault();
    }
    std::string transient() {
        PublicKey key_of_client;
        laplace::crypto::SecretKey secret;
        std::memcpy(secret.bytes, secrets_made[0].data(), key_size);
        CHECK(sodium.scalarmult_base(key_of_client.bytes, secret.bytes) == 0);
        return {reinterpret_cast<const char*>(key_of_client.bytes), key_size};
    }

    Ends ends;
    std::string command;
    laplace::crypto::SecretKey own;  // of the server, for the connection
    PublicKey theirs;
};

void vouches() {
    const Keys keys, others;
    const auto tries = [&](const std::function<void(Forger&)>& change) {
        Forger forger(keys);
        change(forger);
        return forger.sends();
    };
    const PublicKey& server = keys.server->public_key;
    CHECK(tries([](Forger&) {}) == CurveFault::none);
    CHECK(tries([&](Forger& f) { f.vouch(keys.client->secret_key, f.transient(), server); }) == CurveFault::none);
    // For another connection, for another server, by somebody else, in the name of somebody else.
    CHECK(tries([&](Forger& f) { f.vouch(keys.client->secret_key, std::string(32, 'c'), server); }) ==
          CurveFault::not_authentic);
    CHECK(tries([&](Forger& f) { f.vouch(keys.client->secret_key, f.transient(), others.server->public_key); }) ==
          CurveFault::not_authentic);
    CHECK(tries([&](Forger& f) { f.vouch(others.client->secret_key, f.transient(), server); }) ==
          CurveFault::not_authentic);
    CHECK(tries([&](Forger& f) { put_key(others.client->public_key, &f.command[initiate_text]); }) ==
          CurveFault::not_authentic);
    CHECK(tries([&](Forger& f) { put_key(PublicKey(), &f.command[initiate_text]); }) == CurveFault::not_authentic);
    CHECK(tries([&](Forger& f) {
              put_key(others.client->public_key, &f.command[initiate_text]);
              f.vouch(others.client->secret_key, f.transient(), server);
          }) == CurveFault::none);
    // The number of INITIATE, behind HELLO's 1.
    const auto numbered = [&](uint64_t number) {
        return tries([number](Forger& f) { put_number(number, &f.command[initiate_number]); });
    };
    CHECK(numbered(0) == CurveFault::replayed && numbered(1) == CurveFault::replayed);
    CHECK(numbered(3) == CurveFault::none && numbered(UINT64_MAX) == CurveFault::none);
}

void metadata() {
    const Keys keys;
    const auto tries = [&](const std::string& said) {
        Forger forger(keys);
        forger.command.replace(initiate_metadata, std::string::npos, said);
        const CurveFault fault = forger.sends();
        if (fault != CurveFault::none) return fault;
        return forger.ends.permit().event == CurveEvent::ready ? CurveFault::none : forger.ends.server.fault();
    };
    const std::string type = property("Socket-Type", "REQ");
    for (const std::string& good :
         {std::string(), type, property("sOCKET-tYPE", "REQ"), type + property("Identity", std::string(255, 'i')),
          property("X-a.B_9+c", zmtp_events::bytes("\0\xFF")) + type + property("Resource", "")})
        CHECK(tries(good) == CurveFault::none);
    for (const std::string& unfit : {property("Socket-Type", "PUB"), property("Socket-Type", ""),
                                     property("Socket-Type", "req"), property("Socket-Type", "REP") + type})
        CHECK(tries(unfit) == CurveFault::socket_type);
    for (const std::string& bad :
         {std::string("\1"), std::string("\1X"), zmtp_events::bytes("\1X\0\0\0"), zmtp_events::bytes("\1X\0\0\0\1"),
          zmtp_events::bytes("\0\0\0\0\0"), property("a b", ""), property("\xC3\xA9", ""), type + "x",
          zmtp_events::bytes("\1X\xFF\xFF\xFF\xFF"), zmtp_events::bytes("\1X\x7F\xFF\xFF\xFFzz"),
          type + property("Identity", std::string(256, 'i'))})
        CHECK(tries(bad) == CurveFault::malformed);
}

void keys_that_share_with_everybody() {
    const Keys keys;
    for (const char last : {'\0', '\1'}) {
        Ends ends(keys);
        std::string hello = ends.hello().replace(hello_client, key_size, std::string(key_size, '\0'));
        hello[hello_client] = last;
        CHECK(hear(ends.server, hello).event == CurveEvent::fault);
        CHECK(ends.server.fault() == CurveFault::not_authentic);
    }
    const PublicKey nobody;
    CurveClient client(*keys.client, nobody, SocketType::req);
    char out[laplace::zmtp::max_curve_hello];
    CHECK(client.begin(out).event == CurveEvent::fault && client.fault() == CurveFault::not_authentic);
}

// Sealed with the right key, and against the rules inside.
void hellos_that_are_not_zero() {
    const Keys keys;
    for (size_t at = 0; at <= hello_text; ++at) {
        Ends ends(keys);
        KeyPair transient;
        SharedKey with_server;
        CHECK(laplace::crypto::make_keys(transient));
        CHECK(laplace::crypto::share(keys.server->public_key, transient.secret_key, with_server));
        std::string hello = ends.hello();
        put_key(transient.public_key, &hello[hello_client]);
        hello.replace(hello_box, std::string::npos, std::string(box_overhead + hello_text, '\0'));
        if (at < hello_text) hello[hello_box + box_overhead + at] = 'x';
        const laplace::crypto::Nonce nonce = laplace::crypto::Nonce::of_number(hello_prefix, &hello[hello_number]);
        CHECK(laplace::crypto::seal_in_place(&hello[hello_box], hello_text, nonce, with_server));
        const bool is_good = at == hello_text;
        CHECK(hear(ends.server, hello).event == (is_good ? CurveEvent::answer : CurveEvent::fault));
        CHECK(ends.server.fault() == (is_good ? CurveFault::none : CurveFault::malformed));
    }
}

// One counter for all that an end says: messages go on where the handshake has ended.
void numbers_go_on() {
    const Keys keys;
    Forger forger(keys);
    put_number(7, &forger.command[initiate_number]);
    CHECK(forger.sends() == CurveFault::none);
    std::string ready = forger.ends.permit().body();
    const auto nonce = [&ready] { return laplace::crypto::Nonce::of_number(ready_prefix, &ready[ready_number]); };
    CHECK(laplace::crypto::open_in_place(&ready[ready_box], ready.size() - ready_box, nonce(), forger.key()));
    put_number(4, &ready[ready_number]);
    CHECK(laplace::crypto::seal_in_place(&ready[ready_box], ready.size() - ready_metadata, nonce(), forger.key()));
    CHECK(hear(forger.ends.client, ready).event == CurveEvent::ready);
    CurveTraffic& client = forger.ends.client.traffic();
    CurveTraffic& server = forger.ends.server.traffic();
    for (uint64_t number = 3; number < 10; ++number)  // INITIATE had 7
        CHECK(opened(server, body_of(sealed(client, Kind::last, "a"))).fault ==
              (number > 7 ? CurveFault::none : CurveFault::replayed));
    for (uint64_t number = 2; number < 7; ++number)  // READY had 4
        CHECK(opened(client, body_of(sealed(server, Kind::last, "a"))).fault ==
              (number > 4 ? CurveFault::none : CurveFault::replayed));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 || !sodium_library::load(argv[1])) return 2;
    vouches();
    metadata();
    keys_that_share_with_everybody();
    hellos_that_are_not_zero();
    numbers_go_on();
    return checks::status();
}
