// A client's end of a connection over CURVE: what it hears is what it would hear over NULL, however it is cut.
//     curve_link_test LIBSODIUM

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "client/curve_link.h"
#include "support/checks.h"
#include "support/curve_ends.h"
#include "support/incoming_events.h"
#include "support/sodium_library.h"
#include "support/zmtp_random.h"

using namespace curve_ends;
using incoming_events::Incoming;
using incoming_events::Listener;
using incoming_events::PeerFault;
using laplace::ClientKeys;
using laplace::CurveLink;
using laplace::zmtp::curve_greeting;
using laplace::zmtp::greeting_size;

namespace {

const SocketType dealer = SocketType::dealer;
const uint64_t enough = uint64_t{1} << 30;

std::shared_ptr<const ClientKeys> keys_of(const KeyPair& client, const PublicKey& server) {
    auto keys = std::make_shared<ClientKeys>();
    CHECK(keys->set(reinterpret_cast<const char*>(client.secret_key.bytes),
                    reinterpret_cast<const char*>(server.bytes)));
    return keys;
}

// A client, and the server that it speaks with.
struct Scene {
    explicit Scene(uint64_t most_memory = enough)
        : link(keys_of(*keys.client, keys.server->public_key), dealer),
          listener(dealer, most_memory, &link),
          server(*keys.server) {}

    // The bytes of the server up to READY, which the client hears.
    void open() {
        const std::string opening(link.begin());
        CHECK(opening.substr(0, greeting_size) == curve_greeting(false) && link.begin().empty());
        listener.hear(curve_greeting(true));
        listener.hear(hear(server, body_of(opening.substr(greeting_size))).frame);
        CHECK(hear(server, body_of(listener.sent)).event == CurveEvent::asks);
        CHECK(server.client() == keys.client->public_key);
        listener.sent.clear();
        std::vector<char> out(laplace::zmtp::max_curve_ready);
        const CurveStep step = server.permit(out.data());
        listener.hear({out.data(), step.to_send});
        CHECK(listener.log == "ready\n" && listener.sent.empty());
    }

    // Whole frames as they would be over NULL, as the server says them.
    std::string said(std::string_view plain) {
        std::string sealed;
        while (!plain.empty()) {
            const unsigned flags = laplace::zmtp::byte_of(plain[0]);
            const bool is_long = (flags & laplace::zmtp::flag_long) != 0;
            const size_t header = is_long ? laplace::zmtp::long_header : laplace::zmtp::short_header;
            const auto size = static_cast<size_t>(is_long ? laplace::zmtp::read_uint64(plain.data() + 1)
                                                          : laplace::zmtp::byte_of(plain[1]));
            const Kind kind = (flags & laplace::zmtp::flag_command) != 0 ? Kind::command
                              : (flags & laplace::zmtp::flag_more) != 0  ? Kind::more
                                                                         : Kind::last;
            sealed += curve_ends::sealed(server.traffic(), kind, plain.substr(header, size));
            plain.remove_prefix(header + size);
        }
        return sealed;
    }

    const Keys keys;
    CurveLink link;
    Listener listener;
    CurveServer server;
};

std::string told(PeerFault fault, std::string_view reason = {}) {
    return "fault " + std::to_string(static_cast<int>(fault)) + " " + std::string(reason) + "\n";
}

void hear_in_parts(Listener& listener, std::string_view given, const std::vector<size_t>& cuts, bool directly) {
    size_t at = 0;
    for (const size_t cut : cuts) {
        listener.hear(given.substr(at, cut - at), directly);
        at = cut;
    }
    listener.hear(given.substr(at), directly);
}

// ---- what is right

void every_cut() {
    const std::string plain = zmtp_events::frame("", true) + zmtp_events::ping(5, "context") +
                              zmtp_events::frame(std::string(300, 'b')) + zmtp_events::frame("", true) +
                              zmtp_events::frame(std::string(9000, 'l'), true) + zmtp_events::command("\4PONG") +
                              zmtp_events::frame("z");
    Listener over_null(dealer);
    over_null.hear(zmtp_events::opening("ROUTER"));
    over_null.hear(plain);
    const size_t size = [&] {
        Scene scene;
        scene.open();
        return scene.said(plain).size();
    }();
    for (size_t cut = 0; cut <= size; cut += cut < 700 || cut > size - 200 ? 1 : 13) {
        for (const bool directly : {false, true}) {
            Scene scene;
            scene.open();
            hear_in_parts(scene.listener, scene.said(plain), {cut}, directly);
            CHECK(incoming_events::same(scene.listener, over_null));
        }
    }
}

void cuts_of_the_handshake() {
    for (size_t cut = 0; cut < 400; ++cut) {
        Scene scene;
        const std::string opening(scene.link.begin());
        const std::string said =
            std::string(curve_greeting(false)) + hear(scene.server, body_of(opening.substr(greeting_size))).frame;
        hear_in_parts(scene.listener, said, {std::min(cut, said.size())}, false);
        CHECK(!scene.listener.is_over() && !scene.listener.wrong && scene.link.is_greeted());
        CHECK(hear(scene.server, body_of(scene.listener.sent)).event == CurveEvent::asks);
    }
}

void random_cuts() {
    RandomNumbers random(20261126);
    size_t directly = 0;
    for (int i = 0; i < 400; ++i) {
        std::string plain;
        for (size_t messages = random.below(8) + 1; messages > 0; --messages) {
            plain += zmtp_random::message(random);
            if (random.one_in(3))
                plain += zmtp_events::frame(zmtp_random::text(random, 7000 + random.below(30'000)), random.one_in(2)) +
                         zmtp_events::frame("behind");
        }
        Listener over_null(dealer);
        over_null.hear(zmtp_events::opening("ROUTER"));
        over_null.hear(plain);
        CHECK(!over_null.is_over());
        for (int way = 0; way < 3; ++way) {
            Scene scene;
            scene.open();
            const std::string said = scene.said(plain);
            hear_in_parts(scene.listener, said, zmtp_random::cuts(random, said.size()), way > 0);
            CHECK(incoming_events::same(scene.listener, over_null));
            directly += scene.listener.went_directly;
        }
    }
    CHECK(directly > 1'000'000);
}

void what_is_sealed() {
    Scene scene;
    char out[200] = {};
    CHECK(!scene.link.seal(Kind::last, "too early", out));
    CHECK(scene.link.fault() == PeerFault::unable && std::string(out, sizeof out) == std::string(sizeof out, '\0'));

    Scene open;
    open.open();
    const std::string plain = zmtp_events::frame("", true) + zmtp_events::frame(std::string(20'000, 'x')) +
                              zmtp_events::pong("context") + zmtp_events::frame(std::string(230, 'y'));
    std::string sealed(CurveLink::sealed_size(plain), 'o');
    CHECK(open.link.seal_frames(plain, sealed.data()));
    const struct {
        Kind kind;
        std::string text;
    } frames[] = {{Kind::more, ""},
                  {Kind::last, std::string(20'000, 'x')},
                  {Kind::command, "\4PONGcontext"},
                  {Kind::last, std::string(230, 'y')}};
    size_t at = 0;
    for (const auto& each : frames) {
        const size_t size = CurveTraffic::sealed_size(each.text.size());
        const Heard heard = opened(open.server.traffic(), body_of(std::string_view(sealed).substr(at, size)));
        CHECK(heard.fault == CurveFault::none && heard.kind == each.kind && heard.text == each.text);
        at += size;
    }
    CHECK(at == sealed.size());
    open.listener.hear("\4\5rubbish");
    CHECK(open.listener.is_over() && !open.link.seal(Kind::last, "too late", out));
}

// ---- what is not

void faults_in_the_greeting() {
    const struct {
        std::string bytes;
        PeerFault fault;
    } cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n", PeerFault::not_zmtp},
        {zmtp_events::bytes("\xFF\0\0\0\0\0\0\0\1\x7E"), PeerFault::not_zmtp},
        {zmtp_events::bytes("\xFF\0\0\0\0\0\0\0\1\x7F\2"), PeerFault::version},
        {std::string(laplace::zmtp::greeting()), PeerFault::no_security},
        {zmtp_events::bytes("\xFF\0\0\0\0\0\0\0\1\x7F\3\1PLAIN"), PeerFault::mechanism},
        {zmtp_events::bytes("\xFF\0\0\0\0\0\0\0\1\x7F\3\1CURVE2"), PeerFault::mechanism},
    };
    for (const auto& each : cases) {
        for (size_t cut = 0; cut <= each.bytes.size(); ++cut) {
            Scene scene;
            CHECK(!scene.link.begin().empty());
            hear_in_parts(scene.listener, each.bytes + "more", {cut}, false);
            CHECK(scene.listener.incoming.fault() == each.fault && !scene.link.is_greeted());
            CHECK(scene.listener.log.substr(0, told(each.fault).size()) == told(each.fault));
            CHECK(scene.listener.sent.empty());
        }
    }
}

void errors() {
    Scene scene;
    const std::string opening(scene.link.begin());
    scene.listener.hear(curve_greeting(false));
    scene.listener.hear(zmtp_events::command("\5ERROR\3" "400"));
    CHECK(scene.listener.incoming.fault() == PeerFault::refused_by_peer && scene.listener.incoming.reason() == "400");
    scene.listener.hear("more");
    CHECK(scene.listener.incoming.room().size == 0);

    Scene within;  // a box, where the server says it
    within.open();
    within.listener.hear(within.said(zmtp_events::command("\5ERROR\5later")));
    CHECK(within.listener.incoming.reason() == "later" && within.listener.sent.empty());
}

// A byte that was changed ends it, and what is heard before that is right.
void changed_bytes() {
    RandomNumbers random(15);
    const std::string large(20'000, 'l');
    const std::string plain = zmtp_events::frame("", true) + zmtp_events::frame("small") +
                              zmtp_events::frame(large, true) + zmtp_events::frame("end");
    Listener over_null(dealer);
    over_null.hear(zmtp_events::opening("ROUTER"));
    over_null.hear(plain);
    for (int i = 0; i < 1000; ++i) {
        Scene scene;
        scene.open();
        std::string said = scene.said(plain);
        const size_t place = i < 200 ? static_cast<size_t>(i) : random.below(said.size());
        said[place] = static_cast<char>(said[place] ^ 1 << random.below(8));
        hear_in_parts(scene.listener, said, zmtp_random::cuts(random, said.size()), random.one_in(2));
        scene.listener.hear(std::string(30'000, '\0'));  // where a size was changed, more is awaited
        const std::string& log = scene.listener.log;
        const size_t end = std::min(log.find("fault"), log.size());
        CHECK(over_null.log.compare(0, end, log, 0, end) == 0);
        CHECK(scene.listener.incoming.room().size == 0 || !scene.listener.is_over());
    }
}

// What was answered before a fault is not said again with it.
void answered_once() {
    Scene scene;
    scene.open();
    scene.listener.hear(scene.said(zmtp_events::ping(3, "context")));
    CHECK(scene.listener.sent == zmtp_events::pong("context"));
    std::string forged = scene.said(zmtp_events::frame("x"));
    forged.back() ^= 1;
    scene.listener.hear(forged);
    CHECK(scene.listener.incoming.fault() == PeerFault::forged);
    CHECK(scene.listener.sent == zmtp_events::pong("context"));
}

void replays() {
    Scene scene;
    scene.open();
    const std::string first = scene.said(zmtp_events::frame("one")), second = scene.said(zmtp_events::frame("two"));
    scene.listener.hear(second);
    scene.listener.hear(first);
    CHECK(scene.listener.log == "ready\nframe 3: two\n" + told(PeerFault::forged));
}

void memory() {
    Scene poor(50'000);
    poor.open();
    poor.listener.hear(poor.said(zmtp_events::frame("a") + zmtp_events::frame(std::string(100'000, 'l'))).substr(0, 900));
    CHECK(poor.listener.log == "ready\nframe 1: a\n" + told(PeerFault::no_memory));
    CHECK(poor.listener.announced == 100'000 && poor.listener.incoming.room().size == 0);

    Scene huge;
    huge.open();
    huge.listener.hear(zmtp_events::long_header(2, UINT64_C(1) << 62) + "\7MESSAGE" + std::string(100, 'x'));
    CHECK(huge.listener.is_over());

    Scene command;  // so large is none
    command.open();
    const std::string large = "\11SUBSCRIBE" + std::string(20'000, 's');
    const std::string said = command.said(zmtp_events::long_header(6, large.size()) + large);
    hear_in_parts(command.listener, said, {100}, true);
    CHECK(command.listener.incoming.fault() == PeerFault::malformed);
}

void numbers_of_frames() {
    Scene scene;
    scene.open();
    const std::string large(Incoming::least_room, 'l');
    // Large frames count, and end messages, too.
    const std::string said = scene.said(zmtp_events::frame("", true) + zmtp_events::frame(large));
    hear_in_parts(scene.listener, said, {100}, true);
    std::string many;
    for (size_t i = 0; i < Incoming::max_frames; ++i) many += zmtp_events::frame("", true);
    scene.listener.hear(scene.said(many));
    CHECK(!scene.listener.is_over() && !scene.listener.wrong);
    scene.listener.hear(scene.said(zmtp_events::frame(large)).substr(0, 100));
    CHECK(scene.listener.incoming.fault() == PeerFault::too_many_frames);
}

void keys() {
    const Keys some;
    ClientKeys keys;
    CHECK(keys.set(reinterpret_cast<const char*>(some.client->secret_key.bytes),
                   reinterpret_cast<const char*>(some.server->public_key.bytes)));
    CHECK(keys.own.public_key == some.client->public_key && keys.server == some.server->public_key);
    const char nobodys[laplace::crypto::key_size] = {};
    CHECK(!keys.set(reinterpret_cast<const char*>(some.client->secret_key.bytes), nobodys));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 || !sodium_library::load(argv[1])) return 2;
    every_cut();
    cuts_of_the_handshake();
    random_cuts();
    what_is_sealed();
    faults_in_the_greeting();
    errors();
    changed_bytes();
    answered_once();
    replays();
    memory();
    numbers_of_frames();
    keys();
    return checks::status();
}
