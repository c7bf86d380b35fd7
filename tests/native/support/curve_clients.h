// Clients over CURVE of a whole server, over real sockets, which say and hear bytes as a test wants it.
#ifndef LAPLACE_TESTS_CURVE_CLIENTS_H
#define LAPLACE_TESTS_CURVE_CLIENTS_H

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#ifndef _WIN32
#include <sys/time.h>
#endif

#include "server/server.h"
#include "support/curve_session.h"
#include "support/tcp_peer.h"
#include "transport/server_keys.h"
#include "zmtp/commands.h"

namespace curve_clients {

using namespace curve_session;
using laplace::Descriptor;
using laplace::IoResult;
using laplace::IoState;
using laplace::Role;
using laplace::Server;
using laplace::ServerKeys;
using tcp_peer::must;

inline laplace::Address address_of(const std::string& endpoint) {
    laplace::Address address;
    must(laplace::resolve_endpoint(endpoint, false, address) == 0);
    return address;
}

struct Served {
    const KeyPair& key;
    Role role;
    uint32_t number;
};

inline std::shared_ptr<const ServerKeys> server_keys(const KeyPair& own, const std::vector<Served>& clients) {
    auto made = std::make_shared<ServerKeys>();
    must(made->set_own(own.secret_key.bytes));
    for (const Served& client : clients) must(made->add(client.key.public_key.bytes, client.role, client.number));
    return made;
}

// A client that says what it is told to, and keeps what it hears.
class Talker : public Session {
public:
    Talker(const KeyPair& keys, const PublicKey& server, SocketType own) : client_(keys, server, own) {
        sent = laplace::zmtp::curve_greeting(false);
        std::vector<char> out(laplace::zmtp::max_curve_hello);
        sent.append(out.data(), client_.begin(out.data()).to_send);
    }
    using Session::say;
    using Session::say_command;
    bool is_ready() const { return ready_; }
    std::string_view reason() const { return client_.reason(); }

    std::vector<Message> heard;
    std::vector<std::string> pongs;

private:
    Said step(const std::string& command) override { return curve_ends::hear(client_, command); }
    CurveTraffic& traffic() override { return client_.traffic(); }
    CurveFault step_fault() const override { return client_.fault(); }
    void ready() override { ready_ = true; }
    void message(const Message& frames) override { heard.push_back(frames); }
    void pong(std::string_view context) override { pongs.emplace_back(context); }

    CurveClient client_;
    bool ready_ = false;
};

// A connection with its socket, which waits for what comes, though not for ever.
class Peer {
public:
    Peer(const std::string& endpoint, const KeyPair& keys, const PublicKey& server, SocketType own = SocketType::dealer)
        : talker(keys, server, own), socket_(tcp_peer::connect_to(address_of(endpoint))) {
#ifdef _WIN32
        const DWORD patience = 20000;
#else
        const timeval patience{20, 0};
#endif
        must(::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, reinterpret_cast<const char*>(&patience), sizeof patience) == 0);
        must(laplace::set_no_delay(socket_) == 0);
    }
    ~Peer() { close(); }
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    void close() {
        if (socket_ != laplace::no_descriptor) laplace::close_socket(std::exchange(socket_, laplace::no_descriptor));
    }
    // Bytes as they are, in pieces of that size. False: the server has gone.
    bool send(std::string_view bytes, size_t piece = SIZE_MAX) {
        while (!bytes.empty()) {
            const IoResult result = laplace::send_bytes(socket_, bytes.data(), std::min(piece, bytes.size()));
            if (result.state != IoState::moved) return false;
            bytes.remove_prefix(result.bytes);
        }
        return true;
    }
    // So many bytes, or fewer before the end.
    std::string receive(size_t size) { return tcp_peer::Connection::receive_from(socket_, size); }
    // What the talker has to say.
    bool say(size_t piece = SIZE_MAX) {
        said.push_back(std::exchange(talker.sent, {}));
        return send(said.back(), piece);
    }
    // Hears what comes, and says nothing. False: the end.
    bool listen() {
        char room[64 * 1024];
        const IoResult result = laplace::receive_bytes(socket_, room, sizeof room);
        must(result.state != IoState::would_block);  // it has not come in time
        if (result.state != IoState::moved) return false;
        talker.hear({room, result.bytes});
        return true;
    }
    // Hears what comes, and answers it. False: the end.
    bool hear(size_t piece = SIZE_MAX) {
        if (!listen()) return false;
        return talker.sent.empty() || say(piece) || talker.is_over();
    }
    // The whole handshake. False: it is over.
    bool connect(size_t piece = SIZE_MAX) {
        if (!say(piece)) return false;
        while (!talker.is_ready() && !talker.is_over()) {
            if (!hear(piece)) return false;
        }
        return talker.is_ready();
    }
    bool ask(std::string_view body, size_t piece = SIZE_MAX) {
        talker.say({"", std::string(body)});
        return say(piece);
    }
    // The text of the next reply, or what no reply is.
    std::string answer() {
        while (talker.heard.empty()) {
            if (!hear()) return "closed";
            if (talker.is_over()) return "over";
        }
        const Message frames = talker.heard.front();
        talker.heard.erase(talker.heard.begin());
        return frames.size() == 2 && frames[0].empty() ? frames[1] : "no reply";
    }
    std::string answer_to(std::string_view body) { return ask(body) ? answer() : "not sent"; }
    bool is_closed() {
        while (hear()) {
        }
        return true;
    }

    Talker talker;
    std::vector<std::string> said;  // by it, at once each

private:
    Descriptor socket_;
};

}  // namespace curve_clients

#endif
