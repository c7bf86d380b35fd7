// Fuzz target of who is answered when: whatever clients ask, and however Python, the refresher and the network
// go about it, each request is answered once or counted as lost, those of one peer in their order, by data that
// is no older than the request; and what waits keeps to its limits.
//
// An input: a byte of choices, then a row of steps, each a byte of what to do and what that needs.

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/asked.h"
#include "fuzz/engine.h"
#include "fuzz/network.h"
#include "fuzz/steps.h"
#include "support/peers_bench.h"

namespace {

using namespace laplace;
using fuzz_asked::Asked;
using fuzz_network::Caller;
using fuzz_network::some_caller;
using memory_router::Frames;
using memory_router::Room;

enum Step : unsigned {
    asks,       // who, a command, and more: 1 with a name of its own
    says,       // who, a size, and that many bytes
    several,    // who: a message of several frames
    too_much,   // who: a message over a limit
    begins,     // Python, the next job
    builds,     // the same of those that no callback holds up
    finishes,   // which of those begun, how
    hands_over, // data: how, 16 bytes of text each
    changes,    // live data
    refreshes,  // begins to
    made,       // which of these is ready
    passes,     // time: ms
    has_room,   // who, for how many messages
    reads,      // who, how many
    loses,      // who
    handles,    // GET: whether by a handler
    stops,
    gives_up,   // what was begun, once it stops
    step_count
};

constexpr unsigned tried = 1;  // choices
constexpr unsigned told_once = 2;
const char* const commands[] = {"PING", "GET", "SET", "SUBSCRIBE", "INFO", "GET", "SET", "NONE"};

void demand(bool holds, const char* what) { fuzz_engine::require(holds, what); }

Limits narrow() {
    Limits limits;
    limits.pending = 4;
    limits.peer_pending = 3;
    limits.pending_bytes = 5000;
    limits.peer_pending_bytes = 4000;
    limits.peer_parked_bytes = 8192;
    return limits;
}

class Scene {
public:
    Scene(const char* data, size_t size)
        : steps_(data, size),
          choices_(steps_.byte()),
          bench_((choices_ & tried) != 0 ? Room::tried : Room::told, narrow()),
          asked_(demand) {
        bench_.take_after_get.store(takes());
    }

    // How many were answered.
    uint64_t run() {
        while (!steps_.empty()) {
            step(steps_.byte() % step_count);
            look();
        }
        settle();
        return asked_.answered();
    }

private:
    using Peer = fuzz_network::Network::Peer;

    bool takes() const { return (choices_ & told_once) != 0; }

    // ---- what happens

    void step(unsigned what) {
        switch (what) {
            case asks: return ask();
            case says: {
                const Caller who = some_caller(steps_);
                asks_of(who, {}, Asked::Kind::callback);
                // Nothing that begins so is a request.
                return send(who, "[" + std::string(steps_.bytes(steps_.byte())));
            }
            case several: {
                const Caller who = some_caller(steps_);
                asks_of(who, {}, Asked::Kind::callback);
                Frames frames = who.frames();
                for (unsigned count = steps_.byte() % 4; count > 0; --count) frames.emplace_back("more");
                if (frames.back() == "more" && frames[frames.size() - 2] != "more") frames.emplace_back();
                return bench_.send(frames);
            }
            case too_much: {
                const Caller who = some_caller(steps_);
                asks_of(who, {}, Asked::Kind::other);
                return bench_.ask_refused(who.name + std::string(who.behind_proxy ? "/p" : ""), steps_.bit() ? Refusal::message_size : Refusal::message_frames);
            }
            case begins: return take(bench_.begin(), true);
            case builds: return take(bench_.begin_builtin(), false);
            case finishes: {
                const size_t which = steps_.byte();
                return finish(which, steps_.byte() % 8);
            }
            case passes: return bench_.pass_ms(steps_.byte());
            case has_room: network_.has_room(steps_); return bench_.hear_of_room();
            case reads: network_.reads(steps_); return bench_.hear_of_room();
            case loses: network_.loses(steps_); return bench_.hear_of_room();
            case handles:
                ++changed_handlers_;
                return bench_.table.set(requests::table(steps_.bit() ? Action::python : Action::get));
            case stops:
                if (bench_.responder.stopping()) return;
                bench_.responder.stop();
                return bench_.peers.refuse_unbegun(bench_.now);
            case gives_up:
                if (bench_.responder.stopping()) bench_.peers.give_up_begun(bench_.now);
                return;
            default: data(what);
        }
    }

    void data(unsigned what) {
        Documents& documents = bench_.documents;
        if (what == hands_over) {
            const unsigned how = steps_.byte() % 4;
            const size_t size = steps_.byte() * size_t{16};
            const std::string text = asked_.hand_over(size);
            if (how == 3 && !takes()) {
                bench_.put_unmade();
            } else {
                bench_.put(text, how == 2 && !takes());
            }
        } else if (what == changes && documents.is_live(DocumentId::data)) {
            asked_.change();
        } else if (what == refreshes && (documents.is_live(DocumentId::data) || documents.is_unmade(DocumentId::data))) {
            refreshes_.emplace_back(documents.begin_refresh(DocumentId::data), asked_.text());
        } else if (what == made && !refreshes_.empty()) {
            const auto which = refreshes_.begin() + static_cast<std::ptrdiff_t>(steps_.byte() % refreshes_.size());
            const auto [refresh, text] = *which;
            refreshes_.erase(which);
            bench_.end_refresh(refresh, text);
        }
    }

    void ask() {
        const Caller who = some_caller(steps_);
        const std::string command = commands[steps_.byte() % 8];
        const std::string name = steps_.bit() ? asked_.new_name() : "x";
        const bool is_callback = command == "SET" || command == "NONE";
        asks_of(who, name, is_callback ? Asked::Kind::callback : command == "GET" ? Asked::Kind::data : Asked::Kind::other);
        send(who, requests::request(command, name));
    }

    void asks_of(const Caller& who, const std::string& name, Asked::Kind kind) {
        kept_.emplace_back(&network_.peer(who));
        asked_.add({&network_.peer(who), who.route()}, name, kind);
    }

    void send(const Caller& who, const std::string& body) {
        Frames frames = who.frames();
        frames.push_back(body);
        bench_.send(frames);
    }

    // A job that Python has begun, if it was one.
    void take(const std::string& text, bool is_callback) {
        if (bench_.begun.size() == jobs_.size()) return;
        jobs_.push_back(text);
        // With another handler, what waits is another kind of work.
        if (changed_handlers_ == 0) asked_.begin(name_in(text), is_callback);
    }
    static std::string name_in(const std::string& job) {
        return job.compare(0, 1, "{") == 0 ? Asked::from(job) : std::string();
    }

    void finish(size_t which, unsigned how) {
        if (how == 7) {  // what nobody waits for
            PythonReply stray;
            stray.id = 1000 + which;
            return bench_.peers.finish(stray, bench_.now);
        }
        if (jobs_.empty()) return;
        which %= jobs_.size();
        std::swap(bench_.begun[0], bench_.begun[which]);
        std::swap(jobs_[0], jobs_[which]);
        const std::string name = name_in(jobs_.front());
        jobs_.erase(jobs_.begin());
        if (how == 6) {
            const uint64_t id = bench_.begun.front();
            bench_.begun.pop_front();
            return bench_.peers.finish_busy(id, bench_.now);
        }
        PythonReply reply;
        reply.reply = R"({"to": ")" + name + R"("})";
        if (how == 5) {
            make_text();
            reply.render = Render::get;
            reply.to = '"' + name + '"';
            reply.version = requests::version;
        }
        bench_.finish(std::move(reply));
    }

    // As Python does before it has the loop answer with the data.
    void make_text() {
        Documents& documents = bench_.documents;
        if (!documents.is_live(DocumentId::data) && !documents.is_unmade(DocumentId::data)) return;
        bench_.end_refresh(documents.begin_refresh(DocumentId::data), asked_.text());
    }

    // ---- what must hold

    uint64_t lost() const { return bench_.count(ErrorKind::reply_overflow) + bench_.count(ErrorKind::unroutable); }

    void look() {
        if (lost() > 0) asked_.some_are_lost();
        network_.look([this](const Peer& peer, const Peer::Held& held) {
            asked_.answer({&peer, held.route}, std::string(held.body.view()));
        });
        const Limits limits = narrow();
        const Counters& counters = bench_.counters;
        // What waits for callbacks and what waits otherwise; what waits already stays when a handler is changed.
        const size_t most = 2 + changed_handlers_;
        demand(counters.pending <= most * limits.pending, "more waits than may");
        demand(counters.pending_bytes <= most * limits.pending_bytes, "more bytes wait than may");
        std::map<const Connection*, const Holdings*> all;
        for (const ConnectionRef& each : kept_) all[each.get()] = &each->holdings;
        size_t parked = 0, pending = 0;
        for (const auto& [connection, holdings] : all) {
            parked += holdings->parked_bytes;
            pending += holdings->pending;
            demand(holdings->parked_bytes <= limits.peer_parked_bytes, "a connection has parked more than it may");
            demand(holdings->pending <= limits.peer_pending + 1 + changed_handlers_, "more of a connection waits than may");
            demand(holdings->parked_peers <= holdings->peers, "more peers are parked than there are");
        }
        demand(counters.parked_bytes == parked, "parked answers are counted twice, or not at all");
        demand(counters.pending >= pending, "requests that wait are not counted");
    }

    // All is answered that can be, and nothing is left.
    void settle() {
        network_.open_wide();
        for (int i = 0; i < 1000 && !bench_.nothing_waits(); ++i) {
            if (i == 2) {  // whoever still waits for a text
                const std::string text = asked_.hand_over(1);
                bench_.put(text);
            }
            bench_.pass_ms(200);
            look();
            take(bench_.begin(), true);
            take(bench_.begin_builtin(), false);
            finish(0, 0);
            look();
        }
        demand(bench_.nothing_waits(), "something is left");
        for (const ConnectionRef& each : kept_) demand(memory_router::is_clear(each->holdings), "a connection is left holding");
        demand(asked_.count() == asked_.answered() + lost(), "answers and losses are not all that was asked");
        demand(asked_.stale() <= bench_.counters.stale_gets, "a reader is shown older data, and nobody counts it");
        demand(!takes() || asked_.are_told_once(), "a value is told twice");
    }

    fuzz_steps::Steps steps_;
    const unsigned choices_;
    PeersBench bench_;
    fuzz_network::Network network_{bench_.router};
    Asked asked_;
    std::vector<std::string> jobs_;  // texts of those begun
    std::vector<std::pair<Refresh, std::string>> refreshes_;
    size_t changed_handlers_ = 0;
    std::vector<ConnectionRef> kept_;          // so that none is taken for another
};

bool check(const char* data, size_t size) {
    const uint64_t answered = Scene(data, size).run();
    demand(memory_router::living == 0, "somebody keeps a connection");
    demand(checks::failed == 0, "a check of the bench fails");
    return answered > 0;
}

}  // namespace

fuzz_engine::Target fuzz_engine::target() {
    using fuzz_steps::steps;
    enum : int { ping, get, set, subscribe };
    const std::string ask_set = steps({asks, 0, set, 1}), ask_get = steps({asks, 0, get, 1});
    const std::string work = steps({begins, finishes, 0, 0}), live = steps({hands_over, 2, 1, changes});
    const std::string refresh = steps({refreshes, made, 0});
    return {check,
            "with an answer",
            {ask_set, ask_get, work, live, refresh, steps({asks, 16, ping, 0}), steps({asks, 1, subscribe, 1}),
             steps({says, 0, 3, 'a', 'b', 'c'}), steps({several, 0, 3}), steps({too_much, 0, 1}), steps({begins}),
             steps({builds}), steps({finishes, 1, 5}), steps({finishes, 0, 6}), steps({finishes, 3, 7}),
             steps({hands_over, 0, 250}), steps({hands_over, 3, 1}), steps({passes, 100}), steps({has_room, 0, 1}),
             steps({has_room, 0, 255}), steps({reads, 0, 255}), steps({loses, 0}), steps({handles, 1}),
             steps({stops}), steps({gives_up})},
            {steps({0}) + ask_set + ask_get + ask_set + work + work,
             steps({0}) + live + ask_get + refresh + ask_get + steps({passes, 100}) + ask_get,
             steps({2}) + steps({hands_over, 0, 1, has_room, 0, 0}) + ask_get + steps({loses, 0, asks, 1, get, 1}),
             steps({1}) + steps({has_room, 0, 1}) + ask_get + ask_get + ask_get + steps({reads, 0, 1, passes, 50}),
             steps({0}) + ask_set + ask_set + ask_set + ask_set + steps({stops, gives_up}),
             steps({0, hands_over, 3, 1}) + ask_get + refresh + ask_set + steps({begins, loses, 0, finishes, 0, 0})}};
}
