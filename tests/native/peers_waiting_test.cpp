// Tests of reads that wait for a text, and of peer queues under random work and without memory. Returns
// 1 if any failed.

#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/peers_bench.h"

#include <cstdlib>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

using laplace::Action;
using laplace::ErrorKind;
using laplace::Limits;
using laplace::Refresh;
using laplace::DocumentId;
using memory_router::Room;
using requests::error_reply;
using requests::get_reply;
using requests::ping_reply;
using requests::request;

// ---- waiting for a text

void a_read_of_live_data_waits_for_a_refresh() {
    PeersBench bench;
    bench.put("[1]", true);
    bench.ask("a", request("GET", "a"));
    bench.ask("a", request("PING", "a"));
    bench.ask("b", request("GET", "b"));
    CHECK(bench.peers.any_waiting() && bench.answer("a").empty());
    CHECK(bench.peers.due() == bench.now + PeersBench::refresh_timeout_ms * laplace::ns_per_ms);
    bench.refresh("[2]");
    CHECK(bench.answer("a") == get_reply("a", "[2]") && bench.answer("a") == ping_reply("a"));
    CHECK(bench.answer("b") == get_reply("b", "[2]"));
    CHECK(bench.nothing_waits() && bench.counters.stale_gets.load() == 0);
}

// A refresh serves those who asked before it began.
void who_asks_during_a_refresh_waits_for_the_next() {
    PeersBench bench;
    bench.put("[1]", true);
    bench.ask("a", request("GET", "a"));
    const Refresh begun = bench.documents.begin_refresh(DocumentId::data);
    bench.ask("b", request("GET", "b"));
    bench.end_refresh(begun, "[2]");
    CHECK(bench.answer("a") == get_reply("a", "[2]"));
    CHECK(bench.answer("b").empty() && bench.peers.any_waiting());
    bench.refresh("[3]");
    CHECK(bench.answer("b") == get_reply("b", "[3]"));
    CHECK(bench.nothing_waits());
}

void no_refresh_in_time() {
    PeersBench bench;
    bench.put("[1]", true);
    bench.ask("a", request("GET", "a"));
    bench.pass_ms(PeersBench::refresh_timeout_ms - 1);
    CHECK(bench.answer("a").empty());
    bench.pass_ms(1);
    CHECK(bench.answer("a") == get_reply("a", "[1]"));
    CHECK(bench.counters.stale_gets.load() == 1 && bench.nothing_waits());
}

// What was handed over before the request came must not be missed, however long its text takes.
void an_unmade_text_is_waited_for() {
    PeersBench bench;
    bench.put("[1]");
    bench.put_unmade();
    bench.ask("a", request("GET", "a"));
    bench.pass_ms(10 * PeersBench::refresh_timeout_ms);
    CHECK(bench.answer("a").empty() && bench.peers.due() == UINT64_MAX && bench.peers.any_waiting());
    bench.refresh("[2]");
    CHECK(bench.answer("a") == get_reply("a", "[2]") && bench.counters.stale_gets.load() == 0);
}

void new_data_serves_who_waits() {
    PeersBench bench;
    bench.put("[1]", true);
    bench.ask("a", request("GET", "a"));
    bench.put("[2]");
    CHECK(bench.answer("a") == get_reply("a", "[2]") && bench.nothing_waits());
}

void a_handler_that_comes_while_a_read_waits() {
    PeersBench bench;
    bench.put("[1]", true);
    bench.ask("a", request("GET", "a"));
    bench.ask("a", request("PING", "a"));
    bench.table.set(requests::table(Action::python));
    bench.responder.use_current_table();
    bench.refresh("[2]");
    CHECK(bench.answer("a").empty() && bench.begin() == request("GET", "a"));
    CHECK(bench.counters.pending.load() == 2);
    bench.finish("python's");
    CHECK(bench.answer("a") == "python's" && bench.answer("a") == ping_reply("a"));
    CHECK(bench.nothing_waits());
}

void a_stop_while_reads_wait() {
    PeersBench bench;
    bench.put("[1]", true);
    bench.ask("a", request("GET", "a"));
    bench.responder.stop();
    bench.peers.serve_waiting(bench.now);
    CHECK(bench.answer("a") == get_reply("a", "[1]"));  // there is no time for another
    bench.put_unmade();
    CHECK(bench.nothing_waits());
}

void a_stop_while_a_text_is_made() {
    PeersBench bench;
    bench.put("[1]");
    bench.put_unmade();
    bench.ask("a", request("GET", "a"));
    bench.responder.stop();
    bench.peers.serve_waiting(bench.now);
    CHECK(bench.answer("a") == error_reply(R"("GET")", R"("a")", "stopping"));
    CHECK(bench.nothing_waits());
}

// ---- under random work

std::string numbered(int n) { return std::to_string(n); }

// Whatever comes in whatever order: each request of a peer that stays is answered once, in the order
// of the requests, and at the end nothing is left of any of it.
void random_work(unsigned seed, Room room) {
    std::mt19937 random(seed);
    const auto upto = [&](unsigned limit) { return static_cast<int>(random() % (limit + 1)); };
    Limits limits;
    limits.pending = 1 + random() % 20;
    limits.peer_pending = 1 + random() % 10;
    PeersBench bench(room, limits);
    const char* const names[] = {"a", "b/1", "b/2", "c"};
    std::map<std::string, std::deque<std::string>> owed;  // by program: who is named in each request
    std::deque<std::string> with_python;
    const auto read_all = [&] {
        for (const char* const connection : {"a", "b", "c"}) {
            for (;;) {
                const memory_router::Frames frames = bench.router.read(connection);
                if (frames.empty()) break;
                const std::string program = frames.size() == 3 ? std::string(connection) + '/' + frames[0] : connection;
                if (!CHECK(!owed[program].empty())) return;
                const std::string& name = owed[program].front();
                CHECK(frames.back().find('"' + name + '"') != std::string::npos);
                owed[program].pop_front();
            }
        }
    };
    bench.put("[0]");
    int last = 0;
    for (int step = 0; step < 400; ++step) {
        const char* const name = names[upto(3)];
        switch (upto(9)) {
            case 0:
            case 1:
            case 2:
            case 3: {
                const char* const commands[] = {"SET", "PING", "GET", "SET", "SUBSCRIBE"};
                const std::string number = numbered(++last);
                owed[name].push_back(number);
                bench.ask(name, request(commands[upto(4)], number));
                break;
            }
            case 4: {
                const std::string text = upto(1) == 0 ? bench.begin() : bench.begin_builtin();
                if (!text.empty()) with_python.push_back(text);
                break;
            }
            case 5:
                if (with_python.empty()) break;
                bench.finish(with_python.front());
                with_python.pop_front();
                break;
            case 6: bench.put('[' + numbered(step) + ']', upto(1) == 0); break;
            case 7: bench.refresh('[' + numbered(step) + ']'); break;
            case 8:
                bench.router.peer(std::string(name, 1)).room = static_cast<size_t>(upto(3));
                read_all();
                break;
            default: bench.pass_ms(static_cast<uint64_t>(upto(60))); break;
        }
    }
    for (const char* const connection : {"a", "b", "c"}) bench.router.peer(connection).room = SIZE_MAX;
    for (int i = 0; i < 1000 && !bench.nothing_waits(); ++i) {
        const std::string text = i % 2 == 0 ? bench.begin() : bench.begin_builtin();
        if (!text.empty()) with_python.push_back(text);
        if (!with_python.empty()) {
            bench.finish(with_python.front());
            with_python.pop_front();
        }
        bench.pass_ms(100);
        read_all();
    }
    read_all();
    CHECK(bench.nothing_waits());
    for (const auto& each : owed) CHECK(each.second.empty());
}

// ---- without memory

// One allocation fails, whichever: nothing breaks, no budget stays charged, no value that is told once
// is lost, and whoever asks next is answered.
bool without_memory(uint64_t number, Room room) {
    PeersBench bench(room);
    bench.take_after_get.store(true);
    bench.put("[1]");
    bench.router.peer("slow").room = 0;
    const std::string many = request("SET", "many");
    bool reached = false;
    const auto attempt = [](const auto& work) {  // as the loop does
        try {
            work();
        } catch (const std::bad_alloc&) {
        }
    };
    {
        const failing_memory::At nth(number);
        attempt([&] { bench.ask("a/1", request("SET", "1")); });
        attempt([&] { bench.ask("a/1", request("PING", "2")); });
        attempt([&] { bench.ask("a/2", request("SET", "3")); });
        attempt([&] { bench.ask("slow", request("PING", "4")); });
        attempt([&] { bench.ask("slow", request("SET", "5")); });
        for (int i = 0; i < 8; ++i) attempt([&] { bench.ask("d", many); });
        attempt([&] { bench.put("[2]", true); });
        attempt([&] { bench.ask("b", request("GET", "6")); });
        attempt([&] { bench.ask("c", request("GET", "7")); });
        for (int i = 0; i < 11; ++i) attempt([&] { bench.begin(); });
        attempt([&] { bench.refresh("[3]"); });
        for (int i = 0; i < 4; ++i) attempt([&] { bench.pass_ms(100); });
        while (!bench.begun.empty()) attempt([&] { bench.finish("done"); });
        reached = nth.reached();
    }
    bench.router.peer("slow").room = SIZE_MAX;
    for (int i = 0; i < 20; ++i) {
        while (!bench.begin().empty()) bench.finish("done");
        bench.pass_ms(100);
    }
    CHECK(bench.nothing_waits());
    for (const char* const connection : {"a", "b", "c", "d", "slow"}) {
        while (!bench.router.read(connection).empty()) {
        }
    }
    bench.put("[4]");
    for (const char* const peer : {"a/1", "a/2", "b", "c", "slow"}) {
        const std::string connection(peer, std::string(peer).find('/') == std::string::npos ? std::strlen(peer) : 1);
        bench.ask(peer, request("PING", "last"));
        CHECK(bench.answer(connection) == ping_reply("last"));
        bench.ask(peer, request("SET", "last"));
        CHECK(bench.begin() == request("SET", "last"));
        bench.finish("done");
        CHECK(bench.answer(connection) == "done");
    }
    bench.ask("a", request("GET", "x"));
    CHECK(bench.answer("a") == get_reply("x", "[4]"));
    return reached;
}

}  // namespace

int main() {
    memory_router::use();
    a_read_of_live_data_waits_for_a_refresh();
    who_asks_during_a_refresh_waits_for_the_next();
    no_refresh_in_time();
    an_unmade_text_is_waited_for();
    new_data_serves_who_waits();
    a_handler_that_comes_while_a_read_waits();
    a_stop_while_reads_wait();
    a_stop_while_a_text_is_made();
    for (const Room room : {Room::told, Room::tried}) {
        for (unsigned seed = 1; seed <= 200; ++seed) random_work(seed, room);
        uint64_t number = 1;
        while (without_memory(number, room)) ++number;
        CHECK(number > 50);  // so many allocations there were
    }
    CHECK(memory_router::living == 0);
    return checks::status();
}
