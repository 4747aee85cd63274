"""Is there a network? Answered within seconds, before anything hangs on it."""

import threading
import urllib.error
import urllib.request


def reachable(url: str, *, timeout: float = 5.0) -> bool:
    """Whether the server of `url` answers anything at all within `timeout` seconds.

    Proxies of the environment are used. An HTTP error counts as an answer.
    """
    answers = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            urllib.request.urlopen(request, timeout=timeout).close()
        except urllib.error.HTTPError as error:
            error.close()
        except (OSError, ValueError):
            return
        answers.append(True)

    # Looking up a name ignores urlopen's timeout and may take a minute: so a thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers)
