// Conversations of libzmq, recorded by recordings/record.py: what we make of them, and that we answer to
// the byte what libzmq took then.
//     zmtp_recordings_test FOLDER

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "support/checks.h"
#include "support/zmtp_events.h"

using namespace zmtp_events;

namespace {

struct Recording {
    std::string libzmq, we;
};

std::string of_hex(const std::string& digits) {
    std::string text;
    for (size_t i = 0; i + 1 < digits.size(); i += 2)
        text += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return text;
}

Recording read(const std::string& path) {
    Recording recording;
    std::ifstream file(path);
    CHECK(file.good());
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string who, digits;
        words >> who >> digits;
        if (who == "libzmq") recording.libzmq += of_hex(digits);
        if (who == "we") recording.we += of_hex(digits);
    }
    return recording;
}

// READY, ERROR and PONG among frames: what a Conversation answers of itself.
std::string answers_in(std::string_view frames) {
    std::string answers;
    while (!frames.empty()) {
        const unsigned flags = laplace::zmtp::byte_of(frames[0]);
        const bool is_long = (flags & laplace::zmtp::flag_long) != 0;
        const size_t header = is_long ? laplace::zmtp::long_header : laplace::zmtp::short_header;
        const uint64_t size =
            is_long ? laplace::zmtp::read_uint64(frames.data() + 1) : laplace::zmtp::byte_of(frames[1]);
        const std::string_view frame = frames.substr(0, header + static_cast<size_t>(size));
        const bool is_command = (flags & laplace::zmtp::flag_command) != 0;
        if (is_command && frame.find("PING") == std::string_view::npos) answers += frame;
        frames.remove_prefix(frame.size());
    }
    return answers;
}

struct Scene {
    const char* name;
    SocketType own;
    std::string events;
};

std::string told(std::string_view body, bool more = false) {
    return "frame " + std::to_string(body.size()) + (more ? " more: " : ": ") + shown(body) + "\n";
}

std::string long_text() {
    std::string text;
    for (int i = 0; i < 256; ++i) text += static_cast<char>(i);
    return text + "more than one byte counts";
}

void plays(const std::string& folder, const Scene& scene) {
    const Recording recording = read(folder + "/" + scene.name + ".txt");
    std::string opening = greeting();
    if (scene.own != SocketType::router) opening += ready(laplace::zmtp::name_of(scene.own));
    if (!CHECK(recording.we.compare(0, opening.size(), opening) == 0)) return;
    Listener whole(scene.own);
    whole.hear(recording.libzmq);
    if (!CHECK(whole.log == scene.events)) std::printf("%s: %s\n", scene.name, whole.log.c_str());
    CHECK(whole.sent == answers_in(std::string_view(recording.we).substr(opening.size())));
    for (size_t cut = 1; cut < recording.libzmq.size(); ++cut) {
        Listener cut_in_two(scene.own);
        cut_in_two.hear(recording.libzmq.substr(0, cut));
        if (cut_in_two.conversation.fault() == Fault::none) cut_in_two.hear(recording.libzmq.substr(cut));
        CHECK(cut_in_two.log == whole.log && cut_in_two.sent == whole.sent);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const SocketType router = SocketType::router, dealer = SocketType::dealer;
    const std::string empty = told("", true), a = empty + told("a"), big = long_text();
    const std::string ping = "command 7\nping 0\n", ping_25 = "command 7\nping 25\n";
    // REQ begins to number its requests anywhere; behind its READY come two messages: number, empty frame,
    // body.
    const Recording correlated = read(std::string(argv[1]) + "/req_correlate.txt");
    if (!CHECK(correlated.libzmq.size() > opening("REQ").size())) return checks::status();
    const std::string numbered = correlated.libzmq.substr(opening("REQ").size());
    if (!CHECK(numbered.size() == 31)) return checks::status();
    const std::string first = told(numbered.substr(2, 4), true), second = told(numbered.substr(17, 4), true);
    const Scene scenes[] = {
        {"req_correlate", router, "ready REQ\n" + first + empty + told("first") + second + empty + told("second")},
        {"req", router, "ready REQ\n" + empty + told("{\"cmd\": \"PING\"}") + empty + told(big)},
        {"dealer", router,
         "ready DEALER\n" + a + empty + told(big) + told("p", true) + empty + told("b") + empty + told("1", true) +
             told(big, true) + empty + told("2") + told("")},
        {"dealer_metadata", router, "ready DEALER\n" + a},
        {"dealer_heartbeat", router, "ready DEALER\n" + ping_25 + ping_25 + ping_25 + a},
        {"router", router, "ready ROUTER\n" + empty + told("and you")},
        {"sub", router, "fault socket_type\n"},
        {"curve", router, "fault mechanism\n"},
        {"bound_router", dealer,
         "ready ROUTER\n" + empty + told("a", true) + told(big, true) + told("") + empty + told(big, true) +
             told(big, true) + told("") + "command 21\npong\ncommand 5\npong\n"},
        {"bound_router_heartbeat", SocketType::req, "ready ROUTER\n" + ping + ping + a},
        {"bound_rep", dealer, "ready REP\n" + told("route", true) + empty + told("reply")},
    };
    for (const Scene& scene : scenes) plays(argv[1], scene);
    return checks::status();
}
