"""The one exception that stands for bad input."""


class UserError(Exception):
    """Bad input: one line that says what is wrong, where, and how to mend it.

    The command line prints the line and exits with status 2; the page shows it as a notice.
    """
