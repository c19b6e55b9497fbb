"""The parts of the harness: what each of them promises, and how often it is tried."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.trust.campaigns import Check
from tests.trust.crowds import CROWDS, check_crowd, check_soak
from tests.trust.damage import check_damaged_file, check_forged_file, saved_specimens
from tests.trust.fuzz import check_fit
from tests.trust.kills import (
    check_broken_checkpoint,
    check_broken_save,
    check_failing_fit,
    check_full_disk,
    check_killed_fit,
    check_killed_save,
)
from tests.trust.lost_processes import (
    check_lost_process,
    check_lost_while_connecting,
    prepare,
)
from tests.trust.specimens import specimens


@dataclass(frozen=True)
class Part:
    """A promise, and the check that tries to break it.

    What is promised, and how it is tried, is for the page; `long` and `short` are
    numbers of seeds, `block` those that one child checks, within `patience` seconds
    each. `prepare` is called once, before children are forked.
    """

    name: str
    promise: str
    method: str
    check: Check
    long: int
    short: int
    prepare: Callable[[], object] = specimens
    block: int = 50
    patience: float = 120.0


PARTS = (
    Part(
        "random fits",
        "A fit either keeps exactly as many weights as you asked for, or says that it "
        "did not. Where possible, all weights that it keeps are live, which means that "
        "they lie on a path from an input to an output. Predictions are finite. The "
        "same fit gives the same bits, and so do copies that are cloned, pickled, "
        "saved or sparsified. Bad input and bad parameters are refused with a "
        "ValueError or TypeError that names what is wrong. Neither parameters nor "
        "anything global is changed.",
        "Parameters are drawn at random, and one in thirty is nonsense. Data have 1 to "
        "3000 rows and 1 to 2000 columns, in ten containers and eight types, with "
        "scales from denormal to 1e300, rare classes and sample weights. Weights and "
        "live paths are counted without the library. Each fit that succeeds is made "
        "twice.",
        check_fit,
        long=19_000,
        short=60,
    ),
    Part(
        "damaged files",
        "A file that was cut short or altered is refused with a ValueError, or read "
        "with the same predictions. It runs no code, and memory is taken only for what "
        "the file really holds.",
        "Files are truncated or joined, and bytes are flipped, overwritten, inserted, "
        "removed or set to zero. An audit hook watches the interpreter, and the "
        "address space may grow by 48 MB and twice the file.",
        check_damaged_file,
        long=56_000,
        short=300,
        prepare=saved_specimens,
        block=2000,
    ),
    Part(
        "forged files",
        "A file that somebody wrote by hand, with the right checksum, does not do "
        "more than a damaged one: it is refused, or it is read as some network.",
        "Parts of the document and of the arrays are removed, exchanged, renamed, made "
        "huge, or given other types. The checksum is then made right.",
        check_forged_file,
        long=48_000,
        short=300,
        prepare=saved_specimens,
        block=2000,
    ),
    Part(
        "broken saves",
        "`save` writes the file whole or leaves the one before. Nothing is left "
        "beside it after an error.",
        "Each operation on the file system fails in turn (disk full, input/output "
        "error, no memory), or the process ends before it, after it, or halfway.",
        check_broken_save,
        long=1000,
        short=40,
    ),
    Part(
        "killed saves",
        "`save` keeps the same promise at whatever moment the process is killed.",
        "A process that saves again and again gets a SIGKILL at a random moment.",
        check_killed_save,
        long=300,
        short=10,
    ),
    Part(
        "killed fits",
        "A fit with `checkpoint=` that was killed goes on and ends with the bits of "
        "one that was not.",
        "A fit gets a SIGKILL at up to three random moments, and is then made again.",
        check_killed_fit,
        long=200,
        short=6,
        block=20,
    ),
    Part(
        "broken checkpoints",
        "A fit never fails because of its checkpoint: it warns once at most, and ends "
        "with the same bits.",
        "Operations on the file system fail or end the process, or what was kept is "
        "damaged. The fit is then made again.",
        check_broken_checkpoint,
        long=300,
        short=8,
        block=20,
    ),
    Part(
        "full disk",
        "On a full disk a save fails and leaves the file that was there, and a fit "
        "succeeds.",
        "Files may not grow beyond a random size.",
        check_full_disk,
        long=50,
        short=4,
        block=20,
    ),
    Part(
        "errors in a user's code",
        "When a module, loss or callback raises an error, it is that error which "
        "`fit` raises, and the fit before is kept (but for a callback at the very end, "
        "which sees the new fit already). Ctrl-C keeps the network it has.",
        "Seven kinds of errors, among them MemoryError, SystemExit and "
        "KeyboardInterrupt, are raised at the n-th call.",
        check_failing_fit,
        long=400,
        short=20,
    ),
    Part(
        "lost processes",
        "When a process of a fit that several share is killed or stopped, the others "
        "raise a ProcessLostError within the timeout. With `checkpoint=` the same fit "
        "is taken up again, and ends with the network of one process.",
        "One of two to four processes gets a SIGKILL or SIGSTOP at a random moment. "
        "Half of the fits are then made again.",
        check_lost_process,
        long=1000,
        short=6,
        prepare=prepare,
        block=20,
    ),
    Part(
        "lost while connecting",
        "They do so as well if it is lost while they meet.",
        "One gets a SIGKILL or SIGSTOP in the first tenth of a second.",
        check_lost_while_connecting,
        long=400,
        short=2,
        prepare=prepare,
        block=20,
    ),
    Part(
        "crowds",
        "Fits have the same bits alone and in a crowd, in threads and in processes, "
        "however these were started, and nothing hangs.",
        f"Eight fits run at a time, in these ways: {'; '.join(CROWDS)}.",
        check_crowd,
        long=2 * len(CROWDS),
        short=len(CROWDS),
        block=1,
        patience=240.0,
    ),
    Part(
        "soak",
        "However many fits a process makes, it does not take more and more memory, "
        "descriptors, threads or files.",
        "One process makes 2000 fits, each with a prediction, and saves and loads each "
        "tenth. Resources are counted before and after.",
        lambda seed: check_soak(2000),
        long=1,
        short=0,
        block=1,
        patience=1200.0,
    ),
)
