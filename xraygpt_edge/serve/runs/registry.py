"""Every run of every session: begun, sent films, gone on with, forgotten. For one event loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

from xraygpt_edge.batch.batch import NO_RADIOGRAPH
from xraygpt_edge.batch.job import Settings as JobSettings
from xraygpt_edge.batch.summary import Run as RunFacts
from xraygpt_edge.errors import XrayGPTError
from xraygpt_edge.host import Fatal, ModelHost, Record
from xraygpt_edge.records import Answer, Failure
from xraygpt_edge.serve.errors import Refused
from xraygpt_edge.serve.held import new_id
from xraygpt_edge.serve.questions import Questions
from xraygpt_edge.serve.reading import FilmSeen
from xraygpt_edge.serve.runs.keeping import Keeper, KeptRuns
from xraygpt_edge.serve.runs.queue import Queue
from xraygpt_edge.serve.runs.run import ID_DIGITS, Asked, Film, FilmState, Run, answer_of
from xraygpt_edge.serve.settings import Settings

RUNS_MAX = 64
"""Of one session."""


class Runs:
    """What of runs outlives a request."""

    def __init__(self, settings: Settings, questions: Questions) -> None:
        self._settings, self._questions = settings, questions
        self._runs: dict[str, Run] = {}
        self._keeper: Keeper | None = settings.keep
        self._kept: dict[str, KeptRuns] = {}
        """Run → its records in the folder of `--keep`."""
        self._writing: set[asyncio.Task[None]] = set()
        self._queue = Queue(questions, settings.parallel, self, self._runs.values)

    def attach(self, host: ModelHost, loop: asyncio.AbstractEventLoop) -> None:
        """Say who answers."""
        self._host = host
        self._queue.attach(host, loop)

    @property
    def keeps(self) -> bool:
        """Whether records outlive the server, with the names of files."""
        return self._keeper is not None

    def go_on(self) -> None:
        """The model is ready."""
        self._queue.go_on()

    async def begin(self, session: str, asked: Asked, n_files: int, left_out: dict[str, int]) -> Run:
        """A new run. Raises Refused E-SRV-022, and what a folder that cannot be used raises."""
        if len(self.of(session)) >= RUNS_MAX:
            raise Refused.because("E-SRV-022", f"{RUNS_MAX} runs")
        run = Run(new_id("u"), session, asked, n_files, Counter(left_out))
        if self._keeper:
            settings = JobSettings(self._settings.template, asked.reading, self._settings.sampling)
            self._kept[run.id] = await self._keeper.runs(asked.questions, settings)
        self._runs[run.id] = run
        self._queue.settle_room()
        return run

    def of(self, session: str) -> list[Run]:
        """The runs of a session, the oldest first."""
        return [run for run in self._runs.values() if run.session == session]

    def get(self, session: str, run_id: str) -> Run:
        """A run of this session; raises Refused E-SRV-013."""
        run = self._runs.get(run_id)
        if run is None or run.session != session:
            raise Refused.because("E-SRV-013")
        return run

    def room_for(self, run: Run) -> int:
        """How many of its films may be sent now."""
        return self._queue.room_for(run)

    def pause(self, run: Run) -> None:
        """Begin no further film of a run; what is being answered is answered."""
        if run.state == "going":
            run.go("paused")
            self._queue.settle_room()
            self._later(self._summarize(run))

    def resume(self, run: Run) -> None:
        """Go on with a run that was paused, or that could not write its records."""
        if run.state in {"paused", "broken"} and not self._questions.fatal:
            run.go("going")
            self._queue.settle_room()
            self._queue.go_on()

    def forget(self, run: Run) -> None:
        """Let go of a run; what is kept in a folder stays there."""
        del self._runs[run.id]
        self._kept.pop(run.id, None)
        self._queue.forget(run)

    def forget_session(self, session: str) -> None:
        """Let go of all runs of a session."""
        for run in self.of(session):
            self.forget(run)

    def known(self, run: Run, digest: str) -> dict[str, bytes]:
        """Records that answer a run's questions about a file already; all of them, or none."""
        sources = [each.records for each in self.of(run.session) if each.asked.reading == run.asked.reading]
        sources += [self._kept[run.id].known] if run.id in self._kept else []
        found = {q: line for q in run.asked.questions for each in sources if (line := each.answer(digest, q))}
        return found if len(found) == len(run.asked.questions) else {}

    def film(self, run: Run, number: int, digest: str, name: str) -> Film:
        """A new film of a run, from when its bytes come."""
        kept = self._kept.get(run.id)
        path = kept.path(name, digest) if kept else digest[:ID_DIGITS]
        film = Film(number, digest, path, open=set(run.asked.questions))
        run.add(film)
        self._queue.settle_room()
        return film

    async def recall(self, run: Run, film: Film, lines: dict[str, bytes]) -> None:
        """Answer a film by what is known."""
        film.is_known = True
        for question, line in lines.items():
            film.open.discard(question)
            await self._keep(run, film, question, answer_of(line))

    def take(self, run: Run, film: Film, seen: FilmSeen) -> None:
        """A film was read: it waits for its turn."""
        film.view, film.identity = seen.view, seen.identity
        self._queue.wait(run, film)
        self._queue.go_on()

    async def refuse(self, run: Run, film: Film, failure: Failure) -> None:
        """A file that has no picture: left out where a batch would leave it out, else failed."""
        film.refusal = failure
        if failure.error_id in NO_RADIOGRAPH:
            run.left_out[str(NO_RADIOGRAPH[failure.error_id])] += 1
            self._end(run, film, "left out")
            return
        for question in run.asked.questions:
            film.open.discard(question)
            await self._keep(run, film, question, failure)

    def answered(self, run: Run, film: Film, record: Record) -> None:
        """Keep what the model has said."""
        self._later(self._keep(run, film, record.question, record.result))

    def broken(self, fatal: Fatal) -> None:
        """No run goes on without a model."""
        for run in self._runs.values():
            if run.state != "ended":
                run.go("broken", fatal.error)

    def close(self) -> None:
        """Write what is to be written, and let go of the folder."""
        self._queue.close()
        if self._keeper:
            self._keeper.close()

    async def _keep(self, run: Run, film: Film, question: str, result: Answer | Failure) -> None:
        """Note a record, which is on disk before it counts where runs are kept."""
        kept = self._kept.get(run.id)
        with self._breaking(run, film):
            if self._keeper and kept:
                line = await self._keeper.do(partial(kept.append, film, question, result))
            else:
                line = film.record(question, result)
            if isinstance(result, Answer):
                run.records.put(film.sha256, question, line)
            film.take(question, line, is_failure=isinstance(result, Failure))
            run.latest = datetime.now(UTC)
            if len(film.lines) == len(run.asked.questions):
                self._end(run, film, "failed" if film.has_failed else "ok")

    @contextmanager
    def _breaking(self, run: Run, film: Film) -> Iterator[None]:
        """A folder that takes no more ends the run, and nothing else: the film may be sent again."""
        try:
            yield
        except XrayGPTError as error:
            run.go("broken", error)
            run.drop(film)
            self._queue.settle_room()

    def _end(self, run: Run, film: Film, state: FilmState) -> None:
        run.mark(film, state)
        if run.state == "ended":
            self._queue.settle_room()
            self._later(self._summarize(run))

    async def _summarize(self, run: Run) -> None:
        kept = self._kept.get(run.id)
        if self._keeper and kept:
            try:
                await self._keeper.do(partial(kept.summarize, self._facts(run)))
            except XrayGPTError as error:
                run.go("broken", error)

    def _facts(self, run: Run) -> RunFacts:
        """What a batch's summary says of a run."""
        ready, n_known = self._questions.ready, sum(film.is_known for film in run.films.values())
        n_left_out = run.left_out.total()
        return RunFacts(
            seconds=time.monotonic() - run.began_s,
            files=sum(film.state in {"ok", "failed"} for film in run.films.values()) - n_known,
            earlier=n_known,
            found=run.n_files + n_left_out - sum(film.state == "left out" for film in run.films.values()),
            skipped=dict(sorted(run.left_out.items())),
            unread={},
            busy=asdict(self._host.times),
            restarts=self._host.restarts,
            engine={"parallel": ready.slots, "device": ready.device, "threads": ready.threads} if ready else {},
            cut_bytes=0,
        )

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        doing = asyncio.ensure_future(work)
        self._writing.add(doing)
        doing.add_done_callback(self._writing.discard)
