// Tests of who may ask for what, without a network and without Python. Returns 1 if any failed.

#include "support/checks.h"
#include "support/peers_bench.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace {

using laplace::Denials;
using laplace::DispatchTable;
using laplace::ErrorKind;
using laplace::PythonReply;
using laplace::Role;
using laplace::Roles;
using requests::error_reply;
using requests::get_reply;
using requests::ping_reply;
using requests::request;

constexpr Role nobody = laplace::anonymous_role, reader = 1, mover = 2;
constexpr Roles of_reader = 1u << reader, of_mover = 1u << mover;

// Anybody may PING, readers look and follow, movers move, too; what is not in the table is for movers.
std::shared_ptr<DispatchTable> table(Roles may_get = of_reader | of_mover) {
    auto made = std::make_shared<DispatchTable>(*requests::table());
    made->commands[2].roles = may_get;
    made->commands[1].roles = made->commands[4].roles = of_reader | of_mover;
    made->commands[3].roles = made->other.roles = of_mover;
    made->role_names = {"nobody", "reader", "mover"};
    made->denied_before = R"("no )";
    made->denied_between = " for ";
    made->denied_after = R"(")";
    return made;
}

std::string denial(const std::string& role, const std::string& command, const std::string& to) {
    return error_reply('"' + command + '"', '"' + to + '"', "no " + role + " for " + command);
}

struct Bench : PeersBench {
    Bench() {
        table.set(::table());
        for (const Role role : {nobody, reader, mover}) router.peer(name_of(role)).set_role(role);
    }
    static std::string name_of(Role role) { return role == nobody ? "n" : role == reader ? "r" : "m"; }
    uint64_t denied(Role role, unsigned command) const {
        uint64_t found = 0;
        for (const Denials::Count& each : denials.counts()) {
            if (each.role == role && each.command == command) found += each.count;
        }
        return found;
    }
};

void each_role_has_its_commands() {
    Bench bench;
    bench.put("[1]");
    const std::vector<std::pair<std::string, unsigned>> commands{
        {"PING", 1}, {"GET", 3}, {"SET", 4}, {"SUBSCRIBE", 5}, {"MINE", 0}};
    const Roles may[] = {laplace::all_roles, of_reader | of_mover, of_mover, of_reader | of_mover, of_mover};
    uint64_t refused = 0;
    for (const Role role : {nobody, reader, mover}) {
        const std::string peer = Bench::name_of(role);
        for (size_t i = 0; i < commands.size(); ++i) {
            const auto& [command, number] = commands[i];
            bench.ask(peer, request(command, "x"));
            if (!laplace::includes(may[i], role)) {
                const char* const names[] = {"nobody", "reader", "mover"};
                CHECK(bench.answer(peer) == denial(names[role], command, "x"));
                CHECK(bench.begin().empty() && bench.begin_builtin().empty());
                CHECK(bench.denied(role, number) == 1 && bench.count(ErrorKind::not_permitted) == ++refused);
            } else if (command == "PING") {
                CHECK(bench.answer(peer) == ping_reply("x"));
            } else if (command == "GET") {
                CHECK(bench.answer(peer) == get_reply("x", "[1]"));
            } else {
                CHECK((command == "SUBSCRIBE" ? bench.begin_builtin() : bench.begin()) == request(command, "x"));
                CHECK(bench.begun_role == role);
                bench.finish("done");
                CHECK(bench.answer(peer) == "done" && bench.denied(role, number) == 0);
            }
            CHECK(bench.nothing_waits());
        }
    }
    CHECK(refused == 6 && bench.denials.counts().size() == 6);
}

// What is remembered of earlier requests is never told to another role.
void the_same_bytes_of_another_role() {
    Bench bench;
    bench.put("[1]");
    const std::string get = request("GET", "x");
    for (int i = 0; i < 3; ++i) {
        for (const char* const peer : {"r", "n", "m", "n"}) {
            bench.ask(peer, get);
            CHECK(bench.answer(peer) == (*peer == 'n' ? denial("nobody", "GET", "x") : get_reply("x", "[1]")));
        }
    }
    CHECK(bench.denied(nobody, 3) == 6 && bench.counters.commands[3].native.load() == 12);
    // The first request of these bytes was refused.
    const std::string other = request("GET", "y");
    for (const char* const peer : {"n", "r", "n"}) {
        bench.ask(peer, other);
        CHECK(bench.answer(peer) == (*peer == 'n' ? denial("nobody", "GET", "y") : get_reply("y", "[1]")));
    }
    bench.router.peer("r").set_role(nobody);  // the same connection, too
    bench.ask("r", get);
    CHECK(bench.answer("r") == denial("nobody", "GET", "x"));
}

// Whose role that permits a command, by the loop's own view, is asked again where Python decides.
void what_only_python_can_tell() {
    Bench bench;
    const std::string odd = R"({"c\u006dd": "SET", "from": "x", "payload": {}, "version": "0.2.2"})";
    bench.ask("r", odd);
    CHECK(bench.begin() == odd && bench.begun_role == reader);
    PythonReply reply;
    reply.reply = "Python says no";
    reply.error = ErrorKind::not_permitted;
    reply.denied = true;
    bench.finish(std::move(reply));
    CHECK(bench.answer("r") == "Python says no");
    CHECK(bench.denied(reader, 4) == 1 && bench.count(ErrorKind::not_permitted) == 1);
    bench.ask("m", odd);
    CHECK(bench.begin() == odd && bench.begun_role == mover);
    PythonReply other;  // as of remote_stop=False
    other.reply = "no";
    other.error = ErrorKind::not_permitted;
    bench.finish(std::move(other));
    CHECK(bench.answer("m") == "no" && bench.denied(mover, 4) == 0 && bench.count(ErrorKind::not_permitted) == 2);
}

void a_new_table_counts_for_the_next_request() {
    Bench bench;
    bench.put("[1]");
    const std::string get = request("GET", "x");
    for (int i = 0; i < 2; ++i) {
        bench.table.set(table());
        bench.ask("r", get);
        CHECK(bench.answer("r") == get_reply("x", "[1]"));
        bench.table.set(table(of_mover));
        bench.ask("r", get);
        CHECK(bench.answer("r") == denial("reader", "GET", "x"));
        bench.ask("m", get);
        CHECK(bench.answer("m") == get_reply("x", "[1]"));
    }
}

// Also for what has come before and is not begun, or waits for a text.
void a_new_table_counts_for_what_waits() {
    Bench bench;
    bench.put("[1]", true);
    bench.ask("r", request("GET", "x"));
    bench.ask("m", request("SET", "1"));
    bench.ask("m", request("GET", "m"));
    CHECK(bench.answer("r").empty() && bench.peers.any_waiting());
    bench.table.set(table(0));
    bench.responder.use_current_table();
    bench.refresh("[2]");
    CHECK(bench.answer("r") == denial("reader", "GET", "x"));
    CHECK(bench.begin() == request("SET", "1"));
    bench.finish("set");
    CHECK(bench.answer("m") == "set" && bench.answer("m") == denial("mover", "GET", "m"));
    CHECK(bench.nothing_waits() && bench.count(ErrorKind::not_permitted) == 2);
}

void refusals_keep_the_order_of_requests() {
    Bench bench;
    bench.ask("m", request("SET", "1"));
    bench.router.peer("m").set_role(reader);
    bench.ask("m", request("SET", "2"));
    bench.ask("m", request("PING", "3"));
    CHECK(bench.begin() == request("SET", "1") && bench.begin().empty() && bench.answer("m").empty());
    CHECK(bench.count(ErrorKind::not_permitted) == 0);
    bench.finish("one");
    CHECK(bench.answer("m") == "one" && bench.answer("m") == denial("reader", "SET", "2"));
    CHECK(bench.answer("m") == ping_reply("3") && bench.nothing_waits());
}

// Each is counted once, whatever becomes of its answer.
void refusals_that_wait_or_find_nobody() {
    Bench bench;
    bench.router.peer("n").room = 0;
    bench.ask("n", request("SET", "1"));
    CHECK(bench.denied(nobody, 4) == 0 && !bench.peers.empty());
    bench.router.peer("n").room = SIZE_MAX;
    bench.hear_of_room();
    CHECK(bench.answer("n") == denial("nobody", "SET", "1") && bench.denied(nobody, 4) == 1);
    bench.router.peer("n").gone = true;
    bench.ask("n", request("SET", "1"));
    CHECK(bench.denied(nobody, 4) == 2 && bench.count(ErrorKind::not_permitted) == 2);
    CHECK(bench.count(ErrorKind::unroutable) == 1 && bench.nothing_waits());
}

// What is said of a command comes from whoever asks: of a long name the beginning, in whole characters.
void long_names_are_cut() {
    Bench bench;
    const std::string name = std::string(63, 'x');
    const std::string two_bytes = "\xC3\xA9";
    bench.ask("n", request(name + two_bytes + std::string(100000, 'y'), "1"));
    const std::string answer = bench.answer("n");
    CHECK(answer.find("no nobody for " + name + '"') != std::string::npos);
    bench.ask("n", request(name + "z", "1"));
    CHECK(bench.answer("n") == denial("nobody", name + "z", "1"));
    CHECK(bench.denied(nobody, 0) == 2);
}

// A role that no table knows may do what anybody may, and nothing else.
void roles_that_are_none() {
    Bench bench;
    bench.router.peer("n").set_role(200);
    bench.ask("n", request("GET", "1"));
    CHECK(bench.answer("n") == denial("", "GET", "1"));
    bench.router.peer("n").set_role(laplace::max_roles - 1);
    bench.ask("n", request("GET", "1"));
    CHECK(bench.answer("n") == denial("", "GET", "1"));
    bench.ask("n", request("PING", "1"));
    CHECK(bench.answer("n") == ping_reply("1"));
}

void the_log_is_told() {
    Bench bench;
    bench.router.peer("n").address = "10.0.0.1:7";
    for (int i = 0; i < 3; ++i) bench.ask("n", request("SET", "1"));
    const std::vector<laplace::Denied> records = bench.jobs.take_denials();
    if (!CHECK(records.size() == 1)) return;
    CHECK(records[0].role == nobody && records[0].command == 4);
    CHECK(records[0].address == "10.0.0.1:7" && records[0].more == 0);
}

void a_server_that_stops_says_so() {
    Bench bench;
    bench.responder.stop();
    bench.ask("n", request("SET", "1"));
    CHECK(bench.answer("n") == error_reply(R"("SET")", R"("1")", "stopping") && bench.denied(nobody, 4) == 0);
}

}  // namespace

int main() {
    memory_router::use();
    each_role_has_its_commands();
    the_same_bytes_of_another_role();
    what_only_python_can_tell();
    a_new_table_counts_for_the_next_request();
    a_new_table_counts_for_what_waits();
    refusals_keep_the_order_of_requests();
    refusals_that_wait_or_find_nobody();
    long_names_are_cut();
    roles_that_are_none();
    the_log_is_told();
    a_server_that_stops_says_so();
    return checks::status();
}
