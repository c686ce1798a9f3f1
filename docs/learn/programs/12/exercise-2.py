import re
import sys


def for_my_own_calls(traceparent):
    return traceparent


came = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
sent = [for_my_own_calls(came) for _ in range(2)]

whole = all(re.fullmatch("00-4bf92f3577b34da6a3ce929d0e0e4736-[0-9a-f]{16}-01", one) for one in sent)
print("in the trace:", "yes" if whole else "no")
print("spans:", len({came, *sent}))
if not whole or len({came, *sent}) != 3:
    sys.exit("Not yet · Todavía no")
