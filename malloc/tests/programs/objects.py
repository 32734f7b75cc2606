"""Dicts, lists, strings, JSON, threads and processes; says a digest of each."""

import collections
import concurrent.futures
import gc
import hashlib
import json
import multiprocessing
import queue
import re
import subprocess
import sys
import threading
import zlib

SIZE = int(sys.argv[1])


def say(what, value):
    digest = hashlib.sha256(repr(value).encode()).hexdigest()[:16]
    print(what, digest, flush=True)


def dicts(size, seed=0):
    table = {}
    for i in range(size):
        table[f"key {i * 7919 % size}"] = [i, str(i) * (i % 7), (i, seed)]
        if i % 3 == 0:
            table.pop(f"key {i // 2}", None)
    return sorted((key, len(value[1]), value[2]) for key, value in table.items())


def strings(size):
    text = "".join(chr(97 + i * 31 % 26) for i in range(size))
    parts = [text[i : i + i % 50] for i in range(0, size, 10)]
    joined = "-".join(reversed(parts))
    return len(joined), joined.count("abc"), re.sub("[aeiou]+", "_", joined)[:1000]


def lists(size):
    grown = []
    for i in range(size * 4):
        grown.append(i * 2654435761 % 1000003)
    grown.sort()
    counted = collections.Counter(value % 100 for value in grown)
    return sum(grown[::3]), sorted(counted.items()), list(collections.deque(grown, 50))


def texts(size):
    value = {"list": [{"n": i, "t": "x" * (i % 30), "f": i / 8} for i in range(size)]}
    text = json.dumps(value, indent=1)
    assert json.loads(text) == value
    packed = zlib.compress(text.encode())
    assert zlib.decompress(packed) == text.encode()
    return len(text), len(packed)


def threads(size):
    between, done = queue.Queue(100), []

    def make(seed):
        for i in range(size // 10):
            between.put({"from": seed, "text": str(i) * (i % 40)})
        between.put(None)

    def take():
        while (value := between.get()) is not None:
            done.append((value["from"], len(value["text"])))

    all_threads = [threading.Thread(target=make, args=(seed,)) for seed in range(4)]
    all_threads += [threading.Thread(target=take) for _ in range(4)]
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()
    return sorted(done)


def processes(size):
    context = multiprocessing.get_context("fork")
    stop = threading.Event()

    def churn():
        while not stop.is_set():
            [bytes(i % 5000) for i in range(500)]

    # Forks beside a thread that allocates.
    beside = threading.Thread(target=churn)
    beside.start()
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
        results = list(pool.map(dicts, [size // 10] * 6, range(6)))
    stop.set()
    beside.join()
    return results


def commands():
    script = "import sys; print(sum(len(str(i) * 9) for i in range(int(sys.argv[1]))))"
    run = [sys.executable, "-c", script]
    return [subprocess.check_output(run + [str(i * 1000)], text=True) for i in range(3)]


say("dicts", dicts(SIZE))
say("strings", strings(SIZE))
say("lists", lists(SIZE))
say("texts", texts(SIZE))
say("threads", threads(SIZE))
say("processes", processes(SIZE))
say("commands", commands())
say("large", [len(bytearray(size)) for size in range(1 << 20, 40 << 20, 3 << 20)])
gc.collect()
