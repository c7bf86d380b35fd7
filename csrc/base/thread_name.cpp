#include "base/thread_name.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#endif

#ifdef __linux__
#include <cstring>
#endif

namespace laplace {

#if defined(_WIN32)

// Looked for when it runs: Windows has it since 10 only.
void name_this_thread(const char* name) noexcept {
    using Describe = HRESULT(WINAPI*)(HANDLE, PCWSTR);
    const HMODULE kernel = GetModuleHandleW(L"kernel32.dll");
    if (kernel == nullptr) return;
    const auto describe =
        reinterpret_cast<Describe>(reinterpret_cast<void*>(GetProcAddress(kernel, "SetThreadDescription")));
    if (describe == nullptr) return;
    wchar_t wide[16] = {};
    for (unsigned at = 0; at < 15 && name[at] != '\0'; ++at) wide[at] = static_cast<wchar_t>(name[at]);
    describe(GetCurrentThread(), wide);
}

#elif defined(__APPLE__)

void name_this_thread(const char* name) noexcept { pthread_setname_np(name); }

#elif defined(__linux__)

void name_this_thread(const char* name) noexcept {
    char cut[16] = {};  // a longer name would be refused
    std::memcpy(cut, name, strnlen(name, sizeof cut - 1));
    pthread_setname_np(pthread_self(), cut);
}

#else

void name_this_thread(const char*) noexcept {}

#endif

}  // namespace laplace
