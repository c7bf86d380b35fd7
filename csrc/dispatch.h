// The dispatch table: which commands the loop answers itself, which go to Python.
// A table never changes once it is published; a change is a new table.
#ifndef LAPLACE_DISPATCH_H
#define LAPLACE_DISPATCH_H

#include <string>
#include <string_view>
#include <vector>

#include "reply_template.h"
#include "scan.h"

namespace laplace {

enum action { ACTION_PYTHON, ACTION_PING, ACTION_INFO, ACTION_GET };

struct Command {
    std::string name;
    int action;
    unsigned index;  // of its counters
};

struct DispatchTable {
    std::vector<Command> commands;
    std::vector<std::string> accepted_versions;
    ReplyTemplate ping, info, get, arrays, error;
    // JSON texts, quotes included.
    std::string default_version, unknown, busy, stopping;

    // The command the loop may act upon, or null where only Python can tell.
    const Command* find(int verdict, const ls_envelope& request) const noexcept {
        if (verdict != LS_CERTAIN) return nullptr;
        if (request.from.truth != LS_TRUTHY || request.payload.kind == LS_ABSENT) return nullptr;
        if (!accepts(request.version)) return nullptr;
        const std::string_view name = plain_string(request.cmd);
        if (name.empty()) return nullptr;
        for (const Command& command : commands) {
            if (command.name == name) return &command;
        }
        return nullptr;
    }

    // The version to answer in: the request's own where it is accepted.
    std::string_view reply_version(int verdict, const ls_envelope& request) const noexcept {
        if (verdict == LS_CERTAIN && accepts(request.version)) return text(request.version);
        return default_version;
    }

    static std::string_view text(const ls_value& value) noexcept { return {value.text, value.size}; }

private:
    // The content of a string that needs no decoding; empty for everything else.
    static std::string_view plain_string(const ls_value& value) noexcept {
        if (value.kind != LS_STRING || value.escaped || value.size < 2) return {};
        return {value.text + 1, value.size - 2};
    }

    bool accepts(const ls_value& version) const noexcept {
        const std::string_view wanted = plain_string(version);
        if (wanted.empty()) return false;
        for (const std::string& accepted : accepted_versions) {
            if (accepted == wanted) return true;
        }
        return false;
    }
};

}  // namespace laplace

#endif
