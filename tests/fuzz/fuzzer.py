"""Coverage-guided fuzzing in a process of its own: `python -m tests.fuzz.fuzzer TARGET CORPUS [libFuzzer's options]`.

It ends with a status other than 0 as soon as one input breaks a promise or takes too long; that input is printed.
"""

import gc
import logging
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bot", "bridge"], enable_loader_override=False):
    from tests.fuzz.broken import PLANTED
    from tests.fuzz.targets import SUBJECTS


def main() -> None:
    name, corpus, *options = sys.argv[1:]
    subject = {**SUBJECTS, **PLANTED}[name]
    folder = Path(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(subject.seeds):
        (folder / f"seed-{number:03d}").write_bytes(seed)
    if subject.words:
        words = folder.with_suffix(".dict")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in subject.words))
        options = [f"-dict={words}", *options]
    logging.disable()  # what is said about bad input is not what is tested
    warnings.simplefilter("error")
    gc.freeze()
    atheris.Setup([sys.argv[0], str(folder), *options], subject.run)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(sign if sign.isalnum() else "".join(f"\\x{byte:02x}" for byte in sign.encode()) for sign in word)


if __name__ == "__main__":
    main()
