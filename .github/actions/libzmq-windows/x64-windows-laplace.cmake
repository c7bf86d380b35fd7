# One DLL with nothing else to ship: libsodium and the C++ runtime are linked into libzmq.
set(VCPKG_TARGET_ARCHITECTURE x64)
set(VCPKG_CRT_LINKAGE static)
set(VCPKG_LIBRARY_LINKAGE static)
set(VCPKG_BUILD_TYPE release)
if(PORT STREQUAL "zeromq")
  set(VCPKG_LIBRARY_LINKAGE dynamic)
endif()
