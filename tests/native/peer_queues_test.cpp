// Tests of who is answered when, without a network and without Python. Returns 1 if any failed.

#include "support/checks.h"
#include "support/peers_bench.h"

#include <memory>
#include <string>

namespace {

using laplace::Action;
using laplace::DocumentId;
using laplace::ErrorKind;
using laplace::Limits;
using laplace::PythonReply;
using laplace::Refresh;
using laplace::Render;
using requests::error_reply;
using requests::get_reply;
using requests::ping_reply;
using requests::request;

// ---- order

void native_answers_go_at_once() {
    PeersBench bench;
    bench.put("[1]");
    bench.ask("a", request("PING", "x"));
    bench.ask("b", request("GET", "y"));
    CHECK(bench.answer("a") == ping_reply("x"));
    CHECK(bench.answer("b") == get_reply("y", "[1]"));
    CHECK(bench.nothing_waits());
    CHECK(bench.counters.commands[1].native.load() == 1 && bench.counters.commands[3].native.load() == 1);
    bench.put("[2]");
    bench.ask("b", request("GET", "y"));  // the bytes are known, the data is new
    CHECK(bench.answer("b") == get_reply("y", "[2]"));
}

void replies_keep_the_order_of_requests() {
    PeersBench bench;
    const std::string sets[] = {request("SET", "1"), request("SET", "2"), request("SET", "3")};
    bench.ask("a", sets[0]);
    bench.ask("a", sets[1]);  // follows into the queue
    bench.ask("a", request("GET", "a"));
    bench.ask("a", sets[2]);  // must not be done before the read
    bench.ask("b", request("PING", "b"));
    CHECK(bench.answer("b") == ping_reply("b"));  // others do not wait
    CHECK(bench.peers.jobs() == 2);
    CHECK(bench.begin() == sets[0] && bench.begin() == sets[1] && bench.begin().empty());
    bench.finish("one");
    CHECK(bench.answer("a") == "one" && bench.answer("a").empty());
    bench.put("[2]");
    bench.finish("two");
    CHECK(bench.answer("a") == "two");
    CHECK(bench.answer("a") == get_reply("a", "[2]"));  // sees what was done
    CHECK(bench.begin() == sets[2]);
    bench.finish("three");
    CHECK(bench.answer("a") == "three");
    CHECK(bench.nothing_waits());
    CHECK(bench.counters.commands[4].python.load() == 3);
}

void jobs_may_be_finished_in_any_order() {
    PeersBench bench;
    for (const char* const name : {"1", "2", "3"}) bench.ask("a", request("SET", name));
    for (int i = 0; i < 3; ++i) CHECK(!bench.begin().empty());
    bench.begun = {bench.begun[2], bench.begun[0], bench.begun[1]};
    bench.finish("three");
    CHECK(bench.answer("a").empty());
    bench.finish("one");
    CHECK(bench.answer("a") == "one" && bench.answer("a").empty());
    bench.finish("two");
    CHECK(bench.answer("a") == "two" && bench.answer("a") == "three");
    CHECK(bench.nothing_waits());
}

void programs_behind_a_proxy_are_peers_of_their_own() {
    PeersBench bench;
    bench.ask("a/1", request("SET", "1"));
    bench.ask("a/2", request("PING", "2"));
    CHECK(bench.router.read("a") == (memory_router::Frames{"2", "", ping_reply("2")}));
    CHECK(bench.begin() == request("SET", "1"));
    bench.finish("done");
    CHECK(bench.router.read("a") == (memory_router::Frames{"1", "", "done"}));
    CHECK(bench.nothing_waits());
}

void what_is_no_request_is_for_python() {
    PeersBench bench;
    bench.ask("a", "[");
    bench.send({"a", "", request("PING", "x"), "more"});
    bench.send({"a", ""});
    CHECK(bench.begin() == "[" && bench.begin().empty() && bench.begin().empty());
    CHECK(bench.begun.size() == 3);
    for (const char* const text : {"1", "2", "3"}) bench.finish(text);
    for (const char* const text : {"1", "2", "3"}) CHECK(bench.answer("a") == text);
}

// ---- what no callback holds up

void built_in_work_is_not_behind_callbacks() {
    PeersBench bench;
    bench.ask("a", request("SET", "a"));
    bench.ask("b", request("SUBSCRIBE", "b"));
    CHECK(bench.begin() == request("SET", "a") && bench.begin().empty());
    CHECK(bench.begin_builtin() == request("SUBSCRIBE", "b") && bench.begin_builtin().empty());
    bench.begun = {bench.begun[1], bench.begun[0]};
    bench.finish("subscribed");
    CHECK(bench.answer("b") == "subscribed" && bench.answer("a").empty());
    bench.finish("set");
    CHECK(bench.answer("a") == "set" && bench.nothing_waits());
}

// Of one peer, what is built in waits for callbacks and they for it: each sees what was done before.
void built_in_work_keeps_the_order_of_its_peer() {
    PeersBench bench;
    const char* const commands[] = {"SET", "SUBSCRIBE", "SUBSCRIBE", "SET", "SET", "PING"};
    for (const char* const command : commands) bench.ask("a", request(command, "a"));
    for (const char* const command : {"SET", "SUBSCRIBE", "SUBSCRIBE"}) {
        const bool callback = std::string(command) == "SET";
        CHECK(bench.peers.jobs() == 1);
        CHECK((callback ? bench.begin() : bench.begin_builtin()) == request(command, "a"));
        bench.finish(command);
        CHECK(bench.answer("a") == command);
    }
    CHECK(bench.peers.jobs() == 2);  // callbacks follow one another
    for (const char* const text : {"4", "5"}) {
        CHECK(!bench.begin().empty());
        bench.finish(text);
        CHECK(bench.answer("a") == text);
    }
    CHECK(bench.answer("a") == ping_reply("a") && bench.nothing_waits());
}

void built_in_work_has_a_budget_of_its_own() {
    Limits limits;
    limits.pending = 2;
    PeersBench bench(limits);
    for (const char* const peer : {"a", "b", "c"}) bench.ask(peer, request("SET", peer));
    CHECK(bench.answer("c") == error_reply(R"("SET")", R"("c")", "busy"));
    for (const char* const peer : {"d", "e", "f"}) bench.ask(peer, request("SUBSCRIBE", peer));
    CHECK(bench.answer("f") == error_reply(R"("SUBSCRIBE")", R"("f")", "busy"));
    CHECK(bench.counters.pending.load() == 4);
    bench.router.lose("d");
    for (int i = 0; i < 2; ++i) CHECK(!bench.begin_builtin().empty() && !bench.begin().empty());
    for (int i = 0; i < 4; ++i) bench.finish("done");
    CHECK(bench.nothing_waits());
}

// The program may take over a command while requests wait.
void built_in_work_that_gets_a_handler() {
    PeersBench bench;
    bench.ask("a", request("SET", "a"));
    bench.ask("a", request("SUBSCRIBE", "a"));
    auto changed = std::make_shared<laplace::DispatchTable>(*requests::table());
    changed->commands[4].action = Action::python;
    bench.table.set(changed);
    bench.responder.use_current_table();
    CHECK(!bench.begin().empty());
    bench.finish("set");
    CHECK(bench.begin_builtin().empty() && bench.begin() == request("SUBSCRIBE", "a"));
    bench.finish("the program's");
    CHECK(bench.answer("a") == "set" && bench.answer("a") == "the program's");
    CHECK(bench.nothing_waits());
}

void stopping_with_built_in_work() {
    PeersBench bench;
    for (const char* const peer : {"a", "b"}) bench.ask(peer, request("SUBSCRIBE", peer));
    CHECK(!bench.begin_builtin().empty());
    bench.responder.stop();
    bench.peers.refuse_unbegun(bench.now);
    CHECK(bench.answer("b") == error_reply(R"("SUBSCRIBE")", R"("b")", "stopping"));
    bench.finish("subscribed");
    CHECK(bench.answer("a") == "subscribed" && bench.nothing_waits());
}

// ---- budgets

void more_than_may_wait_is_refused() {
    Limits limits;
    limits.pending = 3;
    PeersBench bench(limits);
    for (const char* const peer : {"a", "b", "c", "d"}) bench.ask(peer, request("SET", peer));
    CHECK(bench.answer("d") == error_reply(R"("SET")", R"("d")", "busy"));
    CHECK(bench.count(ErrorKind::busy) == 1 && bench.counters.pending.load() == 3);
    // A read is native; it waits for its peer's SET, and for no place among these.
    bench.ask("a", request("GET", "a"));
    CHECK(bench.counters.pending.load() == 4 && bench.count(ErrorKind::busy) == 1);
    for (int i = 0; i < 3; ++i) bench.begin();
    for (int i = 0; i < 3; ++i) bench.finish("done");
    CHECK(bench.answer("a") == "done" && bench.answer("a") == get_reply("a", "{}"));
    CHECK(bench.nothing_waits() && bench.counters.pending_high_water.load() == 4);
    bench.ask("d", request("SET", "d"));
    CHECK(bench.counters.pending.load() == 1);
}

void one_connection_gets_its_share_however_many_peers_it_has() {
    Limits limits;
    limits.peer_pending = 2;
    PeersBench bench(limits);
    bench.ask("a/1", request("SET", "1"));
    bench.ask("a/2", request("SET", "2"));
    bench.ask("a/3", request("SET", "3"));
    CHECK(bench.answer("a") == error_reply(R"("SET")", R"("3")", "busy"));
    bench.ask("b", request("SET", "b"));
    CHECK(bench.answer("b").empty());
    // What is refused keeps its place in the order.
    bench.ask("a/1", request("SET", "4"));
    CHECK(bench.answer("a").empty());
    for (int i = 0; i < 3; ++i) bench.begin();
    bench.finish("one");
    CHECK(bench.answer("a") == "one" && bench.answer("a") == error_reply(R"("SET")", R"("4")", "busy"));
    bench.ask("a/3", request("SET", "5"));
    CHECK(!bench.begin().empty());
    for (int i = 0; i < 3; ++i) bench.finish("done");
    CHECK(bench.nothing_waits());
}

void bytes_are_bounded_too() {
    Limits limits;
    limits.pending_bytes = 100000;
    limits.peer_pending_bytes = 50000;
    PeersBench bench(limits);
    const std::string large = request("SET", std::string(200000, 'x'));
    bench.ask("a", large);  // the first always fits
    CHECK(bench.begin() == large);
    bench.ask("b", request("SET", "b"));
    CHECK(bench.count(ErrorKind::busy) == 1);
    bench.finish("done");
    for (const char* const peer : {"a/1", "a/2", "b/1"}) bench.ask(peer, request("SET", std::string(30000, 'x')));
    CHECK(bench.count(ErrorKind::busy) == 2);  // a/2
    CHECK(bench.counters.pending.load() == 2 && bench.counters.pending_bytes.load() > 60000);
    bench.begin();
    bench.begin();
    bench.finish("done");
    bench.finish("done");
    CHECK(bench.nothing_waits());
}

// ---- replies that are made here

void a_job_that_nobody_knows() {
    PeersBench bench;
    PythonReply reply;
    reply.id = 77;
    bench.peers.finish(reply, bench.now);
    bench.peers.finish_busy(77, bench.now);
    CHECK(bench.nothing_waits() && bench.peers.route_of(77) == nullptr);
}

void replies_with_the_data_of_the_moment() {
    PeersBench bench;
    bench.table.set(requests::table(Action::python));
    bench.ask("a", request("GET", "x"));
    bench.begin();
    PythonReply reply;
    reply.render = Render::get;
    reply.to = R"("x")";
    reply.version = requests::version;
    bench.put("[7]");
    bench.finish(std::move(reply));
    CHECK(bench.answer("a") == get_reply("x", "[7]"));

    bench.ask("a", request("SET", "x"));
    bench.begin();
    PythonReply arrays;
    arrays.render = Render::arrays;
    arrays.reply = "[8]";
    arrays.to = R"("x")";
    arrays.version = requests::version;
    arrays.arrays.resize(2);
    CHECK(arrays.arrays[0].allocate(3));
    std::memcpy(arrays.arrays[0].data(), "abc", 3);
    bench.finish(std::move(arrays));
    CHECK(bench.router.read("a") == (memory_router::Frames{"", requests::reply("GET ARRAYS", "x", "[8]"), "abc", ""}));
}

void a_subscription_that_is_refused() {
    PeersBench bench;
    bench.ask("a/7", request("SET", "x"));
    bench.begin();
    laplace::Route* const route = bench.peers.route_of(bench.begun.front());
    CHECK(route != nullptr && route->connection.get() == &bench.router.peer("a"));
    CHECK(route != nullptr && route->frames == memory_router::encoded({"7", ""}));
    bench.peers.finish_busy(bench.begun.front(), bench.now);
    CHECK(bench.answer("a") == error_reply(R"("UNKNOWN")", R"("UNKNOWN")", "busy"));
    CHECK(bench.nothing_waits());
}

void info_tells_of_the_moment() {
    PeersBench bench;
    bool serves = false;
    const auto text = std::make_shared<const std::string>(R"({"name":1})");
    bench.documents.replace(DocumentId::info, text, false, false, serves);
    bench.ask("a", request("INFO", "x"));
    CHECK(bench.answer("a") == requests::reply("INFO", "x", R"({"name":1})"));
    bench.more_info = R"("n":2)";
    bench.ask("a", request("INFO", "x"));
    CHECK(bench.answer("a") == requests::reply("INFO", "x", R"({"name":1,"n":2})"));
}

// ---- the end

void stopping() {
    PeersBench bench;
    for (const char* const name : {"1", "2", "3"}) bench.ask("a", request("SET", name));
    bench.ask("a", request("PING", "4"));
    bench.begin();
    bench.responder.stop();
    bench.peers.refuse_unbegun(bench.now);
    CHECK(bench.answer("a").empty());  // the first may be finished yet
    bench.ask("b", request("PING", "b"));
    CHECK(bench.answer("b") == error_reply(R"("PING")", R"("b")", "stopping"));
    bench.ask("c", request("SET", "c"));
    CHECK(bench.answer("c") == error_reply(R"("SET")", R"("c")", "stopping"));
    bench.finish("one");
    CHECK(bench.answer("a") == "one");
    for (const char* const name : {R"("2")", R"("3")"}) CHECK(bench.answer("a") == error_reply(R"("SET")", name, "stopping"));
    CHECK(bench.answer("a") == error_reply(R"("PING")", R"("4")", "stopping"));
    CHECK(bench.nothing_waits());
}

void stopping_a_callback_that_does_not_return() {
    PeersBench bench;
    bench.ask("a", request("SET", "1"));
    bench.ask("gone", request("SET", "2"));
    bench.ask("a", request("SET", "3"));
    bench.ask("a", request("PING", "4"));
    bench.ask("b", request("SUBSCRIBE", "b"));
    bench.begin();
    bench.begin();
    bench.begin_builtin();
    bench.router.lose("gone");
    bench.responder.stop();
    bench.peers.refuse_unbegun(bench.now);
    CHECK(bench.peers.jobs() == 3);
    bench.peers.give_up_begun(bench.now);
    // Of what was begun nobody may say that it was not carried out.
    const std::string begun = error_reply(R"("UNKNOWN")", R"("UNKNOWN")", "begun");
    CHECK(bench.answer("a") == begun && bench.answer("b") == begun);
    CHECK(bench.answer("a") == error_reply(R"("SET")", R"("3")", "stopping"));
    CHECK(bench.answer("a") == error_reply(R"("PING")", R"("4")", "stopping"));
    CHECK(bench.nothing_waits());
    bench.finish("too late");
    CHECK(bench.answer("a").empty());
}

}  // namespace

int main() {
    memory_router::use();
    native_answers_go_at_once();
    replies_keep_the_order_of_requests();
    jobs_may_be_finished_in_any_order();
    programs_behind_a_proxy_are_peers_of_their_own();
    what_is_no_request_is_for_python();
    built_in_work_is_not_behind_callbacks();
    built_in_work_keeps_the_order_of_its_peer();
    built_in_work_has_a_budget_of_its_own();
    built_in_work_that_gets_a_handler();
    stopping_with_built_in_work();
    more_than_may_wait_is_refused();
    one_connection_gets_its_share_however_many_peers_it_has();
    bytes_are_bounded_too();
    a_job_that_nobody_knows();
    replies_with_the_data_of_the_moment();
    a_subscription_that_is_refused();
    info_tells_of_the_moment();
    stopping();
    stopping_a_callback_that_does_not_return();
    CHECK(memory_router::living == 0);
    return checks::status();
}
