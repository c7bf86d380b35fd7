// The wire of ZMTP 3, to the byte: what we send, what is taken, and what is refused and why.

#include <string>
#include <utility>

#include "support/checks.h"
#include "support/zmtp_events.h"
#include "zmtp/commands.h"
#include "zmtp/conversation.h"
#include "zmtp/frames.h"

using namespace zmtp_events;
using laplace::zmtp::Frame;
using laplace::zmtp::Frames;

namespace {

const char ready_req[] = "ready REQ\n";

// What a ROUTER makes of what comes behind the handshake of a REQ.
std::string in_traffic(const std::string& given) {
    const std::string log = events_of(opening("REQ") + given);
    CHECK(log.compare(0, sizeof ready_req - 1, ready_req) == 0);
    return log.substr(sizeof ready_req - 1);
}

std::string in_handshake(const std::string& given) { return events_of(greeting() + given); }

template <class Encode>
std::string encoded(Encode encode) {
    char out[1024];
    return {out, static_cast<size_t>(encode(out) - out)};
}

void what_we_send() {
    using namespace laplace::zmtp;
    const std::string ours = zmtp_events::greeting();
    CHECK(ours == bytes("\xFF\0\0\0\0\0\0\0\1\x7F\3\1NULL") + std::string(48, '\0'));
    CHECK(ours.size() == greeting_size);
    const auto ready_of = [](SocketType type, std::string_view identity) {
        return encoded([&](char* out) { return encode_ready(type, identity, out); });
    };
    CHECK(ready_of(SocketType::router, "") ==
          bytes("\4\51\5READY\13Socket-Type\0\0\0\6ROUTER\10Identity\0\0\0\0"));
    CHECK(ready_of(SocketType::dealer, "me") ==
          bytes("\4\53\5READY\13Socket-Type\0\0\0\6DEALER\10Identity\0\0\0\2me"));
    CHECK(ready_of(SocketType::req, "") == ready("REQ"));
    const std::string longest = ready_of(SocketType::router, std::string(300, 'i'));
    CHECK(longest == ready("ROUTER", std::string(max_identity, 'i')));
    CHECK(longest.size() == max_ready);
    CHECK(longest.compare(0, 9, bytes("\6\0\0\0\0\0\0\1\50")) == 0);
    CHECK(encoded([](char* out) { return encode_error("no", out); }) == bytes("\4\11\5ERROR\2no"));
    CHECK(encoded([](char* out) { return encode_error(std::string(300, 'r'), out); }) ==
          bytes("\6\0\0\0\0\0\0\1\6\5ERROR\xFF") + std::string(255, 'r'));
    CHECK(encoded([](char* out) { return encode_ping(0x1234, "abc", out); }) == bytes("\4\12\4PING\x12\x34" "abc"));
    CHECK(encoded([](char* out) { return encode_ping(70000, "", out); }) == ping(0xFFFF));
    CHECK(encoded([](char* out) { return encode_ping(0, std::string(20, 'c'), out); }) == ping(0, std::string(16, 'c')));
    CHECK(ping(0, std::string(16, 'c')).size() == max_ping);
    CHECK(encoded([](char* out) { return encode_pong("abc", out); }) == bytes("\4\10\4PONG" "abc"));
    CHECK(encoded([](char* out) { return encode_pong(std::string(20, 'c'), out); }) == pong(std::string(16, 'c')));
    CHECK(pong(std::string(16, 'c')).size() == max_pong);
}

void headers_of_frames() {
    CHECK(frame("") == bytes("\0\0"));
    CHECK(frame("ab", true) == bytes("\1\2ab"));
    const std::string body(255, 'x');
    CHECK(frame(body) == bytes("\0\xFF") + body);
    CHECK(frame(body + "x", true) == bytes("\3\0\0\0\0\0\0\1\0") + body + "x");
    CHECK(laplace::zmtp::header_size(255) == 2 && laplace::zmtp::header_size(256) == 9);
    const auto header = [](char* out) {
        return laplace::zmtp::encode_header(false, laplace::zmtp::max_frame_size, out);
    };
    CHECK(encoded(header) == bytes("\2\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"));
}

void frames_in_memory() {
    const std::string big(300, 'b');
    const std::string route = frame("peer", true) + long_frame("x", true) + frame(big, true) + frame("");
    const std::pair<std::string, bool> wanted[] = {{"peer", true}, {"x", true}, {big, true}, {"", false}};
    size_t count = 0;
    for (const Frame each : Frames(route)) {
        if (!CHECK(count < 4)) return;
        CHECK(each.body == wanted[count].first && each.more == wanted[count].second);
        ++count;
    }
    CHECK(count == 4);
    for (const Frame each : Frames({})) CHECK(each.body.empty() && false);
}

void socket_types() {
    using namespace laplace::zmtp;
    const SocketType req = SocketType::req, rep = SocketType::rep, dealer = SocketType::dealer;
    const SocketType router = SocketType::router, unknown = SocketType::unknown;
    const std::pair<SocketType, SocketType> pairs[] = {{req, rep},       {req, router},    {dealer, rep},
                                                       {dealer, dealer}, {dealer, router}, {router, router}};
    for (const SocketType one : {req, rep, dealer, router}) {
        CHECK(socket_type(laplace::zmtp::name_of(one)) == one);
        CHECK(may_talk(one, unknown));
        for (const SocketType other : {req, rep, dealer, router}) {
            bool allowed = false;
            for (const auto& pair : pairs) allowed |= pair == std::pair(one, other) || pair == std::pair(other, one);
            CHECK(may_talk(one, other) == allowed);
        }
    }
    for (const char* name : {"", "req", "Router", "REQ ", "PUB", "ROUTERS"}) CHECK(socket_type(name) == unknown);
}

// ---- greeting

void greetings_that_are_taken() {
    CHECK(events_of("") == "");
    CHECK(events_of(greeting()) == "");
    for (const size_t insignificant : {1u, 5u, 8u, 11u, 32u, 33u, 63u}) {
        for (const char byte : {'\0', '\1', '\x7F', '\xFF'}) {
            std::string other = greeting();
            other[insignificant] = byte;
            CHECK(events_of(other + ready("REQ")) == ready_req);
        }
    }
    for (const char major : {'\3', '\4', '\x7F', '\x80', '\xFF'}) {
        std::string newer = greeting();
        newer[10] = major;
        CHECK(events_of(newer + ready("REQ")) == ready_req);
    }
    for (const char end_of_signature : {'\1', '\x7F', '\xFF'}) {
        std::string other = greeting();
        other[9] = end_of_signature;
        CHECK(events_of(other + ready("REQ")) == ready_req);
    }
}

// Refused at the very byte that shows it.
void refused_at(size_t place, char byte, const char* fault) {
    std::string other = greeting();
    other[place] = byte;
    CHECK(events_of(other.substr(0, place)) == "");
    CHECK(events_of(other.substr(0, place + 1)) == "fault " + std::string(fault) + "\n");
    Listener listener(SocketType::router);
    listener.hear(other);
    CHECK(listener.used == place + 1 && listener.sent.empty());
    listener.hear(ready("REQ"));  // it stays what it was
    CHECK(listener.log == "fault " + std::string(fault) + "\nfault " + std::string(fault) + "\n");
    CHECK(listener.used == place + 1);
}

void greetings_that_are_refused() {
    for (const char first : {'\0', '\1', 'G', '\x16', '\xFE'}) refused_at(0, first, "not_zmtp");
    for (const char end_of_signature : {'\0', '\x7E', '\xFE'}) refused_at(9, end_of_signature, "not_zmtp");
    for (const char major : {'\0', '\1', '\2'}) refused_at(10, major, "version");
    for (size_t place = 12; place < 32; ++place) refused_at(place, '_', "mechanism");
    refused_at(15, '\0', "mechanism");
    for (const char* mechanism : {"PLAIN", "CURVE", "NULLS", "null"}) {
        std::string other = greeting().replace(12, 20, std::string(mechanism).append(20, '\0'), 0, 20);
        CHECK(events_of(other) == "fault mechanism\n");
    }
}

// ---- handshake

void handshakes_that_are_taken() {
    CHECK(in_handshake(ready("REQ")) == "ready REQ\n");
    CHECK(in_handshake(ready("DEALER", "me")) == "ready DEALER\n");
    CHECK(in_handshake(ready("ROUTER", std::string(255, '\0'))) == "ready ROUTER\n");
    CHECK(in_handshake(command("\5READY")) == "ready \n");  // it need not say what it is
    CHECK(in_handshake(command("\5READY" + property("sOCKET-tYPE", "REQ"))) == "ready REQ\n");
    CHECK(in_handshake(command("\5READY" + property("X-a.B_9+c", bytes("\0\xFF"))
                               + property("Socket-Type", "DEALER") + property("Resource", ""))) == "ready DEALER\n");
    const std::string body = "\5READY" + property(std::string(255, 'n'), std::string(3000, 'v'))
                             + property("Socket-Type", "REQ");
    CHECK(in_handshake(long_header(6, body.size()) + body) == "ready REQ\n");
    CHECK(in_handshake(long_header(6, 6) + "\5READY") == "ready \n");  // a long header, a small size
    const std::string full = "\5READY" + property("X", std::string(4096 - 6 - 6, 'v'));
    CHECK(in_handshake(long_header(6, full.size()) + full) == "ready \n");
    CHECK(full.size() == 4096);
}

void answers_to_ready() {
    Listener router(SocketType::router);
    router.hear(greeting());
    CHECK(router.sent.empty() && router.conversation.in_handshake());
    router.hear(ready("REQ"));
    CHECK(router.sent == ready("ROUTER") && !router.conversation.in_handshake());
    CHECK(router.conversation.peer() == SocketType::req && router.conversation.at_frame());

    for (const SocketType own : {SocketType::dealer, SocketType::req}) {
        Listener client(own);
        client.hear(opening("ROUTER"));
        CHECK(client.log == "ready ROUTER\n" && client.sent.empty());
    }
    CHECK(events_of(opening("DEALER"), SocketType::dealer) == "ready DEALER\n");
    CHECK(events_of(opening("DEALER"), SocketType::req) == "fault socket_type\n");
}

void socket_types_that_are_refused() {
    for (const char* type :
         {"REP", "PUB", "SUB", "PUSH", "PAIR", "STREAM", "SERVER", "", "req", "Req", "ROUTER ", "X"}) {
        Listener listener(SocketType::router);
        listener.hear(greeting() + ready(type) + frame("late"));
        CHECK(listener.log == "fault socket_type\n");
        CHECK(listener.sent == command(bytes("\5ERROR\30incompatible-socket-type")));
        CHECK(listener.used < greeting().size() + ready(type).size());
    }
}

void handshakes_that_are_refused() {
    const std::string ready_text = "\5READY";
    const std::string type = property("Socket-Type", "REQ");
    const std::string huge_value = property("X", "").substr(0, 2) + "\x7F\xFF\xFF\xFF";
    const std::string refused[] = {
        frame(""),                                    // a message
        frame("\5READY" + type),                      // not marked as a command
        frame("\5READY" + type, true),
        bytes("\10"), bytes("\5"), bytes("\7"), bytes("\x84"),    // flags
        command(""),                                  // no name
        command(bytes("\0")),                         // of size 0
        command(bytes("\0READY")),
        command("\6READY"),                           // the name reaches out of it
        command("\5ready" + type),                    // case matters in the names of commands
        command("\5HELLO"), command("\4PING"), command("\4PONG"), command("\10INITIATE"),
        command(bytes("\4PING\0\0")),
        command(ready_text + "\1"),                   // a name is cut off
        command(ready_text + "\1X"),                  // and the size of a value
        command(ready_text + bytes("\1X\0\0\0")),
        command(ready_text + bytes("\1X\0\0\0\1")),   // and a value
        command(ready_text + bytes("\0\0\0\0\0")),    // a name of size 0
        command(ready_text + property("a b", "")),    // what does not belong in a name
        command(ready_text + property("\xC3\xA9", "")),
        command(ready_text + bytes("\1\0\0\0\0\0")),
        command(ready_text + huge_value),
        command(ready_text + bytes("\1X\x80\0\0\0")),
        command(ready_text + bytes("\1X\xFF\xFF\xFF\xFF")),
        command(ready_text + type + "x"),
        long_header(6, 4097),                         // too large, whatever follows
        long_header(6, UINT64_C(1) << 62), long_header(6, UINT64_C(1) << 63), long_header(6, UINT64_MAX),
        long_header(6, 6 + 5 + 13 + 256) + ready_text + property("Identity", std::string(256, 'i')),
        command("\5ERROR"),                           // without a reason's size
        command(bytes("\5ERROR\1")), command(bytes("\5ERROR\2x")), command(bytes("\5ERROR\0x")),
    };
    for (const std::string& each : refused) CHECK(in_handshake(each) == "fault malformed\n");
    CHECK(in_handshake(ready("REQ") + ready("REQ")) == "ready REQ\ncommand 38\n");  // in traffic, it means nothing
}

void peers_that_refuse() {
    CHECK(in_handshake(command("\5ERROR\3no!")) == "fault refused_by_peer no!\n");
    CHECK(in_handshake(command(bytes("\5ERROR\0"))) == "fault refused_by_peer\n");
    CHECK(in_handshake(command(bytes("\5ERROR\4a\0\nb"))) == "fault refused_by_peer a??b\n");
    const std::string reason(200, 'r');
    const std::string cut = in_handshake(command("\5ERROR\xC8" + reason));
    CHECK(cut.size() > 60 && cut.size() < 80 && cut.find("refused_by_peer rrrrrrrr") == 6);
    Listener listener(SocketType::router);
    listener.hear(opening("REQ") + frame("a") + command("\5ERROR\3" "400") + frame("b"));
    CHECK(listener.log == "ready REQ\nframe 1: a\ncommand 10\nfault refused_by_peer 400\n");
    CHECK(listener.sent == ready("ROUTER") && listener.conversation.fault() == Fault::refused_by_peer);
    CHECK(in_traffic(command("\5ERROR\4abc")) == "command 10\nfault malformed\n");
    CHECK(in_traffic(command("\5ERROR")) == "command 6\nfault malformed\n");
}

// ---- traffic

void messages() {
    CHECK(in_traffic(frame("", true) + frame("{}")) == "frame 0 more: \nframe 2: {}\n");
    CHECK(in_traffic(frame("")) == "frame 0: \n");
    const std::string big(1000, 'b');
    CHECK(in_traffic(frame(big, true) + frame(big)) ==
          "frame 1000 more: " + big + "\nframe 1000: " + big + "\n");
    CHECK(in_traffic(long_frame("")) == "frame 0: \n");
    CHECK(in_traffic(long_frame("small", true)) == "frame 5 more: small\n");
    CHECK(in_traffic(frame(bytes("\0\1\2\xFF"))) == "frame 4: \\x00\\x01\\x02\\xff\n");
    // What is promised may be anything; nothing is held for it.
    CHECK(in_traffic(long_header(2, INT64_MAX) + "a") == "frame 9223372036854775807: a");
    CHECK(in_traffic(long_header(3, UINT64_C(1) << 62)) == "frame 4611686018427387904 more: ");
}

void headers_that_are_refused() {
    for (unsigned flags = 0; flags < 256; ++flags) {
        const bool good = flags <= 4 || flags == 6;
        const std::string header(1, static_cast<char>(flags));
        CHECK(in_traffic(header) == (good ? "" : "fault malformed\n"));
        if (good) continue;
        CHECK(in_traffic(header + std::string(9, '\1')) == "fault malformed\n");
    }
    for (const char flags : {'\2', '\3', '\6'}) {
        CHECK(in_traffic(long_header(flags, UINT64_C(1) << 63)) == "fault malformed\n");
        CHECK(in_traffic(long_header(flags, UINT64_MAX)) == "fault malformed\n");
    }
}

void pings() {
    const std::string context = "0123456789abcdef";
    for (size_t size = 0; size <= context.size(); ++size) {
        Listener listener(SocketType::router);
        listener.hear(opening("REQ") + ping(30, context.substr(0, size)) + ping(0, "x"));
        const std::string sizes[] = {std::to_string(7 + size), "8"};
        CHECK(listener.log == "ready REQ\ncommand " + sizes[0] + "\nping 30\ncommand " + sizes[1] + "\nping 0\n");
        CHECK(listener.sent == ready("ROUTER") + pong(context.substr(0, size)) + pong("x"));
    }
    // More context than there may be is cut.
    Listener listener(SocketType::router);
    listener.hear(opening("REQ") + command(bytes("\4PING\xFF\xFE") + context + "more") + frame("a"));
    CHECK(listener.log == "ready REQ\ncommand 27\nping 65534\nframe 1: a\n");
    CHECK(listener.sent == ready("ROUTER") + pong(context));
    // Between the frames of a message, and in a long frame.
    CHECK(in_traffic(frame("a", true) + ping(1) + frame("b")) ==
          "frame 1 more: a\ncommand 7\nping 1\nframe 1: b\n");
    CHECK(in_traffic(long_header(6, 7) + bytes("\4PING\0\1")) == "command 7\nping 1\n");
    CHECK(in_traffic(command("\4PING")) == "command 5\nfault malformed\n");
    CHECK(in_traffic(command(bytes("\4PING\0"))) == "command 6\nfault malformed\n");
    CHECK(in_traffic(pong() + pong("context") + pong(context)) ==
          "command 5\npong\ncommand 12\npong\ncommand 21\npong\n");
}

void commands_that_mean_nothing_to_us() {
    for (const char* name : {"\4JOIN", "\5LEAVE", "\6CANCEL", "\11SUBSCRIBE", "\4ping", "\1X", "\5READY", "\5PINGS"}) {
        for (const size_t data : {0u, 1u, 100u}) {
            const std::string body = name + std::string(data, 'd');
            CHECK(in_traffic(command(body) + frame("a")) ==
                  "command " + std::to_string(body.size()) + "\nframe 1: a\n");
        }
    }
    const std::string longest = std::string(1, '\xFF') + std::string(255, 'N') + std::string(5000, 'd');
    CHECK(in_traffic(long_header(6, longest.size()) + longest + frame("a")) == "command 5256\nframe 1: a\n");
    CHECK(in_traffic(long_header(6, INT64_MAX) + "\1Xmore") == "command 9223372036854775807\n");
    for (const std::string& each : {bytes("\0"), bytes("\0XX"), bytes("\2X"), bytes("\xFF" "abc"), bytes("\5PING")})
        CHECK(in_traffic(command(each)) == "command " + std::to_string(each.size()) + "\nfault malformed\n");
    CHECK(in_traffic(command("")) == "fault malformed\n");
}

// Who reads a frame into memory of its own.
void frames_taken_elsewhere() {
    Conversation conversation(SocketType::router);
    const std::string given = opening("DEALER") + long_header(3, 1000);
    const char* at = given.data();
    CHECK(conversation.next(at, given.data() + given.size()) == Event::ready);
    CHECK(conversation.next(at, given.data() + given.size()) == Event::frame);
    CHECK(conversation.left() == 1000 && conversation.more() && conversation.in_frame());
    conversation.took(999);
    CHECK(conversation.left() == 1 && conversation.in_frame() && !conversation.at_frame());
    const std::string rest = "x" + frame("last");
    at = rest.data();
    CHECK(conversation.next(at, rest.data() + rest.size()) == Event::piece);
    CHECK(conversation.piece() == "x" && conversation.left() == 0 && conversation.at_frame());
    CHECK(conversation.next(at, rest.data() + rest.size()) == Event::frame);
    conversation.took(4);
    CHECK(conversation.at_frame() && !conversation.in_frame());
}

}  // namespace

int main() {
    what_we_send();
    headers_of_frames();
    frames_in_memory();
    socket_types();
    greetings_that_are_taken();
    greetings_that_are_refused();
    handshakes_that_are_taken();
    answers_to_ready();
    socket_types_that_are_refused();
    handshakes_that_are_refused();
    peers_that_refuse();
    messages();
    headers_that_are_refused();
    pings();
    commands_that_mean_nothing_to_us();
    frames_taken_elsewhere();
    return checks::status();
}
