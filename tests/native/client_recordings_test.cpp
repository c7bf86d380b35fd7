// What a client makes of conversations of libzmq, recorded by recordings/record.py, byte by byte.
//     client_recordings_test FOLDER

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "support/checks.h"
#include "support/incoming_events.h"

using namespace incoming_events;

namespace {

std::string sent_by_libzmq(const std::string& path) {
    std::string sent;
    std::ifstream file(path);
    CHECK(file.good());
    for (std::string line; std::getline(file, line);) {
        std::istringstream words(line);
        std::string who, digits;
        words >> who >> digits;
        if (who != "libzmq") continue;
        for (size_t i = 0; i + 1 < digits.size(); i += 2)
            sent += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    }
    return sent;
}

size_t count(const std::string& text, const std::string& word) {
    size_t found = 0;
    for (size_t at = 0; (at = text.find(word, at)) != std::string::npos; ++at) ++found;
    return found;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    const struct {
        const char* name;
        SocketType own;
        size_t frames, answers;
    } cases[] = {
        {"router", SocketType::dealer, 2, 0},
        {"bound_router", SocketType::dealer, 8, 0},
        {"bound_router_heartbeat", SocketType::req, 2, 2},
        {"bound_rep", SocketType::dealer, 3, 0},
    };
    for (const auto& each : cases) {
        const std::string given = sent_by_libzmq(std::string(argv[1]) + "/" + each.name + ".txt");
        const Listener whole = heard_in_parts(given, each.own, {}, false);
        CHECK(!whole.is_over() && !whole.wrong);
        if (!CHECK(count(whole.log, "frame ") == each.frames && count(whole.sent, "PONG") == each.answers))
            std::printf("%s: %s", each.name, whole.log.c_str());
        std::vector<size_t> single;
        for (size_t cut = 1; cut < given.size(); ++cut) {
            single.push_back(cut);
            CHECK(same(heard_in_parts(given, each.own, {cut}, false), whole));
        }
        CHECK(same(heard_in_parts(given, each.own, single, false), whole));
    }
    return checks::status();
}
