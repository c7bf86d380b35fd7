// Tests of who counts as a client, and for how long, with a clock of their own. Returns 1 if any failed.

#include "requests/clients.h"
#include "support/checks.h"
#include "support/failing_memory.h"
#include "support/memory_zmq.h"

#include <algorithm>
#include <string>
#include <vector>

namespace {

using laplace::CachedReply;
using laplace::Clients;
using laplace::Request;

constexpr uint64_t second = UINT64_C(1000000000);
constexpr uint64_t begin = 100 * second;

class Peer final : public laplace::Connection {
public:
    explicit Peer(std::string address, bool tells_its_end = true, uint32_t key = 0) : address_(std::move(address)) {
        tells_its_end_ = tells_its_end;
        key_ = key;
    }
    ~Peer() override = default;
    std::string peer_address() const override { return address_; }

private:
    const std::string address_;
};

// A request by somebody, perhaps one whose bytes are known.
class Asked {
public:
    explicit Asked(std::string name, uint64_t number = 0) : name_(std::move(name)) {
        request.envelope.from = {name_.data(), name_.size(), LS_STRING, LS_TRUTHY, 0};
        cached_.number = number;
        if (number != 0) request.cached = &cached_;
    }
    Request request;

private:
    std::string name_;
    CachedReply cached_;
};

std::vector<std::string> names(Clients& clients, uint64_t now) {
    std::vector<std::string> found;
    for (const Clients::Seen& each : clients.present(now)) found.push_back(each.name);
    std::sort(found.begin(), found.end());
    return found;
}

bool has(Clients& clients, uint64_t now, const std::vector<std::string>& wanted) { return names(clients, now) == wanted; }

void is_one_by_name_host_and_key() {
    Clients clients;
    Peer one("10.0.0.1:1"), again("10.0.0.1:2"), other("10.0.0.2:1"), keyed("10.0.0.1:3", true, 7);
    const Asked a("\"a\"");
    for (Peer* const peer : {&one, &again, &other, &keyed}) clients.hear(*peer, a.request, begin);
    const auto seen = clients.present(begin);
    CHECK(seen.size() == 3);
    for (const Clients::Seen& each : seen) {
        CHECK(each.since == begin && each.heard == begin);
        CHECK(each.connections == (each.host == "10.0.0.1" && each.key == 0 ? 2U : 1U));
    }
    one.client.end(true, begin);
    CHECK(clients.present(begin + 100 * second).size() == 3);  // it has another connection
}

void lasting_connections_end_at_once() {
    Clients clients;
    Peer peer("10.0.0.1:1");
    const Asked a("\"a\"");
    clients.hear(peer, a.request, begin);
    CHECK(has(clients, begin + 1000 * second, {"\"a\""}));  // while it is open
    peer.client.end(true, begin + 1000 * second);
    CHECK(has(clients, begin + 1001 * second - 1, {"\"a\""}));
    CHECK(has(clients, begin + 1001 * second, {}));
}

void who_polls_is_there_between_its_connections() {
    Clients clients;
    const Asked a("\"a\"");
    uint64_t now = begin, id = 0;
    for (int i = 0; i < 10; ++i, now += 9 * second) {
        Peer peer("10.0.0.1:1");
        clients.hear(peer, a.request, now);
        peer.client.end(true, now + 1);
        const auto seen = clients.present(now + 9 * second);
        if (!CHECK(seen.size() == 1)) return;
        CHECK(i == 0 || seen[0].id == id);
        CHECK(seen[0].connections == 0 && seen[0].since == begin);
        id = seen[0].id;
    }
    now -= 9 * second;
    CHECK(has(clients, now + 10 * second - 1, {"\"a\""}));
    CHECK(has(clients, now + 10 * second, {}));
    Peer back("10.0.0.1:1");
    clients.hear(back, a.request, now + 20 * second);
    CHECK(clients.present(now + 20 * second)[0].id != id);
}

void several_share_a_connection() {
    Clients clients;
    Peer proxy("10.0.0.1:1");
    const Asked a("\"a\"", 1), b("\"b\"", 2);
    for (uint64_t i = 0; i < 8; ++i) {
        clients.hear(proxy, a.request, begin + i * second);
        clients.hear(proxy, b.request, begin + i * second);
    }
    CHECK(has(clients, begin + 16 * second, {"\"a\"", "\"b\""}));
    CHECK(has(clients, begin + 17 * second, {"\"b\""}));  // it was the last to ask
    clients.hear(proxy, a.request, begin + 100 * second);
    CHECK(has(clients, begin + 100 * second, {"\"a\""}));
    proxy.client.end(true, begin + 200 * second);
    CHECK(has(clients, begin + 201 * second, {}));
}

void without_an_end_of_connections_silence_counts() {
    Clients clients;
    Peer peer("", false);
    const Asked a("\"a\"", 1);
    clients.hear(peer, a.request, begin);
    clients.hear(peer, a.request, begin + 9 * second);
    Clients::hear(peer, begin + 18 * second);  // a word on a stream
    CHECK(has(clients, begin + 28 * second - 1, {"\"a\""}));
    CHECK(has(clients, begin + 28 * second, {}));
    clients.hear(peer, a.request, begin + 30 * second);  // the same bytes by the same connection
    CHECK(has(clients, begin + 30 * second, {"\"a\""}));
    CHECK(clients.present(begin + 30 * second)[0].since == begin + 30 * second);
}

void odd_names_are_left_out() {
    Clients clients;
    Peer peer("10.0.0.1:1");
    Asked none(""), empty("\"\""), longest(std::string(Clients::longest_name, 'x')),
        longer(std::string(Clients::longest_name + 1, 'x'));
    none.request.envelope.from = {};
    empty.request.envelope.from.truth = LS_FALSY;
    clients.hear(peer, none.request, begin);  // it is not known who
    CHECK(clients.left_out() == 0);
    clients.hear(peer, empty.request, begin);
    clients.hear(peer, longer.request, begin);
    CHECK(clients.left_out() == 2);
    CHECK(clients.present(begin).empty());
    clients.hear(peer, longest.request, begin);
    CHECK(clients.present(begin).size() == 1);
    clients.hear(peer, none.request, begin + second);
    CHECK(clients.present(begin)[0].heard == begin + second);
}

void there_are_no_more_than_may_be() {
    Clients clients;
    Peer peer("10.0.0.1:1"), other("10.0.0.2:1");
    for (size_t i = 0; i < 2 * Clients::most; ++i) {
        clients.hear(peer, Asked("\"" + std::to_string(i) + "\"").request, begin);
    }
    CHECK(clients.present(begin).size() == Clients::most);
    CHECK(clients.left_out() == Clients::most);
    const Asked late("\"late\"");
    clients.hear(other, late.request, begin);
    CHECK(other.client.get() == nullptr);
    clients.hear(other, late.request, begin + 20 * second);  // the others have gone
    CHECK(has(clients, begin + 20 * second, {"\"late\""}));
}

void survives_without_memory() {
    bool reached = true;
    for (uint64_t number = 1; reached; ++number) {
        Clients clients;
        Peer peer("10.0.0.1:12345");
        const Asked long_one("\"" + std::string(100, 'x') + "\"");
        {
            const failing_memory::At at(number);
            clients.hear(peer, long_one.request, begin);
            reached = at.reached();
        }
        CHECK(clients.left_out() == (reached ? 1 : 0));
        CHECK((peer.client.get() == nullptr) == reached);
        CHECK(clients.present(begin).size() == (reached ? 0 : 1));
        clients.hear(peer, long_one.request, begin);
        CHECK(clients.present(begin).size() == 1);
    }
}

}  // namespace

int main() {
    memory_zmq::use();
    is_one_by_name_host_and_key();
    lasting_connections_end_at_once();
    who_polls_is_there_between_its_connections();
    several_share_a_connection();
    without_an_end_of_connections_silence_counts();
    odd_names_are_left_out();
    there_are_no_more_than_may_be();
    survives_without_memory();
    return checks::status();
}
