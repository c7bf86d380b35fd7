// Requests, the replies to them, and the table that says who answers: for programs that stand for
// Python.
#ifndef LAPLACE_TESTS_REQUESTS_H
#define LAPLACE_TESTS_REQUESTS_H

#include <memory>
#include <string>
#include <string_view>

#include "requests/dispatch.h"

namespace requests {

using laplace::Action;
using laplace::DispatchTable;
using laplace::Hole;
using laplace::ReplyTemplate;

constexpr std::string_view version = "\"0.2.2\"";

inline std::string request(std::string_view command, std::string_view from) {
    std::string text = R"({"from": ")";
    text.append(from).append(R"(", "to": "s", "cmd": ")").append(command);
    return text.append(R"(", "payload": {}, "version": )").append(version).append("}");
}

inline std::string reply(std::string_view command, std::string_view to, std::string_view payload) {
    std::string text = R"({"cmd": ")";
    text.append(command).append(R"(", "to": ")").append(to).append(R"(", "version": )").append(version);
    return text.append(R"(, "payload": )").append(payload).append("}");
}

inline std::string ping_reply(std::string_view to) { return reply("PING", to, R"({"PING": "PONG"})"); }
inline std::string get_reply(std::string_view to, std::string_view data) {
    return reply("GET", to, std::string(R"({"data": )").append(data).append("}"));
}

// `command` and `to` with their quotes.
inline std::string error_reply(std::string_view command, std::string_view to, std::string_view error) {
    std::string text = R"({"error": ")";
    text.append(error).append(R"(", "cmd": )").append(command).append(R"(, "to": )").append(to);
    return text.append(R"(, "version": )").append(version).append("}");
}

inline ReplyTemplate answer_template(const std::string& command, const std::string& before, const std::string& after) {
    ReplyTemplate text;
    text.pieces.push_back({R"({"cmd": ")" + command + R"(", "to": )", Hole::to});
    text.pieces.push_back({R"(, "version": )", Hole::version});
    text.pieces.push_back({R"(, "payload": )" + before, Hole::body});
    text.pieces.push_back({after + "}", Hole::none});
    return text;
}

// PING, INFO and GET are the loop's, unless `get` says otherwise, SET is Python's, and SUBSCRIBE is
// answered by its own code.
inline std::shared_ptr<const DispatchTable> table(Action get = Action::get) {
    auto made = std::make_shared<DispatchTable>();
    made->commands = {{"PING", Action::ping, 1}, {"INFO", Action::info, 2},
                      {"GET", get, 3}, {"SET", Action::python, 4},
                      {"SUBSCRIBE", Action::builtin, 5}};
    made->accepted_versions = {"0.2.2"};
    made->ping = answer_template("PING", R"({"PING": "PONG"})", "");
    made->info = answer_template("INFO", "", "");
    made->get = answer_template("GET", R"({"data": )", "}");
    made->arrays = answer_template("GET ARRAYS", "", "");
    made->error.pieces = {{R"({"error": )", Hole::error},
                          {R"(, "cmd": )", Hole::cmd},
                          {R"(, "to": )", Hole::to},
                          {R"(, "version": )", Hole::version},
                          {"}", Hole::none}};
    made->default_version = version;
    made->unknown = R"("UNKNOWN")";
    made->busy = R"("busy")";
    made->stopping = R"("stopping")";
    made->stopping_begun = R"("begun")";
    made->too_large = R"("too large")";
    made->too_many_frames = R"("too many frames")";
    return made;
}

}  // namespace requests

#endif
