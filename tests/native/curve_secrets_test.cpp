// That secrets of CurveZMQ's handshake are wiped when they are of no more use, and what happens where
// libsodium fails.
//     curve_secrets_test LIBSODIUM

#include <new>
#include <string>
#include <vector>

#include "support/checks.h"
#include "support/curve_ends.h"
#include "support/sodium_library.h"

using namespace curve_ends;
using laplace::crypto::key_size;
using laplace::crypto::sodium;
using sodium_library::secrets_made;

namespace {

bool has(std::string_view memory, std::string_view secret) { return memory.find(secret) != std::string_view::npos; }

// The memory of an object, also when that has ended.
template <class Object>
struct Watched {
    template <class... Arguments>
    explicit Watched(const Arguments&... arguments) : object(new (memory) Object(arguments...)) {}
    std::string_view seen() const { return {reinterpret_cast<const char*>(memory), sizeof memory}; }

    alignas(Object) unsigned char memory[sizeof(Object)];
    Object* const object;
};

std::string text_of(const SharedKey& key) { return {reinterpret_cast<const char*>(key.bytes), key_size}; }

void secrets_are_wiped() {
    const Keys keys;
    const sodium_library::Restored restored;
    sodium_library::note_keys();
    Watched<CurveServer> server(*keys.server);
    Watched<CurveClient> client(*keys.client, keys.server->public_key, SocketType::req);
    std::vector<char> command(laplace::zmtp::max_curve_hello), answer(1024);
    const auto is_nowhere = [&](const std::string& secret) {
        return !has(server.seen(), secret) && !has(client.seen(), secret) &&
               !has({command.data(), command.size()}, secret) && !has({answer.data(), answer.size()}, secret);
    };
    CHECK(client.object->begin(command.data()).event == CurveEvent::answer);
    const std::string of_client = secrets_made.at(0);
    CHECK(has(client.seen(), of_client));
    const auto pass = [&](auto& to) {
        const CurveStep step = to.hear(command.data(), command.size(), answer.data());
        return step;
    };
    command.erase(command.begin(), command.begin() + 2);
    CurveStep step = pass(*server.object);
    const std::string of_server = secrets_made.at(1);
    CHECK(is_nowhere(of_server));  // but in the cookie, sealed
    CHECK(sodium_library::random_keys.size() == 1);
    const std::string cookie_key = sodium_library::random_keys.at(0);
    const std::string welcome(answer.data() + 2, step.to_send - 2);
    command.assign(welcome.begin(), welcome.end());
    step = pass(*client.object);
    CHECK(is_nowhere(of_client) && is_nowhere(of_server));
    const std::string initiate = body_of({answer.data(), step.to_send});
    command.assign(initiate.begin(), initiate.end());
    CHECK(has(server.seen(), cookie_key));
    CHECK(pass(*server.object).event == CurveEvent::asks);
    CHECK(!has(server.seen(), cookie_key) && is_nowhere(of_client) && is_nowhere(of_server));
    const std::string shared = text_of(server.object->traffic().key());
    CHECK(shared == text_of(client.object->traffic().key()) && shared != std::string(key_size, '\0'));
    CHECK(has(server.seen(), shared) && has(client.seen(), shared));
    server.object->~CurveServer();
    CHECK(!has(server.seen(), shared));
    CHECK(client.object->hear(command.data(), command.size(), answer.data()).event == CurveEvent::fault);
    CHECK(!has(client.seen(), shared) && is_nowhere(shared));
    client.object->~CurveClient();
}

int no_keys(unsigned char*, unsigned char*) { return -1; }
int no_box(unsigned char*, const unsigned char*, unsigned long long, const unsigned char*, const unsigned char*) {
    return -1;
}

void libsodium_that_fails() {
    const Keys keys;
    for (const bool at_keys : {true, false}) {
        Ends first(keys), second(keys), third(keys);
        const std::string hello = second.hello(), welcome = third.welcome();
        const sodium_library::Restored restored;
        if (at_keys) sodium.box_keypair = no_keys;
        if (!at_keys) sodium.box_easy_afternm = no_box;
        char out[laplace::zmtp::max_curve_hello];
        CHECK(first.client.begin(out).event == CurveEvent::fault && first.client.fault() == CurveFault::unable);
        const Said said = hear(second.server, hello);
        CHECK(said.event == CurveEvent::fault && said.frame.empty());
        CHECK(second.server.fault() == CurveFault::unable);
        if (!at_keys) CHECK(hear(third.client, welcome).event == CurveEvent::fault);
    }
    Ends ends(keys);
    CHECK(ends.asks());
    const sodium_library::Restored restored;
    sodium.box_easy_afternm = no_box;
    CHECK(ends.permit().event == CurveEvent::fault && ends.server.fault() == CurveFault::unable);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2 || !sodium_library::load(argv[1])) return 2;
    secrets_are_wiped();
    libsodium_that_fails();
    return checks::status();
}
