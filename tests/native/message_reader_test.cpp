// Requests out of bytes: routes and bodies, limits, memory, and any way to cut.

#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/reader_events.h"
#include "support/zmtp_random.h"

using laplace::Message;
using laplace::MessageReader;
using reader_events::events_of;
using reader_events::Listener;
using zmtp_events::bytes;
using zmtp_events::command;
using zmtp_events::frame;
using zmtp_events::long_frame;
using zmtp_events::long_header;
using zmtp_events::opening;
using zmtp_events::ping;

namespace {

using Limits = MessageReader::Limits;

const std::string delimiter = frame("", true);
const std::string big(300, 'b');
const std::string req_route = " [\\x01\\x00]";  // as it is shown

Limits at_most(size_t max_bytes, size_t max_frames) {
    Limits limits;
    limits.max_bytes = max_bytes;
    limits.max_frames = max_frames;
    return limits;
}

void routes_and_bodies() {
    CHECK(events_of(delimiter + frame("{}")) == "message of 2" + req_route + " {}\n");
    CHECK(events_of(delimiter + frame("")) == "message of 0" + req_route + " \n");
    CHECK(events_of(delimiter + frame(big) + delimiter + frame("a")) ==
          "message of 300" + req_route + " " + big + "\nmessage of 1" + req_route + " a\n");
    CHECK(events_of(delimiter + long_frame("x")) == "message of 1" + req_route + " x\n");
    // What a proxy puts before it; headers become the shortest there are.
    CHECK(events_of(frame("peer", true) + delimiter + frame("{}")) == "message of 6 [\\x01\\x04peer\\x01\\x00] {}\n");
    CHECK(events_of(long_frame("peer", true) + long_frame("", true) + frame("{}")) ==
          "message of 6 [\\x01\\x04peer\\x01\\x00] {}\n");
    CHECK(events_of(frame(big, true) + delimiter + frame("{}")) ==
          "message of 302 [\\x03\\x00\\x00\\x00\\x00\\x00\\x00\\x01," + big + "\\x01\\x00] {}\n");
    CHECK(events_of(frame("a", true) + frame("b", true) + delimiter + frame("{}") + delimiter + frame("c")) ==
          "message of 4 [\\x01\\x01a\\x01\\x01b\\x01\\x00] {}\nmessage of 1" + req_route + " c\n");
    // Only the first empty frame is the delimiter.
    CHECK(events_of(delimiter + delimiter + frame("a")) == "message of 1" + req_route + ", not one frame\n");
    CHECK(events_of(delimiter + frame("a", true) + frame("b") + delimiter + frame("c")) ==
          "message of 2" + req_route + ", not one frame\nmessage of 1" + req_route + " c\n");
    CHECK(events_of(frame("")) == "message of 0" + req_route + ", not one frame\n");
    CHECK(events_of(frame("a", true) + frame("")) == "message of 1 [\\x01\\x01a\\x01\\x00], not one frame\n");
    CHECK(events_of(frame("a")) == "no_delimiter of 1\n");
    CHECK(events_of(frame("a", true) + frame(big) + delimiter + frame("c")) ==
          "no_delimiter of 301\nmessage of 1" + req_route + " c\n");
    CHECK(events_of(frame("a", true) + ping(7) + delimiter + command("\4PONG") + command("\1X") + frame("c")) ==
          "ping 7\npong\nmessage of 2 [\\x01\\x01a\\x01\\x00] c\n");
}

void handshakes_and_faults() {
    const Limits limits;
    Listener listener(limits);
    listener.hear(opening("DEALER") + ping(3, "context") + delimiter + frame("a") + bytes("\x80"));
    CHECK(listener.log == "ready\nping 3\nmessage of 1" + req_route + " a\nfault malformed\n");
    CHECK(listener.sent == zmtp_events::ready("ROUTER") + zmtp_events::pong("context"));
    listener.hear(delimiter);
    CHECK(listener.log == "ready\nping 3\nmessage of 1" + req_route + " a\nfault malformed\nfault malformed\n");
    Listener other(limits);
    other.hear(opening("SUB"));
    CHECK(other.log == "fault socket_type\n" && other.sent == command("\5ERROR\30incompatible-socket-type"));
}

void limits_of_bytes() {
    const Limits ten = at_most(10, 100);
    const std::string ten_bytes(10, 'x'), eleven(11, 'x');
    CHECK(events_of(delimiter + frame(ten_bytes), ten) == "message of 10" + req_route + " " + ten_bytes + "\n");
    CHECK(events_of(delimiter + frame(eleven), ten) == "too_large" + req_route + "\n");
    CHECK(events_of(frame("12345", true) + delimiter + frame("12345"), ten) ==
          "message of 10 [\\x01\\x0512345\\x01\\x00] 12345\n");
    CHECK(events_of(frame("12345", true) + delimiter + frame("123456"), ten) ==
          "too_large [\\x01\\x0512345\\x01\\x00]\n");
    CHECK(events_of(delimiter + frame("12345", true) + frame("123456"), ten) == "too_large" + req_route + "\n");
    CHECK(events_of(frame(eleven, true), ten) == "too_large []\n");
    CHECK(events_of(frame("12345", true) + frame("123456", true), ten) == "too_large []\n");
    CHECK(events_of(delimiter + frame("a") + frame(eleven, true), ten) ==
          "message of 1" + req_route + " a\ntoo_large []\n");
    // Seen at the header, nothing of it has to come.
    CHECK(events_of(delimiter + long_header(2, UINT64_C(1) << 62), ten) == "too_large" + req_route + "\n");
    CHECK(events_of(delimiter + long_header(2, INT64_MAX), at_most(SIZE_MAX / 4, 2)) == "too_large" + req_route + "\n");
    // A command is held to them, and counts for no message.
    CHECK(events_of(frame("12345", true) + command("\11XXXXXXXXX") + delimiter + frame("12345"), ten) ==
          "message of 10 [\\x01\\x0512345\\x01\\x00] 12345\n");
    CHECK(events_of(delimiter + frame("a") + command("\12XXXXXXXXXX"), ten) ==
          "message of 1" + req_route + " a\ntoo_large []\n");
    CHECK(events_of(delimiter + command("\12XXXXXXXXXX"), ten) == "too_large" + req_route + "\n");
    // What goes back with the answer is held to less, with its headers.
    Limits short_route;
    short_route.max_route_bytes = 9;
    CHECK(events_of(frame("12345", true) + delimiter + frame(eleven), short_route) ==
          "message of 16 [\\x01\\x0512345\\x01\\x00] " + eleven + "\n");
    CHECK(events_of(frame("123456", true) + delimiter, short_route) == "too_long_route []\n");
    CHECK(events_of(frame("12345", true) + frame("a", true), short_route) == "too_long_route []\n");
    CHECK(events_of(long_header(3, UINT64_C(1) << 62), short_route) == "too_long_route []\n");
    CHECK(events_of(frame(""), at_most(0, 2)) == "message of 0" + req_route + ", not one frame\n");
    CHECK(events_of(delimiter + frame("a"), at_most(0, 2)) == "too_large" + req_route + "\n");
}

void limits_of_frames() {
    const Limits three = at_most(1000, 3);
    CHECK(events_of(frame("p", true) + delimiter + frame("a"), three) == "message of 2 [\\x01\\x01p\\x01\\x00] a\n");
    CHECK(events_of(frame("p", true) + frame("q", true) + delimiter + frame("a"), three) ==
          "too_many_frames [\\x01\\x01p\\x01\\x01q\\x01\\x00]\n");
    CHECK(events_of(frame("p", true) + frame("q", true) + frame("r", true) + delimiter, three) ==
          "too_many_frames []\n");
    CHECK(events_of(delimiter + frame("a", true) + frame("b", true) + frame("c"), three) ==
          "too_many_frames" + req_route + "\n");
    CHECK(events_of(delimiter + frame("a"), at_most(1000, 1)) == "too_many_frames" + req_route + "\n");
    CHECK(events_of(delimiter + frame("a"), at_most(1000, 2)) == "message of 1" + req_route + " a\n");
}

// A body that is there as a whole is neither copied nor allocated; one that is cut is gathered.
void memory_of_bodies() {
    const Limits limits;
    Listener listener(limits);
    listener.takes_bodies = true;
    const std::string body(100'000, 'x');
    listener.hear(opening("REQ"));
    listener.hear(delimiter + frame(body));
    CHECK(listener.reader.held() == 0);
    for (const size_t cut : {1u, 2u, 3u, 11u, 12u, 5000u, 99'999u, 100'010u}) {
        const std::string message = delimiter + frame(body);
        listener.hear(message.substr(0, cut));
        CHECK(listener.reader.held() <= 2 * cut + 4096);
        listener.hear(message.substr(cut), cut % 2 != 0);
        CHECK(listener.taken.back().view() == body);
        CHECK(listener.reader.held() == 0);
    }
    CHECK(listener.taken.size() == 9);
    CHECK(!listener.wrong);
    // What is not taken is let go with the next message.
    listener.takes_bodies = false;
    listener.hear((delimiter + frame(body)).substr(0, 50'000));
    listener.hear((delimiter + frame(body)).substr(50'000));
    CHECK(listener.reader.held() == 0);
    // A large route, too.
    listener.hear(frame(body, true) + delimiter + frame("a"));
    CHECK(listener.reader.held() == 0);
    // And at the end all.
    listener.hear(frame(body, true) + delimiter + frame(body).substr(0, 50'000));
    CHECK(listener.reader.held() > 150'000);
    listener.reader.release();
    CHECK(listener.reader.held() == 0 && listener.reader.route().empty() && listener.reader.room().size == 0);
}

void promises_cost_nothing() {
    const Limits limits;
    Listener listener(limits);
    listener.hear(opening("REQ") + delimiter + long_header(2, UINT64_C(1) << 62));
    CHECK(listener.reader.held() == 0 && listener.log == "ready\n");
    CHECK(listener.reader.room().size == 4096 && listener.reader.held() == 4096);
    for (size_t size = 1; size < 2'000'000; size *= 3) {
        const size_t before = listener.reader.held();
        listener.hear(std::string(size, 'x'), size % 2 != 0);
        CHECK(listener.reader.held() >= before && listener.most_held_beyond <= 4096);
    }
}

void room_for_bodies() {
    const Limits limits;
    Listener listener(limits);
    const auto no_room = [&] { return listener.reader.room().size == 0; };
    CHECK(no_room());
    listener.hear(opening("REQ"));
    CHECK(no_room());
    listener.hear(frame("p", true) + delimiter);
    CHECK(no_room());
    listener.hear(frame(big).substr(0, 9));
    const MessageReader::Room room = listener.reader.room();
    if (!CHECK(room.size == 300)) return;  // no more than there will be
    std::memcpy(room.begin, big.data(), 299);
    listener.reader.received(299);
    CHECK(listener.reader.room().begin == room.begin + 299 && listener.reader.room().size == 1);
    listener.hear(frame("", true).substr(0, 0));
    CHECK(listener.log == "ready\n");
    listener.hear(frame(big).substr(9 + 299), true);
    CHECK(listener.log == "ready\nmessage of 301 [\\x01\\x01p\\x01\\x00] " + big + "\n");
    CHECK(no_room());
    listener.hear(delimiter + frame("a", true) + frame(big).substr(0, 100));  // of no use
    CHECK(no_room());
}

// ---- any way to cut

std::string heard(const std::string& given, const Limits& limits, const std::vector<size_t>& cuts, bool directly,
                  size_t& held_beyond) {
    Listener listener(limits);
    listener.takes_bodies = directly;
    size_t at = 0;
    for (const size_t cut : cuts) {
        listener.hear(std::string_view(given).substr(at, cut - at), directly);
        at = cut;
        if (listener.is_over()) break;
    }
    if (!listener.is_over()) listener.hear(std::string_view(given).substr(at), directly);
    held_beyond = std::max(held_beyond, listener.most_held_beyond);
    CHECK(!listener.wrong);
    return listener.log + listener.sent;
}

void every_cut() {
    const std::string given = opening("REQ") + delimiter + frame("{}") + frame("peer", true) + ping(3) + delimiter +
                              frame(big) + frame("no", true) + frame("delimiter") + delimiter + frame("a", true) +
                              frame(big) + delimiter + long_frame("x") + frame("");
    size_t held_beyond = 0;
    for (const Limits& limits : {Limits(), at_most(300, 100), at_most(1000, 2), at_most(10, 10)}) {
        const std::string whole = heard(given, limits, {}, false, held_beyond);
        std::vector<size_t> single;
        for (size_t cut = 0; cut <= given.size(); ++cut) {
            CHECK(heard(given, limits, {cut}, false, held_beyond) == whole);
            CHECK(heard(given, limits, {cut}, true, held_beyond) == whole);
            single.push_back(cut);
        }
        CHECK(heard(given, limits, single, false, held_beyond) == whole);
        CHECK(heard(given, limits, single, true, held_beyond) == whole);
    }
    CHECK(held_beyond <= 4096);
}

void random_cuts() {
    RandomNumbers random(13);
    size_t held_beyond = 0;
    for (int i = 0; i < 2000; ++i) {
        const std::string given = zmtp_random::conversation(random);
        const Limits limits = random.one_in(2) ? Limits() : at_most(random.below(1000), 1 + random.below(6));
        const std::string whole = heard(given, limits, {}, false, held_beyond);
        for (const bool directly : {false, true})
            CHECK(heard(given, limits, zmtp_random::cuts(random, given.size()), directly, held_beyond) == whole);
    }
    CHECK(held_beyond <= 4096);
}

// ---- without memory

bool memory_fails(size_t) noexcept { return failing_memory::fails(); }

// What a reader says of a message with a long route and a long body, in parts, the allocation of this
// number failing.
bool without_memory(uint64_t number) {
    const Limits limits;
    MessageReader reader(limits);
    const std::string head = opening("REQ") + frame(big, true);
    const std::string rest = delimiter + frame(std::string(50'000, 'x'));
    std::vector<std::string> parts = {head, rest.substr(0, 100), rest.substr(100, 20'000), rest.substr(20'100)};
    bool refused = false, came = false, reached = false;
    {
        failing_memory::At at(number);
        for (const std::string& part : parts) {
            const char* next = part.data();
            const char* const end = next + part.size();
            for (;;) {
                const MessageReader::Event event = reader.next(next, end);
                if (event == MessageReader::Event::need_more) break;
                if (event == MessageReader::Event::message) came = true;
                if (event != MessageReader::Event::no_memory) continue;
                refused = true;
                CHECK(reader.next(next, end) == MessageReader::Event::no_memory);
                break;
            }
            if (refused) break;
        }
        reached = at.reached();
    }
    CHECK(refused == reached && came != refused);
    if (refused) CHECK(reader.held() <= 2 * head.size());
    return reached;
}

void out_of_memory() {
    laplace::message_memory_fails = &memory_fails;
    uint64_t failures = 0;
    while (without_memory(failures + 1)) ++failures;
    CHECK(failures >= 4);
    // Who reads directly is told when it goes on.
    const Limits limits;
    Listener listener(limits);
    listener.hear(opening("REQ") + delimiter + long_header(2, 50'000));
    {
        failing_memory::At at(1);
        CHECK(listener.reader.room().size == 0 && at.reached());
    }
    CHECK(listener.reader.room().size == 4096);
    // A body that is not taken stays where it is.
    const std::string message = delimiter + frame("body");
    MessageReader reader(limits);
    const std::string start = opening("REQ") + message;
    const char* next = start.data();
    CHECK(reader.next(next, start.data() + start.size()) == MessageReader::Event::ready);
    CHECK(reader.next(next, start.data() + start.size()) == MessageReader::Event::message);
    Message taken;
    {
        failing_memory::At at(1);
        CHECK(!reader.take_body(taken));
    }
    CHECK(taken.size() == 0 && reader.body() == "body");
    CHECK(reader.take_body(taken) && taken.view() == "body" && reader.body() == "body");
    laplace::message_memory_fails = nullptr;
}

}  // namespace

int main() {
    routes_and_bodies();
    handshakes_and_faults();
    limits_of_bytes();
    limits_of_frames();
    memory_of_bodies();
    promises_cost_nothing();
    room_for_bodies();
    every_cut();
    random_cuts();
    out_of_memory();
    return checks::status();
}
