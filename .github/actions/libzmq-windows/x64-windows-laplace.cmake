# Two DLLs with nothing else to ship: the C++ runtime is linked into them. libsodium is one of its own, since
# our core takes its functions, too.
set(VCPKG_TARGET_ARCHITECTURE x64)
set(VCPKG_CRT_LINKAGE static)
set(VCPKG_LIBRARY_LINKAGE static)
set(VCPKG_BUILD_TYPE release)
if(PORT MATCHES "^(zeromq|libsodium)$")
  set(VCPKG_LIBRARY_LINKAGE dynamic)
endif()
