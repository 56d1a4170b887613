"""The first and last steps of the command `healer`, which is `python -m healer` too."""

import errno
import os
import signal
import sys


def main() -> None:
    """Run the command line; output that cannot be written is a line on standard error, not a traceback.

    While its many modules are being imported, a SIGHUP is no death, and a Ctrl-C is one without words.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: None)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from healer.cli import main as command  # noqa: PLC0415  # these are the imports

    try:
        try:
            command(prog_name="healer")
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OSError as error:
        # An error about a file has its name; these come from standard output, also when it is written to at the end.
        if error.filename is not None or error.errno not in {errno.ENOSPC, errno.EPIPE, errno.EIO}:
            raise
        _give_up(error)


def _give_up(error: OSError) -> None:
    """Exit with status 1, after saying why unless whoever read has had enough."""
    # What is still buffered would be tried again at the exit, and be complained of.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        sys.stderr.write(f"healer: standard output cannot be written: {os.strerror(error.errno or 0)}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
