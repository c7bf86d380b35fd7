// Speaks CURVE over a real socket, for test_curve_peers.py and recordings/record_curve.py:
//     curve_peer LIBSODIUM serve SECRET ALLOWED          one connection after the other, until input ends
//     curve_peer LIBSODIUM ask PORT SECRET SERVER TYPE SIZE...
// Keys are in hex; ALLOWED is a public key or "any". It prints the port and what happened. With
// CURVE_RECORD set, keys of connections are the same each time, and all bytes are printed.

#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "support/curve_session.h"
#include "support/sodium_library.h"
#include "support/tcp_peer.h"
#include "tcp/network.h"
#include "tcp/socket.h"

using namespace curve_session;
using laplace::Descriptor;
using tcp_peer::must;

namespace {

bool records = false;

void of_hex(const std::string& digits, unsigned char* key) {
    must(digits.size() == 2 * laplace::crypto::key_size);
    for (size_t i = 0; i < laplace::crypto::key_size; ++i)
        key[i] = static_cast<unsigned char>(std::stoul(digits.substr(2 * i, 2), nullptr, 16));
}

void of_secret(const std::string& digits, KeyPair& keys) {
    of_hex(digits, keys.secret_key.bytes);
    must(laplace::crypto::sodium.scalarmult_base(keys.public_key.bytes, keys.secret_key.bytes) == 0);
}

void note(const char* who, std::string_view bytes) {
    static const char digits[] = "0123456789abcdef";
    if (!records || bytes.empty()) return;
    std::cout << who << ' ';
    for (const char each : bytes) std::cout << digits[laplace::zmtp::byte_of(each) >> 4] << digits[each & 15];
    std::cout << '\n';
}

void send_all(Descriptor to, std::string_view bytes) {
    for (size_t at = 0; at < bytes.size();) {
        const laplace::IoResult result = laplace::send_bytes(to, bytes.data() + at, bytes.size() - at);
        if (result.state == laplace::IoState::would_block) {
            tcp_peer::wait_for(to, laplace::Interest::write);
        } else if (result.state != laplace::IoState::moved) {
            return;
        }
        at += result.bytes;
    }
}

void talk(Descriptor with, Session& session) {
    std::vector<char> room(1 << 20);
    for (;;) {
        note("we", session.sent);
        send_all(with, session.sent);
        session.sent.clear();
        if (session.is_over()) break;
        const laplace::IoResult result = laplace::receive_bytes(with, room.data(), room.size());
        if (result.state == laplace::IoState::would_block) {
            tcp_peer::wait_for(with, laplace::Interest::read);
            continue;
        }
        if (result.state != laplace::IoState::moved) {
            session.log += "closed\n";
            break;
        }
        note("libzmq", {room.data(), result.bytes});
        session.hear({room.data(), result.bytes});
    }
    std::cout << session.log << "end" << std::endl;
}

void serve(const std::string& secret, const std::string& allowed) {
    KeyPair keys;
    of_secret(secret, keys);
    PublicKey client;
    if (allowed != "any") of_hex(allowed, client.bytes);
    const tcp_peer::Listener listener;
    std::cout << listener.bound << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        laplace::Address address;
        Descriptor with = laplace::no_descriptor;
        tcp_peer::wait_for(listener.descriptor, laplace::Interest::read);
        must(laplace::accept_connection(listener.descriptor, with, address) == 0);
        Echo echo(keys, allowed == "any" ? nullptr : &client);
        talk(with, echo);
        laplace::close_socket(with);
    }
}

void ask(const std::vector<std::string>& words) {
    KeyPair keys;
    PublicKey server;
    of_secret(words.at(1), keys);
    of_hex(words.at(2), server.bytes);
    std::vector<size_t> sizes;
    for (size_t i = 4; i < words.size(); ++i) sizes.push_back(std::stoul(words[i]));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::stoul(words.at(0))));
    const Descriptor with = ::socket(AF_INET, SOCK_STREAM, IPPROTO_TCP);
    must(with != laplace::no_descriptor);
    must(::connect(with, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
    Asker asker(keys, server, laplace::zmtp::socket_type(words.at(3)), some_messages(sizes));
    talk(with, asker);
    std::cout << "echoed " << asker.echoed() << ' ' << asker.reason() << std::endl;
    laplace::close_socket(with);
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() < 4 || !sodium_library::load(words[0].c_str())) return 2;
    laplace::Network network;
    if (network.open() != 0) return 1;
    records = std::getenv("CURVE_RECORD") != nullptr;
    if (records) sodium_library::fix_random(1);
    if (words[1] == "serve") {
        serve(words[2], words[3]);
    } else {
        ask({words.begin() + 2, words.end()});
    }
    return 0;
}
