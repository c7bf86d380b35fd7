// Tests of answers to who does not read, has gone, or asks for more than a limit allows: where the router
// tells of room, and where it has to be tried. Returns 1 if any failed.

#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/peers_bench.h"

#include <string>

namespace {

using laplace::ErrorKind;
using laplace::Limits;
using laplace::Refusal;
using memory_router::Frames;
using memory_router::Room;
using requests::error_reply;
using requests::get_reply;
using requests::ping_reply;
using requests::request;

// ---- who does not read

void parked_and_sent_later(Room room) {
    PeersBench bench(room);
    bench.router.peer("a").room = 1;
    for (int i = 0; i < 5; ++i) bench.ask("a", request("PING", std::to_string(i)));
    CHECK(bench.router.held("a") == 1 && bench.router.peer("a").holdings.parked_peers == 1);
    CHECK(bench.router.peer("a").holdings.parked_bytes == bench.counters.parked_bytes.load());
    CHECK(bench.counters.parked_bytes.load() > 0);
    bench.ask("b", request("PING", "b"));
    CHECK(bench.answer("b") == ping_reply("b"));
    CHECK(bench.router.peer("b").settlements == 0);  // it never was owed anything
    for (int i = 0; i < 5; ++i) {
        CHECK(bench.router.peer("a").settlements == (i == 4 ? 1 : 0));
        CHECK(bench.answer("a") == ping_reply(std::to_string(i)));
        bench.pass_ms(1);
    }
    CHECK(bench.nothing_waits() && bench.router.peer("a").settlements == 1);
}

void several_peers_of_one_connection(Room room) {
    PeersBench bench(room);
    bench.router.peer("a").room = 0;
    for (const char* const peer : {"a/1", "a/2", "a/3"}) bench.ask(peer, request("PING", peer));
    bench.ask("a/2", request("PING", "again"));
    laplace::Holdings& holdings = bench.router.peer("a").holdings;
    CHECK(holdings.peers == 3 && holdings.parked_peers == 3);
    bench.router.peer("a").room = 1;
    bench.pass_ms(1);
    CHECK(holdings.peers == 2 && holdings.parked_peers == 2 && bench.router.peer("a").settlements == 0);
    bench.router.peer("a").room = SIZE_MAX;
    bench.pass_ms(1);
    CHECK(bench.router.peer("a").settlements == 1 && bench.nothing_waits());  // with the last of them
    for (const char* const program : {"1", "2", "2", "3"}) {
        const Frames frames = bench.router.read("a");
        CHECK(frames.size() == 3 && frames[0] == program);
    }
}

void retries_become_rarer() {
    PeersBench bench(Room::tried);
    bench.router.peer("a").room = 0;
    bench.ask("a", request("PING", "x"));
    const uint64_t waits[] = {1, 2, 4, 8, 16, 32, 50, 50};
    for (const uint64_t wait : waits) {
        CHECK(bench.peers.due() == bench.now + wait * laplace::ns_per_ms);
        bench.pass_ms(wait);
    }
    // Where something could be sent, they are frequent again.
    bench.ask("a", request("PING", "y"));
    bench.router.peer("a").room = 1;
    bench.pass_ms(50);
    CHECK(bench.router.held("a") == 1 && bench.peers.due() == bench.now + laplace::ns_per_ms);
}

void who_is_told_of_room_does_not_try() {
    PeersBench bench(Room::told);
    bench.router.peer("a").room = 0;
    bench.router.peer("b").room = 0;
    for (const char* const peer : {"a", "b"}) bench.ask(peer, request("PING", peer));
    CHECK(bench.peers.due() == UINT64_MAX);
    bench.router.peer("a").room = 1;
    bench.peers.work(bench.now + 1000000 * laplace::ns_per_ms);
    CHECK(bench.router.held("a") == 0);
    bench.hear_of_room();
    CHECK(bench.answer("a") == ping_reply("a") && bench.router.peer("b").holdings.parked_peers == 1);
    CHECK(bench.peers.due() == UINT64_MAX);
    bench.router.peer("b").room = 1;
    bench.hear_of_room();
    CHECK(bench.answer("b") == ping_reply("b") && bench.nothing_waits());
    bench.peers.room(bench.now);  // nobody waits for it
}

void too_much_for_who_does_not_read_is_dropped(Room room) {
    Limits limits;
    limits.peer_parked_bytes = 10000;
    PeersBench bench(room, limits);
    bench.router.peer("a").room = 0;
    for (const char* const name : {"1", "2", "3", "4"}) {
        bench.ask(std::string("a/") + name, request("SET", name));
        bench.begin();
        bench.finish(std::string(4000, *name));
    }
    CHECK(bench.count(ErrorKind::reply_overflow) == 3);  // beside the overheads, two do not fit
    CHECK(bench.counters.parked_bytes.load() <= 10000);
    CHECK(bench.router.peer("a").holdings.peers == 1);  // who is owed nothing any more has no record
    bench.router.peer("a").room = SIZE_MAX;
    bench.pass_ms(1);
    CHECK(bench.answer("a") == std::string(4000, '1') && bench.answer("a").empty());
    CHECK(bench.nothing_waits());
    bench.router.peer("b").room = 0;
    bench.ask("b", request("SET", "b"));
    bench.begin();
    bench.finish(std::string(50000, 'x'));  // one always fits
    CHECK(bench.count(ErrorKind::reply_overflow) == 3);
}

// Of a flood behind a callback, most is refused: that must not take the room from what is carried out.
void busy_leaves_room_for_what_is_carried_out(Room room) {
    Limits limits;
    limits.peer_pending = 4;
    limits.peer_parked_bytes = 20000;
    PeersBench bench(room, limits);
    for (int i = 0; i < 100; ++i) bench.ask("a/1", request("SET", "x"));
    CHECK(bench.counters.parked_bytes.load() > 8000 && bench.counters.parked_bytes.load() <= 10000);
    // Who need not wait for a callback is told, whatever waits beside it.
    bench.ask("a/2", request("SET", "y"));
    CHECK(bench.answer("a") == error_reply(R"("SET")", R"("y")", "busy"));
    for (int i = 0; i < 4; ++i) bench.begin();
    for (int i = 0; i < 4; ++i) bench.finish(std::string(4000, 'd'));
    for (int i = 0; i < 4; ++i) CHECK(bench.answer("a") == std::string(4000, 'd'));
    uint64_t told = 0;
    for (std::string text = bench.answer("a"); !text.empty(); text = bench.answer("a"), ++told) {
        CHECK(text == error_reply(R"("SET")", R"("x")", "busy"));
    }
    CHECK(told > 0 && bench.count(ErrorKind::reply_overflow) == 96 - told);
    CHECK(bench.nothing_waits());
}

// ---- who has gone

void who_has_gone_is_forgotten(Room room) {
    PeersBench bench(room);
    for (const char* const name : {"1", "2"}) bench.ask("a", request("SET", name));
    bench.ask("a", request("GET", "a"));
    bench.begin();
    bench.begin();
    const laplace::ConnectionRef lost(&bench.router.peer("a"));
    bench.router.lose("a");
    bench.hear_of_room();
    CHECK(bench.peers.jobs() == 2);  // nothing was to be sent yet
    bench.finish("one");
    CHECK(bench.peers.empty() && bench.count(ErrorKind::unroutable) == 3);
    CHECK(bench.peers.jobs() == 1 && bench.counters.pending.load() == 1);  // Python has the other still
    CHECK(memory_router::is_clear(lost->holdings));
    CHECK(bench.peers.route_of(bench.begun.front()) == nullptr);
    // Another one is nobody that was here before.
    bench.ask("a", request("PING", "x"));
    CHECK(bench.answer("a") == ping_reply("x"));
    bench.finish("two");
    CHECK(bench.answer("a").empty() && bench.nothing_waits());
    CHECK(lost.is_last());
}

void who_goes_with_answers_parked(Room room) {
    PeersBench bench(room);
    for (const char* const connection : {"a", "b"}) bench.router.peer(connection).room = 0;
    for (const char* const peer : {"a/1", "a/2", "b"}) bench.ask(peer, request("PING", peer));
    const laplace::ConnectionRef lost(&bench.router.peer("a"));
    bench.router.lose("a");
    bench.pass_ms(1);
    CHECK(bench.count(ErrorKind::unroutable) == 2 && lost.is_last());
    CHECK(bench.counters.parked_bytes.load() == bench.router.peer("b").holdings.parked_bytes);
    bench.router.peer("b").room = 1;
    bench.pass_ms(100);
    CHECK(bench.answer("b") == ping_reply("b") && bench.nothing_waits());
}

// ---- values that are told once

void each_value_is_told_once(Room room) {
    PeersBench bench(room);
    bench.take_after_get.store(true);
    bench.put("[1]");
    bench.ask("a", request("GET", "a"));
    bench.ask("b", request("GET", "b"));
    CHECK(bench.answer("a") == get_reply("a", "[1]") && bench.answer("b") == get_reply("b", "{}"));
    CHECK(bench.router.peer("a").flushes == 1 && bench.router.peer("b").flushes == 0);  // who carries a value
    // Who has gone has not been told.
    bench.put("[2]");
    bench.router.peer("gone").gone = true;
    bench.ask("gone", request("GET", "x"));
    bench.ask("b", request("GET", "b"));
    CHECK(bench.answer("b") == get_reply("b", "[2]"));
    bench.put("[3]");
    bench.router.peer("slow").room = 0;
    bench.ask("slow", request("GET", "x"));  // is being told
    bench.ask("b", request("GET", "b"));
    CHECK(bench.answer("b") == get_reply("b", "{}"));
    bench.router.lose("slow");
    bench.pass_ms(1);
    bench.ask("b", request("GET", "b"));
    CHECK(bench.answer("b") == get_reply("b", "[3]"));
    CHECK(bench.nothing_waits());
}

// A reply that the router took, and whose peer turns out to have gone.
void a_value_sent_to_nobody(Room room) {
    PeersBench bench(room);
    bench.take_after_get.store(true);
    bench.put("[1]");
    bench.router.peer("gone").gone_at_flush = true;
    bench.ask("gone", request("PING", "x"));  // carries no value, so nobody asks
    CHECK(bench.answer("gone") == ping_reply("x") && bench.router.peer("gone").flushes == 0);
    bench.ask("gone", request("GET", "x"));
    CHECK(bench.router.peer("gone").flushes == 1 && bench.count(ErrorKind::unroutable) == 1);
    CHECK(bench.counters.commands[3].native.load() == 0);
    // Who sends nothing any more may have gone: it is answered, but given no value.
    bench.router.peer("ended").end();
    bench.ask("ended", request("PING", "x"));
    CHECK(bench.answer("ended") == ping_reply("x"));
    bench.ask("ended", request("GET", "x"));
    CHECK(bench.answer("ended").empty() && bench.count(ErrorKind::unroutable) == 2);
    bench.ask("b", request("GET", "b"));
    CHECK(bench.answer("b") == get_reply("b", "[1]"));
    // The same behind other answers, which are lost with it.
    bench.put("[2]");
    bench.ask("late", request("SET", "x"));
    for (const char* const command : {"GET", "PING"}) bench.ask("late", request(command, "x"));
    bench.router.peer("late").gone_at_flush = true;
    bench.begin();
    bench.finish("done");
    CHECK(bench.router.peer("late").flushes == 1 && bench.count(ErrorKind::unroutable) == 4);
    bench.ask("b", request("GET", "b"));
    CHECK(bench.answer("b") == get_reply("b", "[2]") && bench.nothing_waits());
}

// ---- messages over a limit

std::string refusal(const char* error) { return error_reply(R"("UNKNOWN")", R"("UNKNOWN")", error); }

void who_asks_too_much_is_told(Room room) {
    PeersBench bench(room);
    bench.ask_refused("a", Refusal::message_size);
    CHECK(bench.answer("a") == refusal("too large") && bench.router.peer("a").finishes == 1);
    bench.ask_refused("b/7", Refusal::message_frames);
    CHECK(bench.router.read("b") == (Frames{"7", "", refusal("too many frames")}));
    CHECK(bench.router.peer("b").finishes == 1 && bench.count(ErrorKind::malformed) == 2);
    CHECK(bench.nothing_waits());
    bench.router.peer("gone").gone = true;
    bench.ask_refused("gone", Refusal::message_size);
    CHECK(bench.router.peer("gone").finishes == 1 && bench.count(ErrorKind::unroutable) == 1);
    CHECK(bench.nothing_waits());
}

// Nothing more is taken from it; it is closed only when it is owed nothing.
void who_asks_too_much_and_does_not_read(Room room) {
    PeersBench bench(room);
    memory_router::MemoryRouter::Peer& peer = bench.router.peer("a");
    peer.room = 0;
    bench.ask_refused("a", Refusal::message_size);
    CHECK(peer.finishes == 1 && peer.settlements == 0 && peer.holdings.parked_peers == 1);
    peer.room = 1;
    bench.pass_ms(1);
    CHECK(bench.answer("a") == refusal("too large") && peer.settlements == 1 && bench.nothing_waits());
    // As much as may wait does already.
    Limits limits;
    limits.peer_parked_bytes = 1;
    PeersBench small(room, limits);
    small.router.peer("a").room = 0;
    small.ask("a/1", request("PING", "1"));
    small.ask_refused("a/2", Refusal::message_size);
    CHECK(small.router.peer("a").finishes == 1 && small.count(ErrorKind::reply_overflow) == 1);
    small.router.peer("a").room = 2;
    small.pass_ms(1);
    CHECK(small.answer("a") == ping_reply("1") && small.answer("a").empty());
    CHECK(small.router.peer("a").settlements == 1 && small.nothing_waits());
}

// What it asked before is answered, and first.
void who_asks_too_much_behind_other_requests(Room room) {
    PeersBench bench(room);
    memory_router::MemoryRouter::Peer& peer = bench.router.peer("a");
    bench.ask("a", request("SET", "1"));
    bench.ask("a", request("GET", "2"));
    bench.ask_refused("a", Refusal::message_size);
    CHECK(bench.answer("a").empty() && peer.finishes == 1 && peer.settlements == 0);
    bench.begin();
    bench.finish("done");
    CHECK(bench.answer("a") == "done" && bench.answer("a") == get_reply("2", "{}"));
    CHECK(bench.answer("a") == refusal("too large") && peer.settlements == 1 && bench.nothing_waits());
    // Another program behind the same proxy need not wait for that.
    bench.ask("a/1", request("SET", "1"));
    bench.ask_refused("a/2", Refusal::message_size);
    CHECK(bench.router.read("a") == (Frames{"2", "", refusal("too large")}) && peer.settlements == 1);
    bench.begin();
    bench.finish("done");
    CHECK(bench.router.read("a") == (Frames{"1", "", "done"}) && peer.settlements == 2);
}

// Told or not, it ends.
bool refusing_without_memory(Room room, uint64_t number) {
    PeersBench bench(room);
    bench.ask("owed", request("SET", "1"));
    bench.router.peer("full").room = 0;
    bool reached = false;
    for (const char* const name : {"new", "full", "owed"}) {
        memory_router::MemoryRouter::Peer& peer = bench.router.peer(name);
        bool was_received = false;
        {
            const failing_memory::At nth(number);
            try {
                bench.ask_refused(name, Refusal::message_size);
            } catch (const std::bad_alloc&) {
            }
            was_received = nth.reached() ? number > 1 : true;  // the first is the router's own
            reached = reached || nth.reached();
        }
        CHECK(peer.finishes == (was_received ? 1 : 0));
    }
    bench.router.peer("full").room = SIZE_MAX;
    bench.pass_ms(1);
    bench.begin();
    bench.finish("done");
    CHECK(bench.nothing_waits());
    return reached;
}

}  // namespace

int main() {
    memory_router::use();
    for (const Room room : {Room::told, Room::tried}) {
        parked_and_sent_later(room);
        several_peers_of_one_connection(room);
        too_much_for_who_does_not_read_is_dropped(room);
        busy_leaves_room_for_what_is_carried_out(room);
        who_has_gone_is_forgotten(room);
        who_goes_with_answers_parked(room);
        each_value_is_told_once(room);
        a_value_sent_to_nobody(room);
        who_asks_too_much_is_told(room);
        who_asks_too_much_and_does_not_read(room);
        who_asks_too_much_behind_other_requests(room);
        uint64_t number = 1;
        while (refusing_without_memory(room, number)) ++number;
        CHECK(number > 3);
    }
    retries_become_rarer();
    who_is_told_of_room_does_not_try();
    CHECK(memory_router::living == 0);
    return checks::status();
}
