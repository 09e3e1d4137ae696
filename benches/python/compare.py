"""Whole processes over the same file: bedrock-tap against Python with orjson and isal.

    cargo build --profile dist
    cargo bench --bench line -- --write corpus.ndjson
    python -m venv venv && venv/bin/pip install -r benches/python/requirements.txt
    venv/bin/python benches/python/compare.py target/dist/bedrock-tap corpus.ndjson

Runs both in turn, several times, and prints the processor time (user and system, all threads) of each and their
ratio. The outputs are compared line by line first: a comparison of different jobs would say nothing.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import orjson

ROUNDS = 5
TARGET = 3.0
# What differs by design: when a line was made and what it was read from.
LEFT_OUT = ("p_parse_time", "p_source_id", "p_source_label")


def run(command, out):
    """Runs a command with its standard output in a file; gives the seconds of processor and wall-clock time."""
    with open(out, "wb") as stdout:
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=stdout)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        sys.exit(f"{command[0]} ended with {code}")
    return usage.ru_utime + usage.ru_stime, wall


def same(ours, theirs):
    """Whether two files hold the same events; gives their number."""
    count = 0
    with open(ours, "rb") as a, open(theirs, "rb") as b:
        for left, right in zip(a, b, strict=True):
            count += 1
            left, right = orjson.loads(left), orjson.loads(right)
            for key in LEFT_OUT:
                left.pop(key, None)
                right.pop(key, None)
            if left != right:
                keys = [key for key in left.keys() | right.keys() if left.get(key) != right.get(key)]
                sys.exit(f"line {count}: the outputs differ in {sorted(keys)}")
    return count


def main(binary, corpus):
    here = pathlib.Path(__file__).parent
    size = os.path.getsize(corpus)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
        commands = {
            "bedrock-tap": ([binary, "decode", "--format", "panther", corpus], ours),
            "python": ([sys.executable, str(here / "panther.py"), corpus, theirs], os.path.join(folder, "stdout")),
        }
        for command, out in commands.values():
            run(command, out)
        events = same(ours, theirs)
        times = {name: [] for name in commands}
        walls = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, (command, out) in commands.items():
                processor, wall = run(command, out)
                times[name].append(processor)
                walls[name].append(wall)
    print(f"{events} events, {size / 1e6:.0f} MB of base64 of gzip, medians of {ROUNDS} rounds")
    for name in commands:
        print(
            f"{name:<12} {statistics.median(times[name]):7.2f} s of processor, {statistics.median(walls[name]):7.2f} s"
        )
    ratio = statistics.median(b / a for a, b in zip(times["bedrock-tap"], times["python"], strict=True))
    verdict = "met" if ratio >= TARGET else "MISSED"
    print(f"python / bedrock-tap, processor time: {ratio:.2f} (at least {TARGET}: {verdict})")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
