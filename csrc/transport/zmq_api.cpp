#include "transport/zmq_api.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#ifndef NOMINMAX  // MinGW's C++ headers define it themselves
#define NOMINMAX
#endif
#include <windows.h>

#include <cstring>
#include <memory>
#include <new>
#else
#include <dlfcn.h>
#endif

namespace laplace {

zmq_api zmq;

namespace {

#ifdef _WIN32
// Paths hold names of people and labs: UTF-8 must not go through the ANSI code page.
void* open_library(const char* path, bool only_loaded) noexcept {
    const int size = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, nullptr, 0);
    if (size <= 0) return nullptr;
    const std::unique_ptr<wchar_t[]> wide(new (std::nothrow) wchar_t[static_cast<size_t>(size)]);
    if (wide == nullptr) return nullptr;
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide.get(), size) != size) return nullptr;
    if (only_loaded) {
        HMODULE module = nullptr;
        return GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN, wide.get(), &module) ? module : nullptr;
    }
    DWORD where = LOAD_LIBRARY_SEARCH_DEFAULT_DIRS;
    // What it needs may lie beside it; asked so, Windows takes no bare name.
    if (std::strpbrk(path, "\\/") != nullptr) where |= LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR;
    return LoadLibraryExW(wide.get(), nullptr, where);
}

void* find_symbol(void* library, const char* name) noexcept {
    return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
void* open_library(const char* path, bool only_loaded) noexcept {
    int flags = RTLD_NOW | RTLD_LOCAL;
    if (only_loaded) flags |= RTLD_NOLOAD;
    return dlopen(path, flags);
}

void* find_symbol(void* library, const char* name) noexcept { return dlsym(library, name); }
#endif

struct symbol {
    const char* name;
    void** slot;
};

template <typename Function>
void** slot_of(Function*& function) noexcept {
    static_assert(sizeof(Function*) == sizeof(void*), "functions and data share one pointer size");
    return reinterpret_cast<void**>(&function);
}

}  // namespace

load_status load_zmq(const char* path, bool only_loaded, const char** missing) noexcept {
    // The handle is never closed: the table points into the library until the process ends.
    void* library = open_library(path, only_loaded);
    if (library == nullptr) return load_status::not_found;

    zmq_api found{};
    const symbol symbols[] = {
        {"zmq_version", slot_of(found.version)},
        {"zmq_errno", slot_of(found.errno_)},
        {"zmq_ctx_new", slot_of(found.ctx_new)},
        {"zmq_ctx_set", slot_of(found.ctx_set)},
        {"zmq_ctx_shutdown", slot_of(found.ctx_shutdown)},
        {"zmq_ctx_term", slot_of(found.ctx_term)},
        {"zmq_socket", slot_of(found.socket)},
        {"zmq_close", slot_of(found.close)},
        {"zmq_setsockopt", slot_of(found.setsockopt)},
        {"zmq_getsockopt", slot_of(found.getsockopt)},
        {"zmq_bind", slot_of(found.bind)},
        {"zmq_unbind", slot_of(found.unbind)},
        {"zmq_connect", slot_of(found.connect)},
        {"zmq_socket_monitor", slot_of(found.socket_monitor)},
        {"zmq_send", slot_of(found.send)},
        {"zmq_msg_init", slot_of(found.msg_init)},
        {"zmq_msg_init_size", slot_of(found.msg_init_size)},
        {"zmq_msg_init_data", slot_of(found.msg_init_data)},
        {"zmq_msg_close", slot_of(found.msg_close)},
        {"zmq_msg_move", slot_of(found.msg_move)},
        {"zmq_msg_copy", slot_of(found.msg_copy)},
        {"zmq_msg_data", slot_of(found.msg_data)},
        {"zmq_msg_size", slot_of(found.msg_size)},
        {"zmq_msg_more", slot_of(found.msg_more)},
        {"zmq_msg_recv", slot_of(found.msg_recv)},
        {"zmq_msg_send", slot_of(found.msg_send)},
    };
    for (const symbol& wanted : symbols) {
        *wanted.slot = find_symbol(library, wanted.name);
        if (*wanted.slot == nullptr) {
            if (missing != nullptr) *missing = wanted.name;
            return load_status::symbol_missing;
        }
    }
    int major = 0, minor = 0, patch = 0;
    found.version(&major, &minor, &patch);
    // 4.2 is the first with the 64-byte message in every build and with heartbeats.
    if (major != 4 || minor < 2) return load_status::too_old;
    zmq = found;
    return load_status::loaded;
}

const void* zmq_identity() noexcept { return reinterpret_cast<const void*>(zmq.version); }

}  // namespace laplace
