"""As many threads as there is work for, and one free to take the next job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any, cast

from rag.work.crew import Crew
from rag.work.jobloop import JobLoop


class Jobs:
    """Stands in for a queue with its loop: each job lasts until it is let go."""

    queue = "answer"

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.workplace = SimpleNamespace(stop=self.stop, wakeup=SimpleNamespace(count=lambda queue: 0))
        self.lock = threading.Lock()
        self.waiting: list[threading.Event] = []
        self.running = 0
        self.most = 0
        self.fail = False

    def add(self, count: int) -> list[threading.Event]:
        made = [threading.Event() for _ in range(count)]
        with self.lock:
            self.waiting += made
        return made

    def step(self, taken: Callable[[], AbstractContextManager[None]]) -> bool:
        with self.lock:
            if not self.waiting:
                return False
            job = self.waiting.pop(0)
        with taken():
            self.count(1)
            assert job.wait(20)
            self.count(-1)
            if self.fail:
                raise ZeroDivisionError
        return True

    def count(self, change: int) -> None:
        with self.lock:
            self.running += change
            self.most = max(self.most, self.running)

    def wait(self, seen: int) -> None:
        time.sleep(0.01)


@contextmanager
def working(jobs: Jobs, least: int, most: int) -> Iterator[Crew]:
    crew = Crew(cast(JobLoop, cast(Any, jobs)), least, most)
    thread = threading.Thread(target=crew.run)
    thread.start()
    try:
        yield crew
    finally:
        jobs.stop.set()
        thread.join(20)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_all_jobs_run_side_by_side_up_to_a_limit_and_the_threads_go_again() -> None:
    jobs = Jobs()
    with working(jobs, 2, 6) as crew:
        until(lambda: crew.size == 2)
        first = jobs.add(3)
        until(lambda: jobs.running == 3)
        assert crew.size == 4, "one is free"
        more = jobs.add(7)
        until(lambda: jobs.running == 6)
        assert (crew.size, len(jobs.waiting)) == (6, 4)
        for job in [*first, *more]:
            job.set()
        until(lambda: jobs.running == 0 and not jobs.waiting)
        until(lambda: crew.size == 2)
        (last,) = jobs.add(1)
        until(lambda: jobs.running == 1)
        last.set()
    assert jobs.most == 6


def test_a_bug_costs_no_thread() -> None:
    jobs = Jobs()
    jobs.fail = True
    with working(jobs, 1, 2) as crew:
        jobs.add(1)[0].set()
        until(lambda: not jobs.waiting and jobs.running == 0)
        (job,) = jobs.add(1)
        until(lambda: jobs.running == 1)
        assert crew.size == 2
        job.set()
