"""The exceptions whose message is all that a user needs."""


class InputError(Exception):
    """A file, record or option of the user's cannot be used.

    The message names the file and the record and says what to do. Commands print it alone, without a traceback, and
    end with a non-zero exit code.
    """


class ProcessError(Exception):
    """Another process of the run failed; the message says which, and how."""
