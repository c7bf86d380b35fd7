// Fuzz target of a stream's server side: whatever subscribers say, and whenever they take nothing, go or
// come again, each is sent what was published, in order and once, told what is missing, and no more than its
// credit; the ledgers say so, and the history keeps to its limits.
//
// An input: a byte each for the two streams' histories, one for the number that the second begins with, then a row of steps, each a byte of what to do and
// what that needs.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "fuzz/control_words.h"
#include "fuzz/engine.h"
#include "fuzz/network.h"
#include "fuzz/steps.h"
#include "fuzz/subscriber_accounts.h"

namespace {

using namespace subscriber_accounts;
using control_words::ControlWord;
using control_words::written;
using fuzz_network::Caller;
using fuzz_network::some_caller;

enum Step : unsigned {
    publish_one,  // which stream, 40 bytes of text each, arrays
    subscribes,   // who, number, stream and options, first, credit in messages, in KiB
    allows,       // who, number, messages, KiB
    says,         // who, a size, and that many bytes
    leaves,       // who, number
    reads,        // who, how many messages
    has_room,     // who, for how many messages
    loses,        // who
    passes,       // time: which
    sends,
    sends_alone,  // which stream: an update
    withdraws,    // roles
    gives_up,     // which stream, for updates of which size
    changes,      // which stream, its history
    finishes,     // which stream, how many are lost behind it, whether it says so
    step_count
};

constexpr uint64_t times_ms[] = {1, 100, 1000, 11000, 61000};
constexpr size_t most_subscriptions = 3;  // of one connection

void demand(bool holds, const char* what) { fuzz_engine::require(holds, what); }

History history_of(unsigned choices) {
    History history;
    if (choices & 1) history.bytes = 4096;
    if (choices & 2) history.updates = choices >> 4;
    history.block = (choices & 4) != 0;
    return history;
}

// A program behind a connection, and its number for a subscription.
using Who = std::tuple<const Connection*, std::string, uint32_t>;

class Scene {
public:
    Scene(const char* data, size_t size) : steps_(data, size) {
        for (Published& each : published_) {
            const std::string name(1, static_cast<char>('s' + (&each - published_)));
            each.history = history_of(steps_.byte());
            if (&each != published_) {
                each.updates.assign(steps_.byte() % 8, {"", 0, {}, false, true});
                each.begin = each.updates.size() + 1;
            }
            each.stream = bench_.streams.declare(name, '"' + name + '"', each.history, false, each.begin);
        }
    }

    // How many updates subscribers were sent.
    uint64_t run() {
        while (!steps_.empty()) {
            step(steps_.byte() % step_count);
            look();
        }
        settle();
        return sent_;
    }

private:
    using Peer = fuzz_network::Network::Peer;

    // ---- what happens

    void step(unsigned what) {
        switch (what) {
            case publish_one: {
                Published& published = some_stream();
                const size_t size = steps_.byte() * size_t{40};
                publish(published, size, steps_.byte());
                break;
            }
            case subscribes: return subscribe();
            case allows: {
                const Caller who = some_caller(steps_);
                const uint32_t id = steps_.byte() % 4;
                const uint64_t messages = steps_.byte();
                return control(who, written({false, id, messages, steps_.byte() * uint64_t{1024}}));
            }
            case says: {
                const Caller who = some_caller(steps_);
                return control(who, std::string(steps_.bytes(steps_.byte())));
            }
            case leaves: {
                const Caller who = some_caller(steps_);
                return control(who, written({true, steps_.byte() % 4, 0, 0}));
            }
            case reads: network_.reads(steps_); return bench_.hear_of_room();
            case has_room: network_.has_room(steps_); return bench_.hear_of_room();
            case loses: network_.loses(steps_); return bench_.hear_of_room();
            case passes: bench_.pass_ms(times_ms[steps_.byte() % 5]); break;
            case sends: bench_.send(); break;
            case sends_alone: {
                Published& published = some_stream();
                publish(published, 1, 0);
                bench_.sender.send_alone(*published.stream, bench_.now);
                break;
            }
            case withdraws: bench_.sender.give_up_roles(steps_.byte(), bench_.now); break;
            case gives_up: {
                Published& published = some_stream();
                bench_.streams.give_up(published.stream->give_up(steps_.byte() * size_t{40}, {}));
                break;
            }
            case finishes: {
                Published& published = some_stream();
                const unsigned options = steps_.byte();
                published.stream->finish(options / 2 % 4, (options & 1) != 0);
                bench_.sender.wake();
                if (published.is_finished) break;
                published.is_finished = true;
                published.says_so = (options & 1) != 0;
                for (unsigned left_out = options / 2 % 4; left_out > 0; --left_out) published.updates.push_back({"", 0, {}, false, true});
                break;
            }
            default: {
                Published& published = some_stream();
                published.history = history_of(steps_.byte());
                published.stream->set_history(published.history);
                histories_changed_ = true;
            }
        }
    }

    void publish(Published& published, size_t size, unsigned options) {
        Frames arrays;
        for (unsigned count = options % 4; count > 0; --count) arrays.emplace_back(options, 'a');
        const bool loose = (options & 64) != 0;
        const uint64_t lost = options / 8 % 4;
        const std::string text = '"' + std::to_string(published.updates.size() + 1) + std::string(size, 't') + '"';
        const auto time = static_cast<double>(published.updates.size());
        const uint64_t number = streams_bench::publish(*published.stream, text, time, arrays, loose, lost);
        bench_.sender.wake();
        if (number == Stream::would_cost || number == Stream::sealed) {
            demand(number != Stream::would_cost || published.stream->blocks(), "it would cost somebody, who is not waited for");
            demand((number == Stream::sealed) == published.is_finished, "it ends otherwise");
            return;
        }
        for (uint64_t left_out = 0; left_out < lost; ++left_out) published.updates.push_back({"", 0, {}, false, true});
        published.updates.push_back({text, time, arrays, loose});
        demand(number == published.updates.size(), "an update has another number");
    }

    Published& some_stream() { return published_[steps_.byte() % 2]; }
    Who who_is(const Caller& who, uint32_t id) { return {&network_.peer(who), who.route(), id}; }

    void subscribe() {
        const Caller who = some_caller(steps_);
        const uint32_t id = steps_.byte() % 4;
        const unsigned options = steps_.byte();
        Published& published = published_[options % 2];
        const uint64_t first = published.begin + steps_.byte() % (published.updates.size() + 2 - published.begin);
        const uint64_t messages = steps_.byte();
        const Grant grant = Bench::granted(id, published.stream, first, messages, steps_.byte() * uint64_t{1024},
                                           (options & 2) != 0);
        const Route route{ConnectionRef(&network_.peer(who)), who.route()};
        if (bench_.sender.subscribe(route, grant, bench_.now) != Begun::yes) {
            demand(network_.peer(who).holdings.subscriptions == most_subscriptions, "one is refused without a reason");
            return;
        }
        read_all();  // what went to somebody who had to go for it
        accounts_.erase(who_is(who, id));
        accounts_.emplace(who_is(who, id), Account(published, grant));
        kept_.push_back(route.connection);
    }

    void control(const Caller& who, const std::string& body) {
        ControlWord word;
        const bool is_word = control_words::read(body, word), leaving = is_word && word.leaves;
        Frames frames = who.frames();
        frames.push_back(body);
        const Peer& peer = network_.peer(who);
        const size_t before = peer.held.size();
        const bool is_full = before >= peer.room;
        const auto found = accounts_.find(who_is(who, word.id));
        const bool is_known = found != accounts_.end() && is_there(found->second);
        demand(bench_.deliver(frames) == is_word, "it is taken for what it is not");
        const bool answered = peer.held.size() != before;
        demand(answered == (is_word && !is_known && !leaving && !is_full), "a stranger is answered, and nobody else");
        if (is_word && is_known && !leaving) found->second.allow(word.messages, word.bytes);
        know_ledgers();
        if (is_known && leaving) demand(!is_there(found->second), "who leaves stays");
    }

    // ---- what must hold

    bool is_there(const Account& account) { return ledgers_.count(account.ledger.get()) != 0; }

    void read_all() {
        network_.look([this](const Peer& peer, const Peer::Held& held) { read(peer, held); });
    }

    void know_ledgers() {
        ledgers_.clear();
        for (const auto& each : bench_.streams.ledgers()) ledgers_.insert(each.get());
    }

    void look() {
        read_all();
        know_ledgers();
        size_t there = 0, held = 0;
        for (const auto& [who, account] : accounts_) {
            if (!is_there(account)) continue;
            ++there;
            demand(!account.is_ended, "who was told the end is there still");
            account.compare(demand);
            demand(may_lose(account) || account.lost_updates() == account.lost_before(), "publishers do not wait for somebody");
        }
        for (const ConnectionRef& connection : kept_) counted_[connection.get()] = connection->holdings.subscriptions;
        for (const auto& [connection, subscriptions] : counted_) {
            demand(subscriptions <= most_subscriptions, "a connection has too many subscriptions");
            held += subscriptions;
        }
        demand(there == ledgers_.size() && there == held, "subscriptions are not counted alike");
        for (const Published& published : published_) look_at_history(published);
    }

    void read(const Peer& peer, const Peer::Held& held) {
        StreamHeader header;
        demand(held.body.size() >= sizeof header, "a message without its header");
        std::memcpy(&header, held.body.data(), sizeof header);
        demand(std::memcmp(header.magic, stream_magic, sizeof header.magic) == 0 && header.version == stream_version &&
                   header.epoch == epoch,
               "the header is of something else");
        const auto found = accounts_.find({&peer, held.route, header.subscription});
        if (found == accounts_.end() || !is_there(found->second)) {
            demand(header.kind == StreamKind::unknown, "who has not subscribed is sent something");
            return;
        }
        if (header.kind == StreamKind::updates || header.kind == StreamKind::loose) sent_ += header.count;
        found->second.take(header, held.body.view(), held.more, demand);
    }

    // While publishers wait for it.
    bool may_lose(const Account& account) const {
        return histories_changed_ || !account.ledger->waited_for || !account.published().history.block;
    }

    static void look_at_history(const Published& published) {
        Stream& stream = *published.stream;
        const Range range = stream.range();
        demand(range.last == published.updates.size(), "a stream has another end");
        demand(range.newest == published.newest() && range.newest <= range.last, "another update is the newest");
        if (range.newest < published.begin) {
            demand(range.first == published.begin && stream.block_of(range.first) == nullptr, "a stream begins elsewhere");
            return;
        }
        demand(range.first <= range.newest, "the last update is not kept");
        const auto last = stream.block_of(range.newest), first = stream.block_of(range.first);
        demand(last != nullptr && first != nullptr, "there is no block of what is kept");
        demand(stream.block_of(range.newest + 1) == nullptr, "there is a block of what is not there");
        const History& history = published.history;
        demand(stream.bytes() <= history.bytes || stream.bytes() == last->bytes(), "a history has too many bytes");
        demand(range.newest - range.first < std::max<uint64_t>(history.updates, 1), "a history has too many updates");
    }

    // All read on, and take all there is; then the server ends.
    void settle() {
        network_.open_wide();
        for (auto& [who, account] : accounts_) {
            account.ledger->allowed_messages.store(much);
            account.ledger->allowed_bytes.store(much);
            account.allow(much, much);
        }
        bench_.hear_of_room();
        bench_.sender.wake();
        bench_.send_all();
        look();
        for (const auto& [who, account] : accounts_) demand(!is_there(account) || account.has_all(), "somebody is not sent all");
        bench_.streams.seal();
        bench_.sender.end(true, bench_.now);
        look();
        demand(bench_.sender.empty() && ledgers_.empty(), "somebody is left at the end");
    }

    fuzz_steps::Steps steps_;
    Bench bench_{Room::told, most_subscriptions};
    fuzz_network::Network network_{bench_.router};
    Published published_[2];
    std::map<Who, Account> accounts_;
    std::set<const Ledger*> ledgers_;               // that are there
    std::vector<ConnectionRef> kept_;               // so that none is taken for another
    std::map<const Connection*, size_t> counted_;   // subscriptions
    bool histories_changed_ = false;
    uint64_t sent_ = 0;
};

bool check(const char* data, size_t size) {
    const uint64_t sent = Scene(data, size).run();
    demand(memory_router::living == 0, "somebody keeps a connection");
    demand(checks::failed == 0, "a check of the bench fails");
    return sent > 0;
}

}  // namespace

fuzz_engine::Target fuzz_engine::target() {
    using fuzz_steps::steps;
    const std::string begin = steps({0, 0, 0}), credit = written({false, 1, 9, 64 * 1024});
    const std::string subscription = steps({subscribes, 0, 1, 0, 0, 200, 255});
    const std::string update = steps({publish_one, 0, 1, 0}), sending = steps({sends, sends});
    return {check,
            "with updates that were sent",
            {update, subscription, sending, steps({publish_one, 1, 200, 3}), steps({publish_one, 0, 30, 64}), steps({publish_one, 0, 1, 16}),
             steps({subscribes, 17, 2, 3, 0, 5, 1}), steps({allows, 0, 1, 250, 255}), steps({says, 0, 40}) + credit,
             credit, credit.substr(0, 8), steps({leaves, 0, 1}), steps({reads, 0, 255}), steps({has_room, 0, 2}),
             steps({has_room, 0, 255}), steps({loses, 0}), steps({passes, 2}), steps({passes, 4}),
             steps({sends_alone, 0}), steps({withdraws, 1}), steps({gives_up, 0, 30}), steps({changes, 0, 49}), steps({finishes, 0, 4}), steps({finishes, 1, 3})},
            {begin + update + subscription + sending + update + update + sending,
             begin + subscription + steps({sends_alone, 0, has_room, 0, 1}) + update + sending + steps({reads, 0, 2}),
             steps({7, 51, 3}) + subscription + update + update + steps({publish_one, 0, 255, 3, gives_up, 0, 255}) + update,
             begin + subscription + steps({says, 0, 40}) + credit + update + sending + steps({leaves, 0, 1}),
             begin + update + subscription + sending + steps({finishes, 0, 4}) + sending + steps({passes, 2}),
             begin + subscription + steps({passes, 2, passes, 2, passes, 3, passes, 4, withdraws, 1, loses, 0})}};
}
