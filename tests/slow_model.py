"""A model process without a model that takes its time: a word every 20 ms, as many as the question says.

`repeat 5 cat` says cat five times; `die` ends the process; everything else is said once. It answers as many at the
same time as there is room for.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from tests.soak.fake_model import BUNDLE, ENGINE, say
from xraygpt_edge.records import Answer, Source, Timing

WORD_S = 0.02


class Model:
    def __init__(self) -> None:
        self.cancelled: set[int] = set()
        self.stopped: set[int] = set()
        self.saying = threading.Lock()

    def say(self, message: dict[str, Any]) -> None:
        with self.saying:
            say(message)

    def listen(self) -> None:
        for line in sys.stdin.buffer:
            message = json.loads(line)
            match message["type"]:
                case "room":
                    self.say({"type": "ready", "slots": message["slots"] or message["slots_min"]})
                case "task":
                    threading.Thread(target=self.answer, args=(message,), daemon=True).start()
                case "cancel":
                    self.cancelled.add(message["task"])
                case "stop":
                    self.stopped.add(message["task"])
        os._exit(0)

    def answer(self, task: dict[str, Any]) -> None:
        number = task["number"]
        self.say({"type": "started", "task": number})
        for question in task["questions"]:
            if not self.answered(task, question):
                self.say({"type": "cancelled", "task": number})
                return

    def answered(self, task: dict[str, Any], question: str) -> bool:
        number, words = task["number"], question.split()
        if question == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        times, word = (int(words[1]), words[2]) if words[0] == "repeat" else (1, question)
        said: list[str] = []
        while len(said) < times and number not in self.stopped:
            if number in self.cancelled:
                return False
            time.sleep(WORD_S)
            said.append(word)
            self.say({"type": "text", "task": number, "question": question, "text": word + " "})
        reason = "cancelled" if len(said) < times else "stop"
        source = Source(**{**task["view"]["source"], "warnings": ()})
        answer = Answer(" ".join(said), question, reason, (1,) * len(said), source, BUNDLE, ENGINE, Timing())
        self.say({"type": "record", "task": number, "question": question, "answer": asdict(answer)})
        return True


def main() -> None:
    model = Model()
    assert json.loads(sys.stdin.buffer.readline())["type"] == "load"
    model.say({"type": "ready", "slots": 1})
    model.listen()


if __name__ == "__main__":
    main()
