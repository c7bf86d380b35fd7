// Tests of what subscribers are sent, without a network and with a clock of their own. Returns 1 if any
// failed.

#include "support/streams_bench.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace {

using namespace streams_bench;

// ---- updates

void updates_in_one_message() {
    Bench bench;
    const auto stream = bench.declare("s");
    for (const char* const text : {"1", "2", "3"}) publish(*stream, text, 5);
    const auto ledger = bench.subscribe("a", 9, stream, 2);
    bench.send_all();
    const Word word = bench.read("a");
    CHECK(word.there && word.header.kind == StreamKind::updates && word.header.subscription == 9);
    CHECK(word.header.count == 2 && word.header.first == 2 && word.header.last == 3);
    CHECK(word.header.lost == 0 && word.header.lost_in_all == 0 && word.header.sent_in_all == 2);
    CHECK(word.texts == "[2,3]" && word.times == (std::vector<double>{5, 5}));
    CHECK(ledger->next.load() == 4 && ledger->sent.load() == 2 && ledger->messages.load() == 1);
    CHECK(ledger->bytes.load() == sizeof(StreamHeader) + 2 * sizeof(double) + 5);
    CHECK(bench.nothing_for("a"));
}

void arrays_go_alone_and_are_shared() {
    Bench bench;
    const auto stream = bench.declare("s");
    publish(*stream, "1");
    publish(*stream, "2", 0, {"array", ""});
    publish(*stream, "3", 0, {}, true);
    for (const char* const peer : {"a", "b"}) bench.subscribe(peer, 1, stream);
    bench.send_all();
    const auto& held = [&](const char* peer) -> const auto& { return bench.router.peer(peer).held[1].more; };
    CHECK(held("a").size() == 2 && held("a")[0].data() == held("b")[0].data());  // no copies
    for (const char* const peer : {"a", "b"}) {
        CHECK(bench.read(peer).texts == "[1]");
        const Word word = bench.read(peer);
        CHECK(word.texts == "[2]" && word.header.first == 2 && word.arrays == (Frames{"array", ""}));
        CHECK(bench.read(peer).header.kind == StreamKind::loose);
        CHECK(bench.nothing_for(peer));
    }
}

void a_publisher_is_asked_for_a_word() {
    Bench bench;
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream);
    publish(*stream, "1");
    CHECK(!stream->word_is_wanted());  // the loop looks by itself
    bench.send_all();
    CHECK(stream->word_is_wanted() && !stream->word_is_wanted());
    publish(*stream, "2");
    bench.sender.wake();
    bench.send_all();
    CHECK(bench.read("a").texts == "[1]" && bench.read("a").texts == "[2]");
}

void rests_where_messages_are_long() {
    Bench bench;
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream);
    const int64_t rests[] = {0, 100, 250};
    const int updates[] = {15, 16, 64};
    for (int i = 0; i < 3; ++i) {
        // A block of its own, so that the message has as many as were published now.
        for (int n = 0; n < updates[i]; ++n) publish(*stream, "1");
        bench.sender.wake();
        CHECK(bench.send().count() == rests[i]);
    }
}

void of_many_it_sends_no_few_behind() {
    for (const int updates : {15, 16}) {
        Bench bench;
        const auto stream = bench.declare("s");
        bench.subscribe("a", 1, stream);
        for (int n = 0; n < updates; ++n) publish(*stream, "1");
        bench.send();
        const bool many = updates >= 16;  // it rests, and looks by itself
        CHECK(stream->word_is_wanted() == !many && (bench.sender.due(bench.now) <= bench.now) == many);
        bench.send_all();
        CHECK(stream->word_is_wanted() == many);
        CHECK(bench.read("a").header.count == static_cast<uint32_t>(updates) && bench.nothing_for("a"));
    }
    // Who is behind gets several messages.
    Bench bench;
    const auto stream = bench.declare("s");
    for (int n = 0; n < 40; ++n) publish(*stream, std::string(16 * 1024, '1'));
    for (int n = 0; n < 32; ++n) publish(*stream, "1");
    bench.subscribe("a", 1, stream, 39);
    bench.send();
    for (const uint64_t first : {39, 40, 41}) CHECK(bench.read("a").header.first == first);
    CHECK(bench.nothing_for("a"));
}

// ---- credit

void no_more_than_is_allowed() {
    Bench bench;
    const auto stream = bench.declare("s");
    const auto ledger = bench.subscribe("a", 1, stream, 1, 2);
    for (int i = 1; i <= 4; ++i) {
        publish(*stream, std::to_string(i));
        bench.sender.wake();
        bench.send_all();
    }
    CHECK(bench.read("a").texts == "[1]" && bench.read("a").texts == "[2]" && bench.nothing_for("a"));
    CHECK(bench.control("a", 1, StreamKind::credit, 3, much, 3));
    CHECK(ledger->confirmed.load() == 3 && ledger->allowed_messages.load() == 3);
    bench.send_all();
    CHECK(bench.read("a").texts == "[3,4]");  // what has piled up
    CHECK(bench.nothing_for("a"));
}

void bytes_are_allowed_too() {
    Bench bench;
    const auto stream = bench.declare("s");
    const std::string text(2000, '1');
    bench.subscribe("a", 1, stream, 1, much, 1);
    for (int i = 0; i < 3; ++i) publish(*stream, text, 0, {"x"});
    bench.send_all();
    CHECK(bench.read("a").header.first == 1 && bench.nothing_for("a"));  // begun within it
    bench.control("a", 1, StreamKind::credit, much, 2500);
    bench.send_all();
    CHECK(bench.read("a").header.first == 2 && bench.nothing_for("a"));
}

// ---- gaps

void what_the_history_lost_is_told() {
    Bench bench;
    History history;
    history.updates = 3;
    const auto stream = bench.declare("s", history);
    const auto ledger = bench.subscribe("a", 1, stream, 1, 1);
    publish(*stream, "1");
    bench.send_all();
    CHECK(bench.read("a").texts == "[1]");
    for (int i = 2; i <= 10; ++i) publish(*stream, std::to_string(i), 0, {"x"});
    bench.control("a", 1, StreamKind::credit, much);
    bench.send_all();
    Word word = bench.read("a");
    CHECK(word.header.first == 8 && word.header.lost == 6 && word.header.lost_in_all == 6 && word.header.last == 10);
    word = bench.read("a");
    CHECK(word.header.first == 9 && word.header.lost == 0 && word.header.lost_in_all == 6);
    CHECK(bench.read("a").header.first == 10 && bench.nothing_for("a"));
    CHECK(ledger->sent.load() == 4 && ledger->lost.load() == 6 && ledger->next.load() == 11);
}

void the_latest_only() {
    Bench bench;
    const auto stream = bench.declare("s");
    const auto ledger = bench.subscribe("a", 1, stream, 1, much, much, true);
    for (int i = 1; i <= 5; ++i) publish(*stream, std::to_string(i));
    bench.send_all();
    const Word word = bench.read("a");
    CHECK(word.texts == "[5]" && word.header.first == 5 && word.header.lost == 4 && bench.nothing_for("a"));
    CHECK(!ledger->waited_for.load());
}

// ---- words

void alive_while_nothing_comes() {
    Bench bench;
    const auto stream = bench.declare("s");
    publish(*stream, "1");
    bench.subscribe("a", 1, stream, 2);
    bench.pass_ms(999);
    CHECK(bench.nothing_for("a"));
    for (int i = 0; i < 8; ++i) {
        bench.pass_ms(1000);
        const Word word = bench.read("a");
        CHECK(word.there && word.header.kind == StreamKind::alive && word.header.first == 2 && word.header.last == 1);
    }
    bench.control("a", 1, StreamKind::credit);
    bench.send_all();
    bench.pass_ms(1000);
    CHECK(bench.read("a").header.kind == StreamKind::alive);  // it is there
}

void a_stranger_is_told() {
    Bench bench;
    CHECK(bench.control("a", 5, StreamKind::credit));
    const Word word = bench.read("a");
    CHECK(word.there && word.header.kind == StreamKind::unknown && word.header.subscription == 5);
    CHECK(bench.control("a", 5, StreamKind::leave) && bench.nothing_for("a"));
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream);
    CHECK(bench.control("b", 1, StreamKind::credit));  // another's
    CHECK(bench.read("b").header.kind == StreamKind::unknown);
    CHECK(bench.control("a", 1, StreamKind::credit) && bench.nothing_for("a"));
}

void what_is_no_word() {
    Bench bench;
    const std::string magic(stream_magic, sizeof stream_magic);
    CHECK(!bench.deliver({"a", "", "{}"}));
    CHECK(!bench.deliver({"a", "", magic}));
    CHECK(!bench.deliver({"a", "", magic + std::string(36, '\0')}));   // of version 0
    CHECK(!bench.deliver({"a", "", magic + "\x01\x01" + std::string(34, '\0')}));  // a server's kind
    CHECK(!bench.deliver({"a", "", magic + "\x01\x10" + std::string(34, '\0'), "more"}));
    CHECK(bench.deliver({"a", "", magic + "\x01\x10" + std::string(34, '\0')}));
}

// ---- coming and going

void who_leaves_is_forgotten() {
    Bench bench;
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream);
    bench.subscribe("a", 2, stream);
    bench.subscribe("b", 1, stream);
    CHECK(bench.streams.ledgers().size() == 3);
    CHECK(bench.control("a", 1, StreamKind::leave));
    bench.router.peer("b").gone = true;  // found out when it is sent something
    publish(*stream, "1");
    bench.send_all();
    CHECK(bench.streams.ledgers().size() == 1);
    CHECK(bench.read("a").header.subscription == 2 && bench.nothing_for("a"));
    bench.control("a", 2, StreamKind::leave);
    CHECK(bench.sender.empty() && bench.sender.due(bench.now) == UINT64_MAX);
}

// Where the router tells that a connection has ended, nothing need be published for it.
void whose_connection_is_closed_is_forgotten() {
    Bench bench(Room::told);
    const auto stream = bench.declare("s");
    const auto ledger = bench.subscribe("a", 1, stream);
    bench.subscribe("a", 2, stream, 1, 0);  // without credit
    bench.subscribe("b", 1, stream);
    bench.send_all();
    const ConnectionRef lost(&bench.router.peer("a"));
    bench.router.lose("a");
    CHECK(bench.sender.due(bench.now) > bench.now);
    bench.hear_of_room();
    CHECK(bench.sender.due(bench.now) == bench.now);
    bench.send();
    CHECK(bench.streams.ledgers().size() == 1 && bench.streams.answering() == 1);
    CHECK(lost.is_last() && ledger->sent.load() == 0 && bench.nothing_for("b"));
    // Whoever has its name now is a stranger.
    CHECK(bench.control("a", 1, StreamKind::credit));
    CHECK(bench.read("a").header.kind == StreamKind::unknown);
    // What is closed while answers to it wait, too.
    bench.router.peer("b").holdings.parked_peers = 1;
    bench.router.peer("b").close();
    bench.sender.wake();
    bench.send();
    CHECK(bench.sender.empty() && bench.streams.ledgers().empty());
    bench.router.peer("b").holdings.parked_peers = 0;
}

// Behind a proxy, each program has subscriptions of its own.
void programs_behind_a_proxy() {
    Bench bench;
    const auto stream = bench.declare("s");
    for (const char* const program : {"1", "2"}) {
        Grant grant;
        grant.stream = stream;
        grant.ledger = std::make_shared<Ledger>();
        grant.ledger->next.store(1);
        grant.ledger->allowed_messages.store(much);
        grant.ledger->allowed_bytes.store(much);
        grant.id = 1;
        const Route route{ConnectionRef(&bench.router.peer("a")), memory_router::encoded({program, ""})};
        CHECK(bench.sender.subscribe(route, grant, bench.now) == Begun::yes);
    }
    CHECK(bench.streams.ledgers().size() == 2);
    publish(*stream, "1");
    bench.send_all();
    Frames programs;
    for (Frames frames = bench.router.read("a"); !frames.empty(); frames = bench.router.read("a")) {
        CHECK(frames.size() == 3 && frames[1].empty());
        programs.push_back(frames[0]);
    }
    std::sort(programs.begin(), programs.end());
    CHECK(programs == (Frames{"1", "2"}));
    StreamControl word{};
    std::memcpy(word.magic, stream_magic, sizeof word.magic);
    word.version = stream_version;
    word.kind = StreamKind::leave;
    word.subscription = 1;
    CHECK(bench.deliver({"a", "2", "", std::string(reinterpret_cast<const char*>(&word), sizeof word)}));
    CHECK(bench.streams.ledgers().size() == 1);
}

void begun_anew() {
    Bench bench;
    const auto stream = bench.declare("s");
    for (const char* const text : {"1", "2"}) publish(*stream, text);
    bench.subscribe("a", 1, stream);
    bench.send_all();
    const auto second = bench.subscribe("a", 1, stream, 2);
    CHECK(bench.streams.ledgers().size() == 1 && bench.streams.ledgers()[0] == second);
    bench.send_all();
    CHECK(bench.read("a").texts == "[1,2]" && bench.read("a").texts == "[2]");
}

void a_route_too_long() {
    Bench bench;
    Grant grant;
    grant.stream = bench.declare("s");
    grant.ledger = std::make_shared<Ledger>();
    const Route route{ConnectionRef(&bench.router.peer("a")), memory_router::encoded({std::string(5000, 'r'), ""})};
    CHECK(bench.sender.subscribe(route, grant, bench.now) == Begun::route_too_long);
    CHECK(bench.sender.empty() && bench.streams.ledgers().empty());
}

// ---- room

// When something is to be done again, where a router that does not tell of room had none.
uint64_t next_try(const Bench& bench, Room room) {
    return bench.now + (room == Room::tried ? ns_per_ms : 1000 * ns_per_ms);
}

void nothing_is_lost_where_there_is_no_room(Room room) {
    Bench bench(room);
    const auto stream = bench.declare("s");
    bench.subscribe("a", 1, stream);
    bench.subscribe("b", 1, stream);
    bench.router.peer("a").room = 1;
    for (int i = 1; i <= 6; ++i) {
        publish(*stream, std::to_string(i), 0, {"x"});
        bench.sender.wake();
        bench.send_all();
        CHECK(bench.read("b").header.first == static_cast<uint64_t>(i));  // others do not wait
    }
    CHECK(bench.sender.due(bench.now) == next_try(bench, room));
    for (uint64_t i = 1; i <= 6; ++i) {
        const Word word = bench.read("a");
        CHECK(word.header.first == i && word.header.lost == 0);
        bench.pass_ms(1);
    }
    CHECK(bench.nothing_for("a"));
}

void answers_come_before_updates(Room room) {
    Bench bench(room);
    const auto stream = bench.declare("s");
    for (const char* const peer : {"a", "b"}) bench.subscribe(peer, 1, stream);
    publish(*stream, "1");
    Holdings& holdings = bench.router.peer("a").holdings;
    holdings.parked_peers = 1;
    bench.send_all();
    CHECK(bench.nothing_for("a") && bench.sender.due(bench.now) == next_try(bench, room));
    CHECK(bench.read("b").texts == "[1]");
    holdings.parked_peers = 0;
    if (room == Room::told) bench.sender.wake();  // by the loop, which has sent the answers
    bench.pass_ms(1);
    CHECK(bench.read("a").texts == "[1]" && bench.nothing_for("b"));
}

// ---- the end

// Until it is over, the end waits for room.
void the_end_without_room(Room room) {
    Bench bench(room);
    const auto stream = bench.declare("s");
    for (const char* const peer : {"full", "dead", "lost"}) bench.subscribe(peer, 1, stream);
    bench.send_all();
    bench.streams.seal();
    for (const char* const peer : {"full", "dead"}) bench.router.peer(peer).room = 0;
    bench.router.lose("lost");
    bench.sender.end(true, bench.now);
    CHECK(bench.streams.ledgers().size() == 2);
    bench.router.peer("full").room = 1;
    bench.sender.end(true, bench.now);
    CHECK(bench.read("full").header.kind == StreamKind::end && bench.streams.ledgers().size() == 1);
    bench.sender.end(false, bench.now);
    CHECK(bench.sender.empty() && bench.streams.ledgers().empty() && bench.nothing_for("dead"));
}

void the_last_number_is_told() {
    Bench bench;
    const auto stream = bench.declare("s");
    for (int i = 1; i <= 3; ++i) publish(*stream, std::to_string(i), 0, {"x"});
    bench.subscribe("read", 1, stream);
    bench.subscribe("behind", 1, stream, 1, 1);
    bench.send_all();
    bench.streams.seal();
    CHECK(publish(*stream, "4") == Stream::sealed);
    bench.sender.end(true, bench.now);
    for (int i = 0; i < 3; ++i) CHECK(bench.read("read").header.kind == StreamKind::updates);
    const Word word = bench.read("read");
    CHECK(word.header.kind == StreamKind::end && word.header.last == 3 && word.header.first == 4 && word.header.sent_in_all == 3);
    CHECK(bench.streams.ledgers().size() == 1);  // the other may take more, while there is time
    CHECK(bench.read("behind").header.first == 1 && bench.nothing_for("behind"));
    bench.control("behind", 1, StreamKind::credit, 2);
    bench.send_all();
    bench.sender.end(false, bench.now);
    CHECK(bench.read("behind").header.first == 2);
    const Word end = bench.read("behind");
    CHECK(end.header.kind == StreamKind::end && end.header.first == 3 && end.header.last == 3);
    CHECK(bench.sender.empty() && bench.streams.ledgers().empty());
}

}  // namespace

int main() {
    memory_router::use();
    updates_in_one_message();
    arrays_go_alone_and_are_shared();
    a_publisher_is_asked_for_a_word();
    rests_where_messages_are_long();
    of_many_it_sends_no_few_behind();
    no_more_than_is_allowed();
    bytes_are_allowed_too();
    what_the_history_lost_is_told();
    the_latest_only();
    alive_while_nothing_comes();
    a_stranger_is_told();
    what_is_no_word();
    who_leaves_is_forgotten();
    whose_connection_is_closed_is_forgotten();
    programs_behind_a_proxy();
    begun_anew();
    a_route_too_long();
    for (const Room room : {Room::told, Room::tried}) {
        nothing_is_lost_where_there_is_no_room(room);
        answers_come_before_updates(room);
        the_end_without_room(room);
    }
    the_last_number_is_told();
    CHECK(memory_router::living == 0);
    return checks::status();
}
