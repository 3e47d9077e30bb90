"""What a file may claim at most, in one table; docs/files.md shows it to people.

Limits are far above what any use of mar needs and far below what ends a machine.
"""

from __future__ import annotations

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

SETTINGS = 4 * MIB  # bytes of a file that a person writes: pool, .env, task, prompt, plan
YAML = 64 * KIB  # bytes of a YAML file, whose parser needs a second for ten thousand lines
RECORD = 256 * MIB  # bytes of one JSON document, and of one line of JSON lines
DATA = 8 * GIB  # bytes of a data file, unpacked where it is gzipped
HEADER = 16 * MIB  # bytes of a checkpoint's header
LARGEST = 1e12  # size of a number in a checkpoint

DEPTH = 64  # lists and tables around a value
DIGITS = 300  # of an integer: it always fits a float
ENTRIES = 100_000_000  # values in one document of data
SETTINGS_ENTRIES = 1_000_000  # values in one file of settings, aliases counted as often as they are used
MEMBERS = 200_000  # of an archive
TAR_HEADER = MIB  # bytes of text that a member of a tar states of itself
TAR_PER_BYTE = 200  # bytes a byte of a .tar.gz may come to in members that are not kept
CELLS = 200_000_000  # of a table
FEWEST_CELLS, CELLS_PER_BYTE = 1_000_000, 100  # a compressed table has no more cells than this, and so many a byte
TEXT_CELL = 64 * MIB  # characters of one cell of a CSV file

CHILD_MEMORY = 512 * MIB  # bytes that a process of its own may take, beside PER_BYTE times the file's size
PER_BYTE = 6
CHILD_SECONDS = 30.0  # and a second more for every BYTES_PER_SECOND
BYTES_PER_SECOND = 10 * MIB
