// The dispatch table: which commands the loop answers itself, which go to Python.
// A table never changes once it is published; a change is a new table.
#ifndef LAPLACE_DISPATCH_H
#define LAPLACE_DISPATCH_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/roles.h"
#include "requests/reply_template.h"
#include "requests/scan.h"

namespace laplace {

// Who answers a command: Python, where it runs the program's code; Python's own code, in a thread that
// no callback holds up (builtin); or the loop, and how. `denied`: the loop, that who asks may not; no command
// has it in the table.
enum class Action { python, ping, info, get, builtin, denied };

struct Command {
    std::string name;
    Action action;
    unsigned index;  // of its counters
    Roles roles = all_roles;  // that may ask for it
};

struct DispatchTable {
    std::vector<Command> commands;
    Command other{{}, Action::python, 0};  // for all other names
    std::vector<std::string> accepted_versions;
    ReplyTemplate ping, info, get, arrays, error;
    // JSON texts, quotes included.
    std::string default_version, unknown, busy, stopping, stopping_begun, too_large, too_many_frames;
    // What who asks for what its role does not permit is told, around the role's name and the command's. All
    // are pieces of one JSON text.
    std::string denied_before, denied_between, denied_after;
    std::vector<std::string> role_names;  // by number

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
        return &other;
    }

    // That may ask for the command of this number.
    Roles roles_of(unsigned index) const noexcept {
        for (const Command& command : commands) {
            if (command.index == index) return command.roles;
        }
        return other.roles;
    }

    // The error text for who may not do it. Throws std::bad_alloc.
    std::string denial(Role role, const ls_envelope& request) const {
        std::string text = denied_before;
        if (role < role_names.size()) text += role_names[role];
        text += denied_between;
        text += shortened(plain_string(request.cmd));
        return text += denied_after;
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

    // The beginning of a long name, which comes from whoever asks; whole characters of it.
    static std::string_view shortened(std::string_view name) noexcept {
        constexpr size_t longest = 64;
        if (name.size() <= longest) return name;
        size_t size = longest;
        while (size > 0 && (static_cast<unsigned char>(name[size]) & 0xC0) == 0x80) --size;
        return name.substr(0, size);
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

// The table in force. Any thread puts a new one in; readers keep a reference of their own, and get the
// new one when the epoch has moved.
class CurrentTable {
public:
    void set(std::shared_ptr<const DispatchTable> table) noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        table_.swap(table);
        epoch_.fetch_add(1, std::memory_order_release);
    }
    std::shared_ptr<const DispatchTable> get() noexcept {
        const std::lock_guard<std::mutex> lock(mutex_);
        return table_;
    }
    uint64_t epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }

private:
    std::mutex mutex_;
    std::shared_ptr<const DispatchTable> table_ = std::make_shared<const DispatchTable>();
    std::atomic<uint64_t> epoch_{0};
};

}  // namespace laplace

#endif
