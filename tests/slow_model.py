"""A model process without a model that takes its time: a word every 20 ms, as many as the question says.

`repeat 5 cat` says cat five times; `die` ends the process; everything else is said once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from queue import SimpleQueue
from typing import Any

from tests.soak.fake_model import BUNDLE, ENGINE, say
from xraygpt_edge.records import Answer, Source, Timing

WORD_S = 0.02


class Model:
    def __init__(self) -> None:
        self.tasks: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self.cancelled: set[int] = set()
        self.stopped: set[int] = set()

    def listen(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            match message["type"]:
                case "task":
                    self.tasks.put(message)
                case "cancel":
                    self.cancelled.add(message["task"])
                case "stop":
                    self.stopped.add(message["task"])
        os._exit(0)

    def answer(self, task: dict[str, Any]) -> None:
        number, question = task["number"], task["questions"][0]
        say({"type": "started", "task": number})
        if question == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        words = question.split()
        times, word = (int(words[1]), words[2]) if words[0] == "repeat" else (1, question)
        said: list[str] = []
        while len(said) < times and number not in self.stopped:
            if number in self.cancelled:
                say({"type": "cancelled", "task": number})
                return
            time.sleep(WORD_S)
            said.append(word)
            say({"type": "text", "task": number, "question": question, "text": word + " "})
        reason = "cancelled" if len(said) < times else "stop"
        source = Source(**{**task["view"]["source"], "warnings": ()})
        answer = Answer(" ".join(said), question, reason, (1,) * len(said), source, BUNDLE, ENGINE, Timing())
        say({"type": "record", "task": number, "question": question, "answer": asdict(answer)})


def main() -> None:
    model = Model()
    assert json.loads(sys.stdin.buffer.readline())["type"] == "load"
    threading.Thread(target=model.listen, daemon=True).start()
    say({"type": "ready", "slots": 1})
    while True:
        model.answer(model.tasks.get())


if __name__ == "__main__":
    main()
