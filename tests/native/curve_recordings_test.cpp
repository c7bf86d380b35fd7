// Conversations of libzmq over CURVE, recorded by recordings/record_curve.py: what libzmq sealed opens, and
// we say to the byte what libzmq took then.
//     curve_recordings_test LIBSODIUM FOLDER

#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "support/checks.h"
#include "support/curve_session.h"
#include "support/sodium_library.h"

using namespace curve_session;

namespace {

std::string of_hex(const std::string& digits) {
    std::string text;
    for (size_t i = 0; i + 1 < digits.size(); i += 2)
        text += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return text;
}

void to_key(const std::string& digits, unsigned char* key) {
    const std::string bytes = of_hex(digits);
    if (CHECK(bytes.size() == laplace::crypto::key_size)) std::memcpy(key, bytes.data(), bytes.size());
}

struct Recording {
    std::vector<std::string> words;  // of what our end was told to do
    std::string libzmq, we;
    KeyPair own;
    PublicKey peer;
};

std::unique_ptr<Recording> read(const std::string& path) {
    auto recording = std::make_unique<Recording>();
    std::ifstream file(path);
    CHECK(file.good());
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string who, rest;
        words >> who >> rest;
        if (who == "libzmq") recording->libzmq += of_hex(rest);
        if (who == "we") recording->we += of_hex(rest);
        if (who != "serve" && who != "ask") continue;
        recording->words = {who, rest};
        for (std::string word; words >> word;) recording->words.push_back(word);
    }
    if (!CHECK(recording->words.size() >= 3)) return nullptr;
    to_key(recording->words[1], recording->own.secret_key.bytes);
    to_key(recording->words[2], recording->peer.bytes);
    CHECK(laplace::crypto::sodium.scalarmult_base(recording->own.public_key.bytes,
                                                  recording->own.secret_key.bytes) == 0);
    return recording;
}

std::unique_ptr<Session> session_of(const Recording& recording) {
    sodium_library::fix_random(1);  // as it was then
    if (recording.words[0] == "serve") return std::make_unique<Echo>(recording.own, &recording.peer);
    std::vector<size_t> sizes;
    for (size_t i = 4; i < recording.words.size(); ++i) sizes.push_back(std::stoul(recording.words[i]));
    return std::make_unique<Asker>(recording.own, recording.peer, laplace::zmtp::socket_type(recording.words[3]),
                                   some_messages(sizes));
}

struct Scene {
    const char* name;
    const char* begins;  // what is heard
    std::vector<std::string> messages;
};

void plays(const std::string& folder, const Scene& scene) {
    const auto recording = read(folder + "/" + scene.name + ".txt");
    if (recording == nullptr || !CHECK(recording->libzmq.size() > 1000)) return;
    const auto whole = session_of(*recording);
    whole->hear(recording->libzmq);
    if (!CHECK(whole->sent == recording->we && whole->fault() == CurveFault::none))
        std::printf("%s: %s\n", scene.name, whole->log.c_str());
    CHECK(whole->log.compare(0, std::strlen(scene.begins), scene.begins) == 0);
    size_t at = 0;
    for (const std::string& message : scene.messages) {
        at = whole->log.find("message " + message + "\n", at);
        if (!CHECK(at != std::string::npos)) return;
    }
    CHECK(whole->log.find("command P") != std::string::npos);  // PING, or PONG
    const size_t handshake = recording->libzmq.size() < 800 ? recording->libzmq.size() : 800;
    for (size_t cut = 1; cut < handshake; ++cut) {
        const auto in_two = session_of(*recording);
        in_two->hear(recording->libzmq.substr(0, cut));
        in_two->hear(recording->libzmq.substr(cut));
        CHECK(in_two->sent == whole->sent && in_two->log == whole->log);
    }
    // Of another random it says something else, and a server does not know its cookie.
    const auto other = session_of(*recording);
    sodium_library::fix_random(2);
    other->hear(recording->libzmq);
    CHECK(other->sent != recording->we);
    CHECK(other->log == (recording->words[0] == "serve" ? "fault not_authentic\n" : whole->log));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3 || !sodium_library::load(argv[1])) return 2;
    const std::vector<std::string> said = {"0 0 3", "0 1 3", "0 222 3", "0 300 3"};
    const std::vector<std::string> echoed = {"0 0", "0 1", "0 222", "0 300", "0 7 0 6"};
    const Scene scenes[] = {
        {"req", "ready REQ\n", said},
        {"dealer", "ready DEALER\n", said},
        {"bound_router_req", "ready ROUTER\n", echoed},
        {"bound_router_dealer", "ready ROUTER\n", echoed},
    };
    for (const Scene& scene : scenes) plays(argv[2], scene);
    return checks::status();
}
