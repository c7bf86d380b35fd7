// However the bytes of a conversation are cut, it is the same conversation.

#include <string>
#include <vector>

#include "support/checks.h"
#include "support/zmtp_events.h"
#include "support/zmtp_random.h"

using namespace zmtp_events;

namespace {

bool same(const Listener& one, const Listener& other) {
    const Conversation& a = one.conversation;
    const Conversation& b = other.conversation;
    return one.log == other.log && one.sent == other.sent && one.used == other.used && a.fault() == b.fault() &&
           a.peer() == b.peer() && !one.wrong && !other.wrong;
}

Listener heard(const std::string& bytes, SocketType own) {
    Listener listener(own);
    listener.hear(bytes);
    return listener;
}

Listener heard_in_parts(const std::string& bytes, SocketType own, const std::vector<size_t>& cuts) {
    Listener listener(own);
    size_t at = 0;
    for (const size_t cut : cuts) {
        listener.hear(std::string_view(bytes).substr(at, cut - at));
        at = cut;
        if (listener.conversation.fault() != Fault::none) return listener;
    }
    listener.hear(std::string_view(bytes).substr(at));
    return listener;
}

void every_cut(const std::string& bytes, SocketType own) {
    const Listener whole = heard(bytes, own);
    std::vector<size_t> single;
    for (size_t cut = 0; cut <= bytes.size(); ++cut) {
        CHECK(same(heard_in_parts(bytes, own, {cut}), whole));
        single.push_back(cut);
    }
    CHECK(same(heard_in_parts(bytes, own, single), whole));
}

void written_conversations() {
    const std::string req = opening("REQ"), router = opening("ROUTER");
    const std::string big(300, 'b');
    const std::string all = frame("peer", true) + frame("", true) + ping(5, "context") + frame(big) + pong() +
                            long_frame("", true) + command("\11SUBSCRIBEx") + long_frame(big) + frame("");
    for (const std::string& each : {
             req + all,
             greeting() + command("\5READY") + all,
             opening("DEALER") + long_header(2, UINT64_C(1) << 62) + big,
             req + frame("a", true) + command("\5ERROR\3" "400") + frame("b"),
             req + long_header(3, UINT64_C(1) << 63) + big,
             req + command(bytes("\4PING\0")) + all,
             greeting() + ready("PUB") + all,
             greeting() + command("\5ERROR\3no!") + all,
             greeting() + command("\5READY" + property("bad name", "")),
             bytes("GET / HTTP/1.1\r\n\r\n"),
             bytes("\xFF\0\0\0\0\0\0\0\1\x7F\1\0"),
             bytes("\xFF\0\0\0\0\0\0\0\1\x7F\3\0CURVE") + std::string(47, '\0'),
         })
        every_cut(each, SocketType::router);
    every_cut(router + all, SocketType::dealer);
    every_cut(opening("REP") + all, SocketType::req);
}

void random_conversations() {
    RandomNumbers random(20261126);
    size_t ended = 0, whole_ones = 0;
    for (int i = 0; i < 3000; ++i) {
        const SocketType own = random.one_in(4) ? SocketType::dealer : SocketType::router;
        const std::string bytes = zmtp_random::conversation(random);
        const Listener whole = heard(bytes, own);
        (whole.conversation.fault() == Fault::none ? whole_ones : ended) += 1;
        for (int way = 0; way < 4; ++way)
            CHECK(same(heard_in_parts(bytes, own, zmtp_random::cuts(random, bytes.size())), whole));
    }
    CHECK(ended > 300 && whole_ones > 300);
}

}  // namespace

int main() {
    written_conversations();
    random_conversations();
    return checks::status();
}
