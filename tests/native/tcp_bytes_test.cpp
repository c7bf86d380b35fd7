// Tests of what goes over connections, and of how they end, over the loopback interface. Returns 1 if any
// failed.

#include "tcp/network.h"
#include "support/checks.h"
#include "support/tcp_peer.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

namespace {

using laplace::Descriptor;
using laplace::Interest;
using laplace::IoResult;
using laplace::IoState;
using laplace::Piece;
using tcp_peer::Connection;
using tcp_peer::Listener;
using tcp_peer::receive_one;

// ---- bytes

std::string pattern(size_t size) {
    std::string text(size, '\0');
    for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 131 % 251);
    return text;
}

// Goes on sending where there is room, until all is sent; in how many steps.
template <typename Send>
size_t send_all(Descriptor to, size_t size, Send send) {
    size_t steps = 0;
    for (size_t sent = 0; sent < size; ++steps) {
        const IoResult result = send(sent);
        if (result.state == IoState::would_block) {
            tcp_peer::wait_for(to, Interest::write);
        } else if (CHECK(result.state == IoState::moved && result.bytes > 0)) {
            sent += result.bytes;
        } else {
            break;
        }
    }
    return steps;
}

void much_is_sent_in_parts() {
    const Listener listener;
    Connection connection(listener);
    const std::string text = pattern(32 << 20);
    std::string received;
    std::thread reader([&] { received = connection.receive(text.size()); });
    const size_t steps = send_all(connection.server, text.size(), [&](size_t sent) {
        return laplace::send_bytes(connection.server, text.data() + sent, text.size() - sent);
    });
    reader.join();
    CHECK(steps > 1);
    CHECK(received == text);
}

// The pieces from this byte on.
std::vector<Piece> rest_of(const std::vector<std::string>& texts, size_t from) {
    std::vector<Piece> pieces;
    for (const std::string& text : texts) {
        const size_t skipped = std::min(from, text.size());
        from -= skipped;
        if (skipped < text.size()) pieces.push_back({text.data() + skipped, text.size() - skipped});
    }
    return pieces;
}

// More of them than one call takes, large ones and empty ones.
void pieces_are_sent_in_order() {
    const Listener listener;
    Connection connection(listener);
    std::vector<std::string> texts;
    std::string all;
    for (size_t i = 0; i < 150; ++i) {
        texts.push_back(pattern(i % 10 == 0 ? 0 : i % 7 == 0 ? 200000 + i : i));
        all += texts.back();
    }
    std::string received;
    std::thread reader([&] { received = connection.receive(all.size()); });
    send_all(connection.server, all.size(), [&](size_t sent) {
        const std::vector<Piece> rest = rest_of(texts, sent);
        return laplace::send_pieces(connection.server, rest.data(), rest.size());
    });
    reader.join();
    CHECK(received == all);
}

void few_pieces_are_sent_at_once() {
    const Listener listener;
    Connection connection(listener);
    const Piece pieces[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    const IoResult result = laplace::send_pieces(connection.server, pieces, 3);
    CHECK(result.state == IoState::moved && result.bytes == 5);
    CHECK(connection.receive(5) == "abcde");
    const std::vector<Piece> many(laplace::most_pieces + 10, Piece{"x", 1});
    CHECK(laplace::send_pieces(connection.server, many.data(), many.size()).bytes == laplace::most_pieces);
    CHECK(connection.receive(laplace::most_pieces) == std::string(laplace::most_pieces, 'x'));
}

void a_full_connection_blocks_nobody() {
    const Listener listener;
    Connection connection(listener);
    const size_t sent = tcp_peer::fill(connection.server);
    CHECK(sent > 0);
    const Piece piece{"x", 1};
    CHECK(laplace::send_pieces(connection.server, &piece, 1).state == IoState::would_block);
    CHECK(connection.receive(sent).size() == sent);
    tcp_peer::wait_for(connection.server, Interest::write);
    CHECK(laplace::send_pieces(connection.server, &piece, 1).state == IoState::moved);
}

// ---- ends

void a_peer_may_close() {
    const Listener listener;
    Connection connection(listener);
    connection.send("last words");
    connection.close_peer();
    CHECK(connection.served(10) == "last words");
    tcp_peer::wait_for(connection.server, Interest::read);
    for (int i = 0; i < 3; ++i) CHECK(receive_one(connection.server).state == IoState::closed);
}

void a_peer_may_close_one_half() {
    const Listener listener;
    Connection connection(listener);
    connection.send("question");
    CHECK(laplace::shut_down_sending(connection.peer) == 0);
    CHECK(connection.served(100) == "question");
    CHECK(receive_one(connection.server).state == IoState::closed);
    CHECK(laplace::send_bytes(connection.server, "answer", 6).bytes == 6);
    CHECK(connection.receive(6) == "answer");
}

void the_server_may_close_one_half() {
    const Listener listener;
    Connection connection(listener);
    CHECK(laplace::send_bytes(connection.server, "error", 5).bytes == 5);
    CHECK(laplace::shut_down_sending(connection.server) == 0);
    CHECK(connection.receive(100) == "error");  // and the end
    connection.send("what was on its way");
    CHECK(connection.served(19) == "what was on its way");
    CHECK(laplace::send_bytes(connection.server, "x", 1).state == IoState::failed);
}

// Neither kills the process.
void a_reset_is_an_error() {
    const Listener listener;
    Connection connection(listener);
    connection.reset_peer();
    tcp_peer::wait_for(connection.server, Interest::read);
    CHECK(tcp_peer::is_reset(receive_one(connection.server)));
    IoResult result = laplace::send_bytes(connection.server, "x", 1);
    CHECK(result.state == IoState::failed && result.error != 0);
    const Piece piece{"x", 1};
    result = laplace::send_pieces(connection.server, &piece, 1);
    CHECK(result.state == IoState::failed && result.error != 0);
#ifndef _WIN32
    CHECK(laplace::shut_down_sending(connection.server) != 0);
#endif
}

// Why whoever closes after an error answer reads to the end first.
void closing_before_all_is_received_is_a_reset() {
    const Listener listener;
    Connection connection(listener);
    connection.send("not read");
    tcp_peer::wait_for(connection.server, Interest::read);
    laplace::close_socket(connection.server);
    CHECK(tcp_peer::is_reset(receive_one(connection.peer)));
    connection.server = laplace::no_descriptor;
}

}  // namespace

int main() {
    laplace::Network network;
    CHECK(network.open() == 0);
    much_is_sent_in_parts();
    pieces_are_sent_in_order();
    few_pieces_are_sent_at_once();
    a_full_connection_blocks_nobody();
    a_peer_may_close();
    a_peer_may_close_one_half();
    the_server_may_close_one_half();
    a_reset_is_an_error();
    closing_before_all_is_received_is_a_reset();
    return checks::status();
}
