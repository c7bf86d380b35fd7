"""The compiled modules: the server's core, and what reads frames for clients.

All metadata is in pyproject.toml.

Switches, all off by default, set in the environment of a build:
LAPLACE_DEBUG=1 (assertions, no optimisation), LAPLACE_SANITIZE=address,undefined
(or thread), LAPLACE_WERROR=1 (warnings of csrc/ stop the build), and for wheels that carry a
libzmq of their own LAPLACE_BUNDLE=FOLDER (the library and the licences of what is in it).
"""

import os
import re
import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

MSVC = sys.platform == "win32"
HEADERS = sorted(str(path) for path in Path("csrc").rglob("*.h"))
PARTS = sorted(str(path) for path in Path("csrc").rglob("*.p*"))
EXPORTS = "csrc/python/exports.map"
SOURCES = sorted(path.as_posix() for path in Path("csrc").rglob("*.cpp"))
# What is a client's alone, and what it shares with the server. No libzmq.
CLIENT = [path for path in SOURCES if path.startswith("csrc/client/")]
SHARED = [path for path in SOURCES if path.startswith(("csrc/crypto/", "csrc/zmtp/"))] + [
    f"csrc/tcp/{name}.cpp" for name in ("address", "network", "numeric", "socket", "wait")
]


def switch(name: str) -> str:
    value = os.environ.get(name, "")
    return "" if value == "0" else value


def compile_args() -> list[str]:
    if MSVC:
        return ["/std:c++17", "/EHsc", "/W4"]
    args = ["-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra", "-pthread"]
    # -g0: some Pythons pass -g on, and the debug data would be ten times the code.
    args += ["-O0", "-g", "-UNDEBUG"] if switch("LAPLACE_DEBUG") else ["-O2", "-g0", "-DNDEBUG"]
    if switch("LAPLACE_SANITIZE"):
        # -O1 and -g1: the stacks of reports have their lines, and the build takes half as long.
        args += [f"-fsanitize={switch('LAPLACE_SANITIZE')}", "-fno-omit-frame-pointer"]
        args += ["-O1", "-g1"]
    return args


def link_args(module: str) -> list[str]:
    if MSVC:
        return []
    args = ["-pthread"]
    if sys.platform.startswith("linux"):
        args += ["-ldl", f"-Wl,--version-script={EXPORTS}"]
    elif sys.platform == "darwin":
        args.append(f"-Wl,-exported_symbol,_PyInit_{module}")
    if switch("LAPLACE_SANITIZE"):
        args.append(f"-fsanitize={switch('LAPLACE_SANITIZE')}")
    return args


class BuildExtensions(build_ext):
    """Compiles sources side by side, each once, and those written by hand with stricter warnings.

    setuptools compiles the sources of a module one by one, and what two modules share twice.
    """

    def build_extensions(self) -> None:
        self.parallel = None  # which would be two modules side by side, with the same objects
        if MSVC:
            super().build_extensions()
            return
        compile_one, compile_all = self.compiler._compile, self.compiler.compile
        compiled: dict[str, Future[None]] = {}

        def compile_strictly(
            obj: str,
            src: str,
            ext_name: str,
            cc_args: list[str],
            extra_postargs: list[str],
            pp_opts: list[str],
        ) -> None:
            if src.startswith("csrc"):
                extra_postargs = [*extra_postargs, "-Wconversion", "-Wshadow"]
                if switch("LAPLACE_WERROR"):
                    extra_postargs.append("-Werror")
            compile_one(obj, src, ext_name, cc_args, extra_postargs, pp_opts)

        def start(obj: str, *arguments: Any) -> None:
            if obj not in compiled:
                compiled[obj] = pool.submit(compile_strictly, obj, *arguments)

        def compile_side_by_side(*arguments: Any, **named: Any) -> list[str]:
            objects = compile_all(*arguments, **named)
            for obj in objects:
                compiled[obj].result()
            return objects

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            self.compiler._compile, self.compiler.compile = start, compile_side_by_side
            super().build_extensions()


class BuildPython(build_py):
    """Puts the files of LAPLACE_BUNDLE beside the package's modules."""

    def bundle(self) -> dict[str, str]:
        """Each file's place in the build, and where it comes from."""
        if not switch("LAPLACE_BUNDLE"):
            return {}
        folder = Path(switch("LAPLACE_BUNDLE"))
        files = sorted(path for path in folder.iterdir() if path.is_file())
        if not any(re.search(r"zmq.*\.(dll|dylib|so)", path.name) for path in files):
            raise SystemExit(f"LAPLACE_BUNDLE: there is no libzmq in {folder}")
        target = Path(self.build_lib, "laplace_server", "bundled")
        return {str(target / path.name): str(path) for path in files}

    def run(self) -> None:
        super().run()
        for target, source in self.bundle().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self.bundle()]


def extension(name: str, *sources: str, libraries: Iterable[str] = ()) -> Extension:
    module = name.rpartition(".")[2]
    return Extension(
        name,
        sources=[f"csrc/python/{module}.pyx", *sources],
        depends=[*HEADERS, EXPORTS, *PARTS],
        include_dirs=["csrc"],
        language="c++",
        libraries=list(libraries),
        extra_compile_args=compile_args(),
        extra_link_args=link_args(module),
    )


# On Windows sockets are a library of their own, and so are the addresses of the machine.
NETWORK = ["iphlpapi", "ws2_32"] if MSVC else []
core = extension(
    "laplace_server.server._core",
    *(path for path in SOURCES if path not in CLIENT),
    libraries=NETWORK,
)
frames = extension("laplace_server.client._frames", *CLIENT, *SHARED, libraries=NETWORK)

setup(
    cmdclass={"build_ext": BuildExtensions, "build_py": BuildPython},
    ext_modules=cythonize(
        [core, frames],
        build_dir="build/cython",
        include_path=["csrc"],
        compiler_directives={"language_level": 3, "embedsignature": True},
    ),
)
