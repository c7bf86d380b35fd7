"""Check the compiled modules of Linux wheels: check_module.py WHEEL...

Each exports its init function and nothing else, needs no library but the C and C++ runtimes (above
all no libzmq and no libpython), and has no writable code. The platform tag says which versions of
the runtimes; auditwheel has checked that.
"""

import io
import re
import sys
import zipfile
from pathlib import Path

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

MODULES = ("laplace_server/client/_frames", "laplace_server/server/_core")
RUNTIMES = re.compile(
    r"lib(stdc\+\+|gcc_s)(-[0-9a-f]+)?\.so[.\d]*|lib(c|m|dl|pthread)\.so(\.\d+)?|libc\.musl-\w+\.so\.1|ld-linux-.+\.so\.\d"
)


def check(wheel: str, module: str) -> None:
    what = f"{module} of {Path(wheel).name}"
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(rf"{module}\..*so", name))
        compiled = ELFFile(io.BytesIO(archive.read(name)))
    symbols = compiled.get_section_by_name(".dynsym")
    dynamic = compiled.get_section_by_name(".dynamic")
    assert isinstance(symbols, SymbolTableSection)
    assert isinstance(dynamic, DynamicSection)
    exported = [
        symbol.name for symbol in symbols.iter_symbols() if symbol["st_shndx"] != "SHN_UNDEF"
    ]
    if exported != [f"PyInit_{Path(module).name}"]:
        sys.exit(f"{what} exports {exported}")
    needed = [tag.needed for tag in dynamic.iter_tags("DT_NEEDED")]
    if strange := [library for library in needed if not RUNTIMES.fullmatch(library)]:
        sys.exit(f"{what} needs {strange}")
    if [*dynamic.iter_tags("DT_TEXTREL")]:
        sys.exit(f"{what} has relocations in its code")
    for segment in compiled.iter_segments():
        if segment["p_type"] in ("PT_LOAD", "PT_GNU_STACK") and segment["p_flags"] & 3 == 3:
            sys.exit(f"{what} has memory that is writable and executable")
    print(f"{what}: exports {exported[0]}, needs {', '.join(needed)}")


if __name__ == "__main__":
    for each in sys.argv[1:]:
        for module in MODULES:
            check(each, module)
