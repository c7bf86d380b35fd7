// Tests of what is counted, and told to the log, of requests that a role does not permit, with a clock of
// their own. Returns 1 if any failed.

#include "requests/denials.h"
#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/memory_zmq.h"

#include <string>
#include <vector>

namespace {

using laplace::Denials;
using laplace::Denied;
using laplace::JobQueue;
using laplace::Role;

constexpr uint64_t begin = 5;
constexpr uint64_t minute = 60 * UINT64_C(1000000000);

class Peer final : public laplace::Connection {
public:
    explicit Peer(std::string address, Role role = laplace::anonymous_role) : address_(std::move(address)) { role_ = role; }
    ~Peer() override = default;
    std::string peer_address() const override { return address_; }

private:
    const std::string address_;
};

void is_one(const std::vector<Denied>& records, const std::string& address, unsigned command, uint64_t more) {
    if (!CHECK(records.size() == 1)) return;
    CHECK(records[0].address == address);
    CHECK(records[0].command == command);
    CHECK(records[0].more == more);
}

uint64_t counted(const Denials& denials) {
    uint64_t all = 0;
    for (const Denials::Count& each : denials.counts()) all += each.count;
    return all;
}

void tells_of_each_peer_once_a_minute() {
    JobQueue log;
    Denials denials(minute);
    const Peer one("10.0.0.1:1"), again("10.0.0.1:2"), other("[fe80::1%eth0]:1");
    denials.note(begin, one, 3, log);
    is_one(log.take_denials(), "10.0.0.1:1", 3, 0);
    denials.note(begin + 1, again, 4, log);  // another connection of the same
    CHECK(log.take_denials().empty());
    denials.note(begin + 2, other, 4, log);
    is_one(log.take_denials(), "[fe80::1%eth0]:1", 4, 0);
    for (uint64_t i = 0; i < 12; ++i) denials.note(begin + minute - 12 + i, one, 5, log);
    CHECK(log.take_denials().empty());
    denials.note(begin + minute, again, 6, log);
    is_one(log.take_denials(), "10.0.0.1:2", 6, 13);
    denials.note(begin + 9 * minute, one, 6, log);
    is_one(log.take_denials(), "10.0.0.1:1", 6, 0);
    CHECK(counted(denials) == 17);
}

void counts_by_role_and_command() {
    JobQueue log;
    Denials denials(minute);
    CHECK(denials.counts().empty());
    for (Role role = 0; role < 8; ++role) {
        const Peer peer("10.0.0.1:1", role);
        for (unsigned command = 0; command < 8; ++command) {
            for (unsigned i = 0; i <= role * 8u + command; ++i) denials.note(begin, peer, command, log);
        }
    }
    for (const Denials::Count& each : denials.counts()) CHECK(each.count == each.role * 8u + each.command + 1);
    CHECK(denials.counts().size() == 64 && log.take_denials().size() == 1);
}

// Strangers from thousands of addresses neither fill the memory nor the log, and none of them is lost.
void many_peers_share_a_line() {
    JobQueue log;
    Denials denials(minute);
    const uint64_t most = Denials::most_peers;
    uint64_t told = 0, lines = 0;
    const auto look = [&] {
        for (const Denied& record : log.take_denials()) {
            ++lines;
            told += 1 + record.more;
        }
    };
    for (uint64_t i = 0; i < 3 * most; ++i) {
        denials.note(begin, Peer("10.0." + std::to_string(i / 256) + '.' + std::to_string(i % 256) + ":1"), 1, log);
        look();
    }
    CHECK(lines == most + 1 && told == most + 1);
    // Later, those that are quiet give way; what was not told of them is told with the rest.
    for (uint64_t i = 0; i < most; ++i) {
        denials.note(begin + minute, Peer("11.0." + std::to_string(i / 256) + '.' + std::to_string(i % 256) + ":1"), 1,
                     log);
        look();
    }
    CHECK(lines == 2 * most + 1);
    for (uint64_t i = 0; i < 2; ++i) {
        denials.note(begin + minute, Peer("12.0.0." + std::to_string(i) + ":1"), 1, log);
        look();
    }
    CHECK(lines == 2 * most + 2);
    CHECK(counted(denials) == 4 * most + 2 && told == counted(denials) - 1);
}

void a_full_queue_loses_none() {
    JobQueue log;
    Denials denials(minute);
    for (size_t i = 0; i < JobQueue::log_limit; ++i) CHECK(log.push_denial({0, 1, "a", i}));
    CHECK(!log.push_denial({0, 1, "a", 0}));
    const Peer peer("b:1");
    denials.note(begin, peer, 2, log);
    denials.note(begin, peer, 2, log);
    CHECK(log.take_denials().size() == JobQueue::log_limit);
    denials.note(begin, peer, 2, log);
    is_one(log.take_denials(), "b:1", 2, 2);
}

// Whichever allocation fails: the next is told, if not the first.
void no_memory_harms_nobody() {
    uint64_t failures = 0;
    for (bool reached = true; reached; ++failures) {
        JobQueue log;
        Denials denials(minute);
        const Peer peer(std::string(100, 'a') + ":1");  // longer than what a string holds in itself
        {
            const failing_memory::At at(failures + 1);
            denials.note(begin, peer, 1, log);
            reached = at.reached();
        }
        CHECK(log.take_denials().size() == (reached ? 0u : 1u));
        denials.note(begin, peer, 1, log);
        CHECK(log.take_denials().size() == (reached ? 1u : 0u));
        CHECK(counted(denials) >= 1);
    }
    CHECK(failures >= 5);  // the count, the address, its host, the line, the queue
}

}  // namespace

int main() {
    memory_zmq::use();
    tells_of_each_peer_once_a_minute();
    counts_by_role_and_command();
    many_peers_share_a_line();
    a_full_queue_loses_none();
    no_memory_harms_nobody();
    return checks::status();
}
