// What a client hears: frames however they come, their memory, and faults.

#include <string>
#include <vector>

#include "support/checks.h"
#include "support/incoming_events.h"
#include "support/zmtp_random.h"

using namespace incoming_events;
using zmtp_events::bytes;
using zmtp_events::command;
using zmtp_events::frame;
using zmtp_events::long_frame;
using zmtp_events::long_header;
using zmtp_events::opening;
using zmtp_events::ping;
using zmtp_events::property;
using zmtp_events::ready;

namespace {

const SocketType req = SocketType::req, dealer = SocketType::dealer;
const std::string delimiter = frame("", true);

std::string told(PeerFault fault, std::string_view reason = {}) {
    return "fault " + std::to_string(static_cast<int>(fault)) + " " + std::string(reason) + "\n";
}

// The events of bytes behind the handshake of a ROUTER, in one piece.
std::string events_of(std::string_view given, SocketType own = dealer) {
    Listener listener(own);
    listener.hear(opening("ROUTER"));
    CHECK(listener.log == "ready\n");
    listener.log.clear();
    listener.hear(given);
    CHECK(!listener.wrong);
    return listener.log;
}

void frames() {
    CHECK(events_of(delimiter + frame("{}")) == "frame 0 more: \nframe 2: {}\n");
    CHECK(events_of(frame("")) == "frame 0: \n");
    CHECK(events_of(long_frame("x", true) + long_frame("") + frame("y"), req) ==
          "frame 1 more: x\nframe 0: \nframe 1: y\n");
    CHECK(events_of(frame("a", true) + command("\4PONG") + command("\1X") + command("\11SUBSCRIBEx") + frame("b")) ==
          "frame 1 more: a\nframe 1: b\n");
}

void answers() {
    Listener listener(req);
    listener.hear(opening("REP") + ping(7, "context") + delimiter + ping(0) + frame("a"));
    CHECK(listener.log == "ready\nframe 0 more: \nframe 1: a\n");
    CHECK(listener.sent == zmtp_events::pong("context") + zmtp_events::pong());
}

void faults() {
    const struct {
        std::string bytes;
        PeerFault fault;
        std::string reason, sent;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n", PeerFault::not_zmtp, "", ""},
        {bytes("\xFF\0\0\0\0\0\0\0\1\x7F\1\0"), PeerFault::version, "", ""},
        {bytes("\xFF\0\0\0\0\0\0\0\1\x7F\3\0CURVE") + std::string(47, '\0'), PeerFault::mechanism, "", ""},
        {opening("PUB"), PeerFault::socket_type, "", command("\5ERROR\30incompatible-socket-type")},
        {opening("REQ"), PeerFault::socket_type, "", command("\5ERROR\30incompatible-socket-type")},
        {zmtp_events::greeting() + frame("a"), PeerFault::malformed, "", ""},
        {zmtp_events::greeting() + command("\5ERROR\3" "400"), PeerFault::refused_by_peer, "400", ""},
        {opening("ROUTER") + command("\5ERROR\5later"), PeerFault::refused_by_peer, "later", ""},
        {opening("ROUTER") + bytes("\x80"), PeerFault::malformed, "", ""},
        {opening("ROUTER") + long_header(2, UINT64_C(1) << 63), PeerFault::malformed, "", ""},
    };
    for (const auto& each : cases) {
        for (size_t cut = 0; cut <= each.bytes.size(); ++cut) {
            Listener listener(req);
            listener.hear(each.bytes.substr(0, cut));
            listener.hear(each.bytes.substr(cut) + "more");
            CHECK(listener.incoming.fault() == each.fault && listener.incoming.reason() == each.reason);
            const size_t last = listener.log.find("fault");
            CHECK(listener.log.compare(last, each.reason.size() + 8, told(each.fault, each.reason), 0,
                                       each.reason.size() + 8) == 0);
            CHECK(listener.sent.compare(0, each.sent.size(), each.sent) == 0);
        }
    }
}

// A frame asks for memory when its header has come, and never for one that cannot be.
void memory() {
    const std::string large(100'000, 'l');
    Listener poor(dealer, 50'000);
    poor.hear(opening("ROUTER") + delimiter + frame("a") + delimiter + long_header(2, UINT64_C(1) << 62));
    CHECK(poor.log == "ready\nframe 0 more: \nframe 1: a\nframe 0 more: \n" + told(PeerFault::no_memory));
    CHECK(poor.announced == UINT64_C(1) << 62 && poor.incoming.room().size == 0 && poor.sent.empty());
    poor.hear(frame("b"));
    CHECK(poor.log.find("frame 1: b") == std::string::npos);

    // Whoever hears of an answer before has no answer with the fault.
    Listener pinged(dealer, 10);
    pinged.hear(opening("ROUTER") + ping(1, "x") + frame(large).substr(0, 1000));
    CHECK(pinged.sent == zmtp_events::pong("x") && pinged.incoming.fault() == PeerFault::no_memory);

    Listener whole(dealer, 10);  // one that came as a whole needs none
    whole.hear(opening("ROUTER") + frame(large));
    CHECK(whole.log == "ready\nframe 100000: " + large + "\n" && whole.announced == 0);
}

void numbers_of_frames() {
    std::string many = opening("ROUTER");
    for (size_t i = 0; i < Incoming::max_frames; ++i) many += delimiter;
    Listener listener(dealer);
    listener.hear(many.substr(0, many.size() - 2) + frame(""));
    CHECK(!listener.is_over());
    listener.hear(many.substr(opening("ROUTER").size()));
    CHECK(!listener.is_over());
    listener.hear(frame(""));
    CHECK(listener.incoming.fault() == PeerFault::too_many_frames);
}

void direct_room() {
    const size_t least = Incoming::least_room;
    for (const size_t size : {least - 1, least, least + 1, 5 * least}) {
        const std::string body(size, 'd');
        const std::string message = frame(body) + frame("next");
        const size_t header = message.size() - body.size() - frame("next").size();
        for (const size_t first : {size_t{0}, size_t{1}, size - least + 1, size - 1}) {
            if (first > size) continue;
            Listener listener(dealer);
            listener.hear(opening("ROUTER"));
            listener.hear(message.substr(0, header + first), true);
            const size_t left = size - first;
            CHECK(listener.incoming.room().size == (left >= least ? left : 0));
            listener.hear(message.substr(header + first), true);
            CHECK(listener.log == "ready\nframe " + std::to_string(size) + ": " + body + "\nframe 4: next\n");
            CHECK(listener.went_directly == (left >= least ? left : 0) && !listener.wrong);
        }
    }
}

void every_cut() {
    const std::string big(300, 'b');
    const std::string given = opening("ROUTER") + frame("a", true) + delimiter + ping(5, "context") + frame(big) +
                              command("\4PONG") + long_frame("", true) + long_frame(big) + frame("") + bytes("\x80");
    const Listener whole = heard_in_parts(given, dealer, {}, false);
    CHECK(whole.incoming.fault() == PeerFault::malformed);
    for (size_t cut = 0; cut <= given.size(); ++cut) {
        CHECK(same(heard_in_parts(given, dealer, {cut}, false), whole));
        for (size_t second = cut; second <= given.size(); second += 7)
            CHECK(same(heard_in_parts(given, dealer, {cut, second}, true), whole));
    }
}

// Of a random conversation, and of one with frames that have room.
void random_cuts() {
    RandomNumbers random(20261127);
    size_t over = 0, directly = 0;
    for (int i = 0; i < 2000; ++i) {
        std::string given = zmtp_random::conversation(random);
        if (random.one_in(3)) {
            const std::string body = zmtp_random::text(random, Incoming::least_room + random.below(20'000));
            given = opening("ROUTER") + frame("", true) + frame(body) + zmtp_random::message(random);
        }
        const Listener whole = heard_in_parts(given, dealer, {}, false);
        over += whole.is_over() ? 1 : 0;
        for (int way = 0; way < 4; ++way) {
            const auto cuts = zmtp_random::cuts(random, given.size());
            const Listener parts = heard_in_parts(given, dealer, cuts, random.one_in(2));
            CHECK(same(parts, whole));
            directly += parts.went_directly;
        }
    }
    CHECK(over > 100 && directly > 1'000'000);
}

}  // namespace

int main() {
    frames();
    answers();
    faults();
    memory();
    numbers_of_frames();
    direct_room();
    every_cut();
    random_cuts();
    return checks::status();
}
