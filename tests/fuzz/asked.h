// What clients have asked and were answered, counted a second time: what a target compares the peer queues'
// work with. And the data that they read, whose value is a number that grows with each change.
#ifndef LAPLACE_TESTS_FUZZ_ASKED_H
#define LAPLACE_TESTS_FUZZ_ASKED_H

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "transport/connection.h"

namespace fuzz_asked {

class Asked {
public:
    using Demand = void (*)(bool holds, const char* what);
    // A connection, and the route behind it.
    using Peer = std::pair<const laplace::Connection*, std::string>;

    // What a request asks for: work of the program's, data, or anything else.
    enum class Kind { callback, data, other };

    explicit Asked(Demand demand) : demand_(demand) {}

    // ---- requests

    std::string new_name() { return 'n' + std::to_string(++last_name_); }

    // Without a name of its own, a request is known by its place among others.
    void add(const Peer& peer, const std::string& name, Kind kind) {
        waiting_[peer].push_back({name, kind, handed_over_, value_});
        ++count_;
    }

    // Python begins with it. Only callbacks may have been begun before it that are not answered.
    void begin(const std::string& name, bool is_callback) const {
        if (!is_own(name) || !all_are_answered_) return;
        for (const auto& [peer, line] : waiting_) {
            const auto found = std::find_if(line.begin(), line.end(), [&](const Request& each) { return each.name == name; });
            if (found == line.end()) continue;
            const bool follows = std::all_of(line.begin(), found, [](const Request& each) { return each.kind == Kind::callback; });
            demand_(found == line.begin() || (is_callback && follows), "it is begun before what came before it is done");
        }
    }

    // Whom a request is from, or an answer is for; "" where it does not say.
    static std::string from(const std::string& request) { return member(request, R"("from": ")"); }
    static std::string to(const std::string& answer) { return member(answer, R"("to": ")"); }
    // From now on the place in its line does not tell of an answer which request it is for.
    void some_are_lost() { all_are_answered_ = false; }

    // Of those before it in the line of its peer, none will be answered any more.
    void answer(const Peer& peer, const std::string& text) {
        ++answered_;
        std::deque<Request>& line = waiting_[peer];
        const std::string name = to(text);
        if (is_own(name)) {
            while (!line.empty() && line.front().name != name) line.pop_front();
        }
        demand_(!line.empty(), "an answer that nobody waits for, or twice, or behind a later one");
        const Request request = line.front();
        line.pop_front();
        if (is_own(name) || all_are_answered_) look_at_data(request, text);
    }

    uint64_t count() const { return count_; }
    uint64_t answered() const { return answered_; }

    // ---- data

    // The text of new data.
    std::string hand_over(size_t size) {
        size_ = size;
        handed_over_ = ++value_;
        return text();
    }
    // Live data is changed by the program.
    void change() { ++value_; }
    // Of the data as it is.
    std::string text() const {
        return R"({"value": )" + std::to_string(value_) + R"(, "t": ")" + std::string(size_, 't') + R"("})";
    }

    // Answers that told older data than there was when they were asked for.
    uint64_t stale() const { return stale_; }
    bool are_told_once() const { return !told_twice_; }

private:
    struct Request {
        std::string name;
        Kind kind;
        uint64_t handed_over, value;  // when it came
    };

    static std::string member(const std::string& text, const std::string& key) {
        const size_t at = text.find(key), begin = at + key.size();
        return at == std::string::npos ? std::string() : text.substr(begin, text.find('"', begin) - begin);
    }
    static bool is_own(const std::string& name) { return !name.empty() && name[0] == 'n'; }

    void look_at_data(const Request& request, const std::string& text) {
        static const std::string key = R"("value": )";
        const size_t at = text.find(key);
        if (at == std::string::npos) return;
        const uint64_t value = std::strtoull(text.c_str() + at + key.size(), nullptr, 10);
        demand_(value <= value_, "data that there never was");
        told_twice_ = !told_.insert(value).second || told_twice_;
        if (request.kind != Kind::data) return;
        demand_(value >= request.handed_over, "a reader is shown what was replaced before it asked");
        if (value < request.value) ++stale_;
    }

    const Demand demand_;
    std::map<Peer, std::deque<Request>> waiting_;
    uint64_t last_name_ = 0, count_ = 0, answered_ = 0, stale_ = 0;
    uint64_t value_ = 0, handed_over_ = 0;
    size_t size_ = 0;
    std::set<uint64_t> told_;
    bool all_are_answered_ = true, told_twice_ = false;
};

}  // namespace fuzz_asked

#endif
